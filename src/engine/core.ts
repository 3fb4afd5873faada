import { GrokError } from "../errors.ts";
import type { Batch, BatchSequence, KvType, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import { createSampler } from "../sampling/sampler.ts";
import type { Interrupt } from "./interrupt.ts";
import type { JobHost } from "./jobs.ts";
import { createMemory, makeRoom } from "./memory.ts";
import { createTimeline, fork, truncate } from "./pages.ts";
import { checkRequest } from "./request.ts";
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
import type { EngineRequest, EngineResult, EngineStatus, FinishReason } from "./types.ts";

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
  /** Smallest prefill chunk that the wish for short passes may lead to. Default 128. */
  readonly smallestChunk?: number;
  readonly pageTokens?: number;
  /** The way out of a pass that serves one request alone. */
  readonly interrupt?: Interrupt;
}

interface Job {
  readonly id: number;
  readonly start: (host: JobHost) => Promise<void>;
  readonly reject: (error: unknown) => void;
  cancelled: boolean;
}

/**
 * A pass should not take much longer than this: others wait for it, and a cancellation too. One that serves a single
 * request can be left between two layers, so there a few layers may take as long.
 */
const passSeconds = 1;
const layersInPassSeconds = 4;
const defaultPageTokens = 64;

export function createCore(ops: Ops, model: Model, options: CoreOptions): Core {
  const { contextLength, batchTokens, interrupt = { armed: false } } = options;
  const { vocab } = model.config;
  const memory = createMemory(ops, model, {
    tokens: Math.max(options.cacheTokens, contextLength),
    pageTokens: options.pageTokens ?? defaultPageTokens,
    type: options.kvType,
  });
  const { pool } = memory;
  const smallestChunk = Math.min(batchTokens, options.smallestChunk ?? 128);
  const sessions = new Map<number, SessionState>();
  /** Oldest first. */
  const runs: Run[] = [];
  const jobs: Job[] = [];
  /** Rows a second, of the last pass that was large enough to tell. */
  let speed = 0;
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
        await job.start(createJobHost(job));
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
    const chosen = nextBatch(works, { tokens: batchTokens, prefill: chunkFor(runs.length) })
      .map(({ id, count }) => ({ ...byId.get(id)!, count }))
      .sort((a, b) => runs.indexOf(a.run) - runs.indexOf(b.run));

    const places: { run: Run; stream: Stream; count: number }[] = [];
    for (const { run, stream, count } of chosen) {
      const granted = runs.includes(run) ? grant(run, stream, count) : 0;
      // Its turn has come, even if memory did not let it: else it would come first for ever.
      stream.waited = 0;
      if (granted > 0) places.push({ run, stream, count: granted });
    }
    // Running out of memory can end a run after one of its sequences had its place.
    const rows = places.filter(({ run }) => runs.includes(run));
    if (rows.length === 0) return;

    const complete = rows.filter(({ stream, count }) => pendingOf(stream) === count);
    const began = performance.now();
    try {
      const values = await compute(rows);
      measure(rows, began);
      for (const { run, stream, count } of rows) {
        // While the pass was under way its session may have been closed.
        if (!runs.includes(run)) continue;
        if (run.firstToken === undefined) run.prefilledTokens += count;
        stream.timeline.length += count;
      }
      for (const [index, { run, stream }] of complete.entries()) {
        if (run.cancelled || !runs.includes(run)) continue;
        if (run.limit === 0) end(run, run.limitReason);
        else advance(run, stream, values.subarray(index * vocab, (index + 1) * vocab));
      }
    } catch (error) {
      // A pass that was interrupted on purpose is simply run again, without who cancelled.
      if (error instanceof GrokError && error.code === "cancelled") return;
      for (const run of new Set(rows.map((row) => row.run))) fail(run, error);
    }
  }

  /** Takes the logits after a sequence's last token; what goes wrong in a run's sampling ends that run alone. */
  function advance(run: Run, stream: Stream, row: Float32Array | Float64Array): void {
    try {
      const reason = receive(run, stream, row, pool, nextId);
      if (reason !== undefined) end(run, reason);
    } catch (error) {
      fail(run, error);
    }
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

  async function compute(
    rows: readonly { run: Run; stream: Stream; count: number }[],
  ): Promise<Float32Array | Float64Array> {
    const outputs: number[] = [];
    const tokens: number[] = [];
    const positions: number[] = [];
    const sequences: BatchSequence[] = [];
    for (const { stream, count } of rows) {
      const { length, pages } = stream.timeline;
      sequences.push({ start: tokens.length, count, pages: Int32Array.from(pages) });
      for (let i = length; i < length + count; i++) {
        tokens.push(stream.tokens[i]!);
        positions.push(i);
      }
      if (pendingOf(stream) === count) outputs.push(tokens.length - 1);
    }
    const batch: Batch = {
      tokens: Int32Array.from(tokens),
      positions: Int32Array.from(positions),
      sequences,
      outputs: Int32Array.from(outputs),
    };
    return await forward(model, batch, new Set(rows.map(({ run }) => run)).size === 1);
  }

  async function forward(bound: Model, batch: Batch, alone: boolean): Promise<Float32Array | Float64Array> {
    interrupt.armed = alone;
    const logits = await bound.forward(batch, memory.cache()).finally(() => {
      interrupt.armed = false;
    });
    return batch.outputs.length === 0 ? new Float32Array(0) : await ops.read(logits);
  }

  /** Rows of prompts that fit into the time of a pass, given the speed last seen. */
  function chunkFor(requests: number): number {
    const seconds = requests > 1 ? passSeconds : Math.max(1, model.config.layers / layersInPassSeconds) * passSeconds;
    return Math.max(smallestChunk, Math.min(batchTokens, Math.floor((speed * seconds) / 32) * 32));
  }

  function measure(rows: readonly { count: number }[], began: number): void {
    const total = rows.reduce((sum, { count }) => sum + count, 0);
    if (total < 16) return;
    speed = total / Math.max(1e-6, (performance.now() - began) / 1000);
  }

  /** Begins the first request of a session's queue: keeps what its cache has in common with the prompt. */
  function begin(session: SessionState): void {
    const run = session.queue[0];
    if (run === undefined) return;
    const { tokens } = run.request;
    // The last token is always computed: its logits are what the answer begins with.
    const kept = Math.min(commonPrefix(session.tokens, tokens), session.timeline.length, tokens.length - 1);
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

  function createJobHost(job: Job): JobHost {
    const timeline = createTimeline();
    return {
      ...{ contextLength, batchTokens, vocab, chunk: () => chunkFor(1) },
      clear: () => truncate(pool, timeline, 0),
      async forward(tokens, outputs, bound = model) {
        await pause();
        if (job.cancelled || closed) throw new GrokError("cancelled", "cancelled by the caller");
        while (memory.extend(timeline, tokens.length) < tokens.length) {
          if (makeRoom(pool, sessions.values(), runs, undefined)) continue;
          throw new GrokError("capacity", "the cache has too few pages", { pages: pool.pages, free: pool.free });
        }
        const began = performance.now();
        const positions = tokens.map((_, i) => timeline.length + i);
        const sequences = [{ start: 0, count: tokens.length, pages: Int32Array.from(timeline.pages) }];
        const values = await forward(bound, { tokens, positions, sequences, outputs }, true);
        measure([{ count: tokens.length }], began);
        timeline.length += tokens.length;
        return values;
      },
    };
  }

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
      const { timeline, tokens } = requireSession(from);
      sessions.set(to, {
        ...createSession(to),
        timeline: fork(pool, timeline),
        tokens: tokens.slice(0, timeline.length),
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
      const sampler = createSampler({ ...sampling, ...(logprobs !== undefined && { logprobs }) });
      for (let i = 0; i < request.tokens.length; i++) sampler.accept(request.tokens[i]!);
      // Sessions made for one request have negative numbers, and end with it.
      const session = sessionId === undefined ? createSession(-1 - nextId()) : requireSession(sessionId);
      sessions.set(session.id, session);
      return await new Promise<EngineResult>((resolve, reject) => {
        session.queue.push({
          ...{ id, session, request, sampler, emit, resolve, reject, ...checked },
          ends: new Set(request.endTokens),
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
