import { GrokError } from "../errors.ts";
import type { KvType, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import { canChoose } from "../sampling/logits.ts";
import { createSampler } from "../sampling/sampler.ts";
import { type AdapterSet, noAdapters } from "./adapters.ts";
import { createDraftSource } from "./draft-source.ts";
import { createDrafting } from "./drafts.ts";
import type { EngineStatus } from "./engine.ts";
import { isInterruption, noNumbers } from "./failures.ts";
import { createJobHost } from "./job-host.ts";
import type { JobHost } from "./jobs.ts";
import { createKvMemory, makeRoom } from "./kv-memory.ts";
import { fork, truncate } from "./pages.ts";
import { createPasses, type Interrupt, type Logits, type Place, placeOf } from "./pass.ts";
import { checkRequest, type EngineRequest, type EngineResult, type FinishReason } from "./request.ts";
import {
  commonPrefix,
  createSession,
  dropBeams,
  endBeams,
  pendingOf,
  type Run,
  receive,
  type SessionState,
  type Stream,
} from "./runs.ts";
import { nextBatch } from "./scheduler.ts";
import type { SpeculationOptions } from "./speculation.ts";

/**
 * The engine without its thread: sessions, paged memory, continuous batching, sampling. Everything that runs is a set of
 * sequences with tokens that are not computed yet; a pass takes some of each, so prompts and decode steps of all
 * sessions travel together, and a request can join or leave between any two passes.
 */
export interface Core {
  openSession(id: number): void;
  /** A session with the same past; copies nothing until one of the two goes on. */
  forkSession(from: number, to: number): void;
  closeSession(id: number): void;
  /** Generates in a session, after the requests that wait there; without one, in a session of its own. */
  generate(id: number, session: number | undefined, request: EngineRequest, emit: Run["emit"]): Promise<EngineResult>;
  cancel(id: number): void;
  /** Runs something that wants the model for itself, between two passes. */
  exclusive<T>(id: number, job: (host: JobHost) => Promise<T>): Promise<T>;
  status(): EngineStatus;
  /** Rejects what is under way with `cancelled`, and frees all memory. */
  close(): Promise<void>;
}

export interface CoreOptions {
  readonly contextLength: number;
  readonly cacheTokens: number;
  readonly kvType: KvType;
  readonly batchTokens: number;
  /** Default true. */
  readonly speculate?: boolean | SpeculationOptions;
  readonly pageTokens?: number;
  /** What the model was read from, for messages. */
  readonly source?: string;
  /** Absent: requests have none to choose from. The model given follows them. */
  readonly adapters?: AdapterSet | undefined;
  /** The way out of a pass that serves one request alone. */
  readonly interrupt?: Interrupt;
}

interface Job {
  readonly id: number;
  readonly start: (host: JobHost) => Promise<void>;
  readonly reject: (error: unknown) => void;
  cancelled: boolean;
}

const defaultPageTokens = 64;

export function createCore(ops: Ops, model: Model, options: CoreOptions): Core {
  const { contextLength, batchTokens, interrupt = { armed: false }, speculate = true } = options;
  const { vocab } = model.config;
  const memory = createKvMemory(ops, model, {
    tokens: Math.max(options.cacheTokens, contextLength),
    pageTokens: options.pageTokens ?? defaultPageTokens,
    type: options.kvType,
  });
  const { pool } = memory;
  const passes = createPasses(ops, model, memory, { batchTokens, interrupt, adapters: options.adapters });
  const drafting = speculate === false ? undefined : createDrafting(memory, speculate === true ? {} : speculate);
  const sessions = new Map<number, SessionState>();
  /** Oldest first. */
  const runs: Run[] = [];
  const jobs: Job[] = [];
  let streamIds = 0;
  let clock = 0;
  let looping: Promise<void> | undefined;
  let closed = false;

  const nextId = () => streamIds++;
  const pause = () => new Promise<void>((resolve) => setImmediate(resolve));

  async function loop(): Promise<void> {
    while (!closed) {
      await pause();
      for (const run of [...runs]) if (run.cancelled) end(run, "cancelled");
      const job = jobs[0];
      if (job !== undefined) {
        await job.start(hostOf(job));
        jobs.splice(jobs.indexOf(job), 1);
      } else if (runs.length > 0) await step();
      else break;
    }
    looping = undefined;
    if (!closed) memory.settle();
  }

  function wake(): void {
    looping ??= loop();
  }

  /** One pass over what the scheduler chose; then a token for every sequence that is complete. */
  async function step(): Promise<void> {
    const streams = runs.flatMap((run) => run.streams.map((stream) => ({ run, stream })));
    const waiting = streams.filter(({ stream }) => pendingOf(stream) > 0);
    const byId = new Map(waiting.map((each) => [each.stream.id, each]));
    const works = waiting.map(({ stream }) => ({ id: stream.id, pending: pendingOf(stream), waited: stream.waited++ }));
    const chosen = nextBatch(works, { tokens: batchTokens, prefill: passes.chunkFor(runs.length) })
      .map(({ id, count }) => ({ ...byId.get(id)!, count }))
      .sort((a, b) => runs.indexOf(a.run) - runs.indexOf(b.run));

    const granted: { run: Run; stream: Stream; count: number }[] = [];
    for (const { run, stream, count } of chosen) {
      const possible = runs.includes(run) ? grant(run, stream, count) : 0;
      // Its turn has come, even if memory did not let it: else it would come first for ever.
      stream.waited = 0;
      if (possible > 0) granted.push({ run, stream, count: possible });
    }
    // Running out of memory can end a run after one of its sequences had its place.
    const given = granted.filter(({ run }) => runs.includes(run));
    if (given.length === 0) return;
    const undrafted = given.map(({ run, stream, count }) => placeOf(run, stream, count));

    try {
      const places = drafting?.addDrafts(undrafted, batchTokens) ?? undrafted;
      const began = performance.now();
      const values = await passes.compute(places);
      const seconds = (performance.now() - began) / 1000;
      for (const { run, stream, count } of places) {
        // While the pass was under way its session may have been closed.
        if (!runs.includes(run)) continue;
        if (run.firstToken === undefined) run.prefilledTokens += count;
        stream.timeline.length += count;
      }
      let row = 0;
      let tokens = 0;
      for (const place of places) {
        if (!place.complete) continue;
        const rows = place.draft.length + 1;
        tokens += advance(place, values.subarray(row * vocab, (row + rows) * vocab));
        row += rows;
      }
      drafting?.passed(places, tokens, seconds);
    } catch (error) {
      // A pass that was interrupted on purpose is simply run again, without who cancelled.
      if (isInterruption(error)) return;
      for (const run of new Set(undrafted.map((place) => place.run))) fail(run, error);
    }
  }

  /**
   * Takes the logits after a sequence's last token, and those after each drafted token for as long as the draft is what
   * the model chooses itself: every token is drawn from the model's own distribution, in order, as without a draft.
   * What goes wrong in a run's sampling ends that run alone. Returns how many tokens came of it.
   */
  function advance(place: Place, logits: Logits): number {
    const { run, stream, draft } = place;
    const before = stream.tokens.length;
    let right = 0;
    const rowAt = (index: number) => logits.subarray(index * vocab, (index + 1) * vocab);
    try {
      for (; runs.includes(run) && !run.cancelled; right++) {
        const row = rowAt(right);
        const reason = run.limit === 0 ? run.limitReason : receive(run, stream, row, pool, nextId);
        if (reason !== undefined) {
          end(run, reason);
          break;
        }
        // The draft's keys and values are in the cache already. An answer can close its session as it is given.
        if (right === draft.length || stream.tokens.at(-1) !== draft[right] || !runs.includes(run)) break;
        stream.timeline.length++;
      }
    } catch (error) {
      // A step of a beam search looks at the rows of all beams.
      const rows = [rowAt(right), ...run.streams.flatMap(({ row }) => row ?? [])];
      fail(run, rows.every(canChoose) ? error : noNumbers(run.adapters.adapters.length > 0, options.source));
    }
    if (draft.length > 0) truncate(pool, stream.timeline, stream.timeline.length);
    drafting?.learn(place, stream.tokens[before], right);
    return 1 + right;
  }

  /** Positions that a stream may write in this pass. Ends the run when there is no memory to be had any more. */
  function grant(run: Run, stream: Stream, count: number): number {
    for (;;) {
      const granted = memory.extend(stream.timeline, count);
      if (granted > 0) return granted;
      if (makeRoom(pool, sessions.values(), runs, run)) continue;
      if (runs[0] === run) end(run, run.search === undefined ? "context" : endBeams(run));
      return 0;
    }
  }

  /** Begins the first request of a session's queue: keeps what its cache has in common with the prompt. */
  function begin(session: SessionState): void {
    const run = session.queue[0];
    if (run === undefined) return;
    const { tokens } = run.request;
    // The last token is always computed: its logits are what the answer begins with.
    const common = session.adapters === run.adapters.key ? commonPrefix(session.tokens, tokens) : 0;
    const kept = Math.min(common, session.timeline.length, tokens.length - 1);
    session.adapters = run.adapters.key;
    truncate(pool, session.timeline, kept);
    run.cachedTokens = kept;
    const stream = { id: nextId(), timeline: session.timeline, tokens: Array.from(tokens), waited: 0 };
    session.tokens = stream.tokens;
    run.streams = [stream];
    runs.push(run);
    wake();
  }

  function end(run: Run, reason: FinishReason): void {
    const now = performance.now();
    const first = run.firstToken ?? now;
    leave(run);
    run.resolve({
      finishReason: reason,
      promptTokens: run.request.tokens.length,
      cachedTokens: run.cachedTokens,
      generatedTokens: run.generated,
      draftedTokens: run.drafts?.drafted ?? 0,
      acceptedTokens: run.drafts?.accepted ?? 0,
      timings: {
        prefillSeconds: (first - run.requested) / 1000,
        decodeSeconds: (now - first) / 1000,
        prefilledTokens: run.prefilledTokens,
      },
    });
  }

  function fail(run: Run, error: unknown): void {
    leave(run);
    run.reject(error);
  }

  /** Takes a run off the engine; its session keeps what is computed, and goes on with its next request. */
  function leave(run: Run): void {
    const { session } = run;
    const at = runs.indexOf(run);
    if (at >= 0) {
      runs.splice(at, 1);
      dropBeams(run, pool);
      // Pages beyond what was computed were reserved for the pass that will not be.
      truncate(pool, session.timeline, session.timeline.length);
    }
    session.queue.splice(session.queue.indexOf(run), 1);
    session.lastUsed = ++clock;
    if (session.id < 0) release(session);
    else if (at >= 0) begin(session);
  }

  function release(session: SessionState): void {
    truncate(pool, session.timeline, 0);
    sessions.delete(session.id);
    if (!looping) memory.settle();
  }

  function cancelRun(run: Run): void {
    run.cancelled = true;
    // One that waits in its session's queue ends here; one that runs, before the next pass.
    if (!runs.includes(run)) end(run, "cancelled");
  }

  const hostOf = (job: Job): JobHost =>
    createJobHost({
      ...{ model, memory, passes, sessions, runs, contextLength, batchTokens, pause, source: options.source },
      adapted: (options.adapters?.select(undefined).adapters.length ?? 0) > 0,
      isCancelled: () => job.cancelled || closed,
    });

  function requireSession(id: number): SessionState {
    const session = sessions.get(id);
    if (session === undefined) throw new GrokError("argument", `session ${id} is closed`, { session: id });
    return session;
  }

  function requireOpen(): void {
    if (closed) throw new GrokError("argument", "the model is closed");
  }

  return {
    openSession(id) {
      requireOpen();
      sessions.set(id, createSession(id));
    },
    forkSession(from, to) {
      const { timeline, tokens, adapters } = requireSession(from);
      sessions.set(to, {
        ...createSession(to),
        timeline: fork(pool, timeline),
        tokens: tokens.slice(0, timeline.length),
        adapters,
        lastUsed: ++clock,
      });
    },
    closeSession(id) {
      const session = requireSession(id);
      for (const run of [...session.queue].reverse()) {
        run.cancelled = true;
        end(run, "cancelled");
      }
      release(session);
    },
    async generate(id, sessionId, request, emit) {
      requireOpen();
      const checked = checkRequest(request, vocab, contextLength, batchTokens);
      // Sampling options are checked before anything is taken.
      const { sampling, logprobs } = request;
      const adapters = selectAdapters(options.adapters, request);
      const sampler = createSampler({ ...sampling, ...(logprobs !== undefined && { logprobs }) });
      for (let i = 0; i < request.tokens.length; i++) sampler.accept(request.tokens[i]!);
      // Sessions made for one request have negative numbers, and end with it.
      const session = sessionId === undefined ? createSession(-1 - nextId()) : requireSession(sessionId);
      sessions.set(session.id, session);
      return await new Promise<EngineResult>((resolve, reject) => {
        session.queue.push({
          ...{ id, session, request, sampler, adapters, emit, resolve, reject, ...checked },
          ends: new Set(request.endTokens),
          drafts: drafting && !checked.search && request.speculate !== false ? createDraftSource() : undefined,
          requested: performance.now(),
          paths: logprobs === undefined ? undefined : new Map((checked.search?.open ?? []).map((beam) => [beam, []])),
          ...{ streams: [], cachedTokens: 0, prefilledTokens: 0, generated: 0 },
          ...{ firstToken: undefined, cancelled: false },
        });
        if (session.queue.length === 1) begin(session);
      });
    },
    cancel(id) {
      for (const job of jobs) if (job.id === id) job.cancelled = true;
      for (const session of sessions.values()) {
        const run = session.queue.find((each) => each.id === id);
        if (run !== undefined) return cancelRun(run);
      }
    },
    async exclusive(id, work) {
      requireOpen();
      return await new Promise((resolve, reject) => {
        const start = async (host: JobHost) => {
          try {
            if (job.cancelled) throw new GrokError("cancelled", "cancelled by the caller");
            resolve(await work(host));
          } catch (error) {
            reject(error);
          } finally {
            host.clear();
          }
        };
        const job: Job = { id, start, reject, cancelled: false };
        jobs.push(job);
        wake();
      });
    },
    status() {
      let requests = 0;
      for (const session of sessions.values()) requests += session.queue.length;
      const { pages, pageTokens, free } = pool;
      return { sessions: sessions.size, requests, pages, freePages: free, pageTokens };
    },
    async close() {
      closed = true;
      const error = new GrokError("cancelled", "the model was closed");
      for (const session of [...sessions.values()]) {
        for (const run of [...session.queue].reverse()) fail(run, error);
      }
      for (const job of jobs) job.reject(error);
      sessions.clear();
      await looping;
      memory.close();
    },
  };
}

function selectAdapters(held: AdapterSet | undefined, { adapters }: EngineRequest) {
  if (held !== undefined) return held.select(adapters);
  if (adapters === undefined || adapters.length === 0) return noAdapters;
  throw new GrokError("argument", `there is no adapter ${adapters[0]!.name}: the model was loaded without any`, {
    adapter: adapters[0]!.name,
  });
}
