import { GrokError } from "../errors.ts";
import { createGrammars } from "../grammar/prepared.ts";
import type { Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import type { Observer } from "../model/observe.ts";
import { checkText, checkWhole } from "../options.ts";
import { createSampler } from "../sampling/sampler.ts";
import { type AdapterSet, noAdapters } from "./adapters.ts";
import { createAdmission } from "./admission.ts";
import { createBeamRun } from "./consumers/beam.ts";
import { type BenchOptions, type BenchResult, createBench } from "./consumers/bench.ts";
import { createEmbedding, type EmbedOptions } from "./consumers/embed.ts";
import { createLogitsRun, type LogitsResult } from "./consumers/logits.ts";
import { createOutcome } from "./consumers/outcome.ts";
import { createSampling, type Emit } from "./consumers/sample.ts";
import { createScoring, type ScoreOptions, type ScoreText } from "./consumers/score.ts";
import { createDraftModel } from "./draft-model.ts";
import { createDraftSource } from "./draft-source.ts";
import { createDrafting } from "./drafts.ts";
import type { EngineStatus } from "./engine.ts";
import type { ExpertStatus } from "./expert-status.ts";
import { noNumbers } from "./failures.ts";
import { createKvMemory } from "./kv-memory.ts";
import type { SettledEngineOptions } from "./options.ts";
import { createPace } from "./pace.ts";
import { createPasses, type Interrupt, uninterrupted } from "./pass.ts";
import { prefixRoot } from "./prefix-root.ts";
import { checkLength, checkRequest, type EngineRequest, type EngineResult, type GenerationOptions } from "./request.ts";
import { type Consumer, createSequence, type Ending, type Run, release, type Sequence } from "./run.ts";
import type { SavedPrefixesOptions } from "./saved/saved-prefixes.ts";
import { createSessions } from "./sessions.ts";
import { createStep } from "./step.ts";

/**
 * The engine without its thread: it takes work of every kind as runs, and computes pass after pass while there are any. A
 * pass takes some tokens of each run, so prompts, decode steps and texts to score travel together, and a run can join or
 * leave between any two passes.
 */
export interface Core {
  openSession(id: number): void;
  /** A session with the same past, which it finds as every request does. */
  forkSession(from: number, to: number): void;
  closeSession(id: number): void;
  /** Generates in a session, after the requests that wait there; without one, in a session of its own. */
  generate(
    id: number,
    session: number | undefined,
    request: EngineRequest,
    emit: Emit,
    onPrompt?: (computed: number) => void,
  ): Promise<EngineResult>;
  /** Log-probabilities of each text's tokens, in the order of the texts; what they have in common is computed once. */
  score(id: number, texts: readonly ScoreText[], options?: Omit<ScoreOptions, "signal">): Promise<Float64Array[]>;
  /** All logits of a sequence, and on request every layer. */
  logits(id: number, tokens: Int32Array, layers: boolean): Promise<LogitsResult>;
  /** Of each text a vector of its meaning, [width]. */
  embed(id: number, texts: readonly Int32Array[], options?: Pick<EmbedOptions, "adapters">): Promise<Float32Array[]>;
  bench(id: number, options: BenchOptions): Promise<BenchResult>;
  /** A generation resolves as far as it came; all others reject with `cancelled`. */
  cancel(id: number): void;
  status(): EngineStatus;
  /** Rejects what is under way with `cancelled`, and frees all memory. */
  close(): Promise<void>;
}

/** What a core works with beside a model. */
export interface CoreParts {
  readonly pageTokens?: number;
  /** What the model was read from, for messages. */
  readonly source?: string;
  /** Absent: requests have none to choose from. The model given follows them. */
  readonly adapters?: AdapterSet | undefined;
  /** Where the beginnings of prompts are kept over restarts, and what their values follow from beside the tokens. Absent: nowhere. */
  readonly saved?: Pick<SavedPrefixesOptions, "files" | "identity"> | undefined;
  /** The way out of a pass that nobody wants any more. */
  readonly interrupt?: Interrupt;
  /** A smaller model of the same vocabulary that drafts, and operations on it. Absent: drafts come from the text's own past alone. */
  readonly draft?: { readonly ops: Ops; readonly model: Model } | undefined;
  /** What streaming has done; absent: nothing is streamed. */
  readonly experts?: (() => ExpertStatus) | undefined;
  /** How often layers have chosen experts. Absent: there are none. */
  readonly chosen?: (() => EngineStatus["chosen"]) | undefined;
  /** Binds the model once more, every result shown to `see`; weights are shared. Absent: no layers can be had. */
  readonly bindObserved?: (see: Observer) => Model;
}

const defaultPageTokens = 64;

export function createCore(ops: Ops, model: Model, settled: SettledEngineOptions, parts: CoreParts = {}): Core {
  const { contextLength, cacheTokens, batchTokens, kvType, speculate } = settled;
  const { vocab, width } = model.config;
  const memory = createKvMemory(ops, model, {
    tokens: Math.max(cacheTokens, contextLength),
    pageTokens: parts.pageTokens ?? defaultPageTokens,
    type: kvType,
    files: parts.saved && { ...parts.saved, arrived: () => wake() },
  });
  const { pool } = memory;
  const { interrupt = uninterrupted } = parts;
  const sessions = createSessions();
  const admission = createAdmission(memory, { batchTokens, end, fail });
  const { experts, used } = model.config;
  const streamed = parts.experts && { experts, used, status: parts.experts };
  const { draft } = parts;
  const drafter =
    draft &&
    createDraftModel(draft.ops, draft.model, {
      ...{ contextLength, batchTokens, interrupt: parts.interrupt ?? uninterrupted },
      ...{ cacheTokens: contextLength, pageTokens: parts.pageTokens ?? defaultPageTokens },
    });
  const drafting =
    speculate === false
      ? undefined
      : createDrafting(memory, speculate === true ? {} : speculate, { model: drafter, streamed });
  /** All that was asked and is not over, by its request's number. */
  const runs = new Map<number, Run>();
  /** Those of them that end before the next pass. */
  const cancelled = new Set<Run>();
  const step = createStep({
    ...{ vocab, width, batchTokens, pool, admission, drafting, end, fail, pace: createPace() },
    passes: createPasses(ops, model, memory, {
      ...{ batchTokens, interrupt, streamed: streamed !== undefined },
      ...{ adapters: parts.adapters, bindObserved: parts.bindObserved },
    }),
    requests: () => runs.size,
    noNumbers: ({ adapters }) => noNumbers(adapters.adapters.length > 0, parts.source),
  });
  const grammars = createGrammars(vocab);
  let lastId = 0;
  let looping: Promise<void> | undefined;
  let closed = false;

  /** Ends the wait for what comes from files. */
  let wake = () => {};
  const woken = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });

  const nextId = () => ++lastId;
  const pause = () => new Promise<void>((resolve) => setImmediate(resolve));

  async function loop(): Promise<void> {
    while (!closed) {
      await pause();
      for (const run of cancelled) end(run, "cancelled");
      if (runs.size === 0) break;
      admission.admit();
      const wait = woken();
      if (await step()) continue;
      // Nothing can be computed before more of a prompt has come.
      if (admission.running.some(({ sequences }) => sequences.some(({ arriving }) => arriving))) await wait;
    }
    looping = undefined;
  }

  function end(run: Run, ending: Ending): void {
    if (leave(run)) run.consumer.end(run, ending);
  }

  function fail(run: Run, error: unknown): void {
    if (leave(run)) run.consumer.fail(error);
  }

  /** Takes a run off the engine; its session goes on with its next request. */
  function leave(run: Run): boolean {
    if (run.state === "over") return false;
    const { session } = run;
    for (const sequence of [...run.sequences, ...run.waiting]) drafting?.leave(sequence);
    admission.leave(run);
    release(run, memory);
    memory.saved?.save();
    run.state = "over";
    interrupt.cancelled(run.id);
    runs.delete(run.id);
    cancelled.delete(run);
    if (session !== undefined) {
      const next = sessions.leave(session, run);
      if (next !== undefined) enter(next);
    }
    return true;
  }

  /** A run waits for its memory from now on. */
  function enter(run: Run): void {
    run.state = "waiting";
    run.order = nextId();
    admission.enter(run);
    wake();
    looping ??= loop();
  }

  function begin(id: number, consumer: Consumer, waiting: Sequence[], more: Partial<Run> = {}): void {
    const adapters = more.adapters ?? selectAdapters(parts.adapters, undefined);
    const run: Run = {
      ...{ id, order: 0, consumer, background: false, passTokens: Number.POSITIVE_INFINITY, state: "queued" },
      ...{ adapters, prefixes: prefixRoot(adapters.key, undefined), drafts: undefined, session: undefined },
      ...{ sequences: [], waiting, cached: 0, computed: 0, cancelled: false },
      ...more,
    };
    runs.set(id, run);
    if (run.session === undefined || sessions.enter(run.session, run)) enter(run);
  }

  function requireOpen(): void {
    if (closed) throw new GrokError("argument", "the model is closed");
  }

  return {
    openSession(id) {
      requireOpen();
      sessions.open(id);
    },
    forkSession(from, to) {
      sessions.require(from);
      sessions.open(to);
    },
    closeSession(id) {
      const session = sessions.require(id);
      for (const run of [...session.queue].reverse()) {
        run.cancelled = true;
        end(run, "cancelled");
      }
      sessions.close(session);
    },
    async generate(id, sessionId, request, emit, onPrompt) {
      requireOpen();
      const { options, limit, limitReason, search } = checkRequest(request, { vocab, contextLength, batchTokens });
      // Adapters and sampling options are checked before anything is taken.
      const adapters = selectAdapters(parts.adapters, options.adapters);
      const sampler = createSampler(options);
      const { grammar, endTokens = [] } = request;
      const matcher = grammar && grammars.begin(grammar, endTokens, grammar.afterText);
      for (let i = 0; i < request.tokens.length; i++) sampler.read(request.tokens[i]!);
      const session = sessionId === undefined ? undefined : sessions.require(sessionId);
      return await new Promise<EngineResult>((resolve, reject) => {
        const outcome = createOutcome(request.tokens.length, resolve, reject);
        const tokens = Array.from(request.tokens);
        const given = { ends: new Set(endTokens), matcher, limit, limitReason, emit };
        const answering = search
          ? createBeamRun(outcome, { ...given, search, logprobs: options.logprobs, memory, nextId })
          : createSampling(outcome, { ...given, sampler, tokens, experts: options.experts });
        const promptLength = tokens.length;
        const consumer: Consumer = {
          ...answering,
          advanced: (length) => (length <= promptLength ? onPrompt?.(length) : undefined),
        };
        const drafts = drafting && !search && !options.experts && options.speculate;
        begin(id, consumer, [createSequence(nextId(), tokens, tokens.length - 1)], {
          ...{ session, adapters, prefixes: prefixRoot(adapters.key, options.prefixGroup) },
          drafts: drafts ? createDraftSource(() => limit - outcome.generated, consumer.rehearse) : undefined,
        });
      });
    },
    async score(
      id,
      texts,
      { passTokens, top = 0, adapters: choice, prefixGroup, onScored: emit = () => undefined } = {},
    ) {
      requireOpen();
      if (passTokens !== undefined) checkWhole("passTokens", passTokens, 1, Number.MAX_SAFE_INTEGER);
      checkWhole("top", top, 0, 100);
      if (prefixGroup !== undefined) checkText("prefixGroup", prefixGroup);
      const adapters = selectAdapters(parts.adapters, choice);
      return await new Promise((resolve, reject) => {
        const settle = { resolve, reject };
        const { consumer, sequences } = createScoring(
          { texts, vocab, contextLength, memory, nextId, top, emit },
          settle,
        );
        if (sequences.length === 0) return resolve(texts.map(() => new Float64Array(0)));
        begin(id, consumer, sequences, {
          ...{ background: true, adapters, prefixes: prefixRoot(adapters.key, prefixGroup) },
          ...(passTokens !== undefined && { passTokens }),
        });
      });
    },
    async logits(id, tokens, layers) {
      requireOpen();
      checkLength(tokens, vocab, contextLength);
      return await new Promise((resolve, reject) => {
        const consumer = createLogitsRun(tokens.length, vocab, layers, { resolve, reject });
        begin(id, consumer, [createSequence(nextId(), tokens, 0)], { background: true });
      });
    },
    async embed(id, texts, { adapters: choice } = {}) {
      requireOpen();
      const adapters = selectAdapters(parts.adapters, choice);
      for (const tokens of texts) checkLength(tokens, vocab, contextLength);
      return await new Promise((resolve, reject) => {
        if (texts.length === 0) return resolve([]);
        const { consumer, sequences } = createEmbedding({ texts, width, memory, nextId }, { resolve, reject });
        // Rows that are not computed would be missing in the mean.
        begin(id, consumer, sequences, { background: true, adapters, prefixes: undefined });
      });
    },
    async bench(id, benchOptions) {
      requireOpen();
      return await new Promise((resolve, reject) => {
        const bench = createBench(
          benchOptions,
          { vocab, contextLength, pool, experts: parts.experts },
          { resolve, reject },
        );
        // What it times is computed, and is nothing that anybody asks for.
        if (bench !== undefined) begin(id, bench.consumer, [bench.sequence], { prefixes: undefined });
      });
    },
    cancel(id) {
      interrupt.cancelled(id);
      const run = runs.get(id);
      if (run === undefined) return;
      run.cancelled = true;
      // One that waits ends here; one that runs, before the next pass.
      if (run.state !== "running") end(run, "cancelled");
      else cancelled.add(run);
      wake();
    },
    status() {
      const { pages, pageTokens, idle } = pool;
      const freePages = memory.available;
      const experts = parts.experts?.();
      const chosen = parts.chosen?.() ?? [];
      const { files } = parts.saved ?? {};
      const saved = files && { pages: files.pages, bytes: files.bytes, problem: files.problem };
      const memoryStatus = { pages, freePages, keptPages: idle, pageTokens };
      return { sessions: sessions.size, requests: runs.size, ...memoryStatus, saved, experts, chosen };
    },
    async close() {
      closed = true;
      const error = new GrokError("cancelled", "the model was closed");
      for (const run of [...runs.values()].reverse()) fail(run, error);
      wake();
      await looping;
      await drafting?.close();
      await memory.close();
    },
  };
}

function selectAdapters(held: AdapterSet | undefined, adapters: GenerationOptions["adapters"]) {
  if (adapters !== undefined && !Array.isArray(adapters)) {
    throw new GrokError("argument", "adapters: expected a list of objects with a name", { option: "adapters" });
  }
  if (held !== undefined) return held.select(adapters);
  if (adapters === undefined || adapters.length === 0) return noAdapters;
  const name = String((adapters[0] as { readonly name?: unknown } | undefined)?.name);
  throw new GrokError("argument", `there is no adapter ${name}: the model was loaded without any`, { adapter: name });
}
