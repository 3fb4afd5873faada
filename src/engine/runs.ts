import { logSumExp, topLogprobs } from "../sampling/logprobs.ts";
import type { Sampler } from "../sampling/sampler.ts";
import { type BeamSearch, type Extension, finish, type Hypothesis, isSettled, scoreOf, stepBeams } from "./beams.ts";
import { createTimeline, fork, type PagePool, type Timeline, truncate } from "./pages.ts";
import type { EngineRequest, EngineResult, FinishReason, TokenLogprob } from "./types.ts";

/** A timeline of tokens that lasts from one request to the next. */
export interface SessionState {
  readonly id: number;
  timeline: Timeline;
  /** Its tokens; those in the cache are the first `timeline.length`. */
  tokens: readonly number[];
  /** Requests in order; the first one runs. */
  readonly queue: Run[];
  lastUsed: number;
}

/** One sequence that computes: a run has one, a beam search several. */
export interface Stream {
  readonly id: number;
  readonly timeline: Timeline;
  /** Prompt and what was generated. */
  readonly tokens: number[];
  waited: number;
  /** A beam's possible continuations, once its last token is computed. */
  extensions?: { readonly best: readonly Extension[]; readonly top: TokenLogprob["top"] };
}

/** A request under way. */
export interface Run {
  readonly id: number;
  readonly session: SessionState;
  readonly request: EngineRequest;
  readonly sampler: Sampler;
  readonly ends: ReadonlySet<number>;
  /** Most tokens to generate, given the context. */
  readonly limit: number;
  readonly limitReason: "length" | "context";
  readonly emit: (tokens: readonly number[], logprobs: readonly TokenLogprob[] | undefined) => void;
  readonly resolve: (result: EngineResult) => void;
  readonly reject: (error: unknown) => void;
  readonly requested: number;
  streams: Stream[];
  cachedTokens: number;
  prefilledTokens: number;
  generated: number;
  firstToken: number | undefined;
  cancelled: boolean;
  search: BeamSearch | undefined;
  hypotheses: Hypothesis[];
}

type Row = Float32Array | Float64Array;

/** Tokens that are known but not computed; 0 while a beam waits for the others. */
export function pendingOf(stream: Stream): number {
  return stream.extensions === undefined ? stream.tokens.length - stream.timeline.length : 0;
}

/** Takes the logits that follow a stream's last token. Returns why the run is over, if it is. */
export function receive(run: Run, stream: Stream, row: Row, pool: PagePool, nextId: () => number) {
  run.firstToken ??= performance.now();
  return run.search === undefined ? receiveSampled(run, stream, row) : receiveBeam(run, stream, row, pool, nextId);
}

function receiveSampled(run: Run, stream: Stream, row: Row): FinishReason | undefined {
  const { token, logprob, top = [] } = run.sampler.sample(row);
  if (run.ends.has(token)) return "stop";
  run.sampler.accept(token);
  stream.tokens.push(token);
  run.generated++;
  run.emit([token], logprob === undefined ? undefined : [{ token, logprob, top }]);
  return run.generated >= run.limit ? run.limitReason : undefined;
}

function receiveBeam(run: Run, stream: Stream, row: Row, pool: PagePool, nextId: () => number) {
  const search = run.search!;
  const { logprobs: wanted = 0 } = run.request;
  const parent = run.streams.indexOf(stream);
  const likeliest = topLogprobs(row, Math.max(2 * search.width, wanted), logSumExp(row));
  stream.extensions = {
    best: likeliest.slice(0, 2 * search.width).map((each) => ({ parent, ...each })),
    top: likeliest.slice(0, wanted),
  };
  if (run.streams.some((other) => other.extensions === undefined)) return undefined;

  const { streams, hypotheses } = run;
  const chosen = stepBeams(
    search,
    hypotheses,
    streams.map((each) => each.extensions!.best),
    run.ends,
  );
  run.hypotheses = chosen.map((extension) => {
    const { tokens, sum, logprobs } = hypotheses[extension.parent]!;
    const { token, logprob } = extension;
    return {
      tokens: [...tokens, token],
      sum: sum + logprob,
      logprobs: [...logprobs, { token, logprob, top: streams[extension.parent]!.extensions!.top }],
    };
  });
  run.streams = chosen.map((extension) => {
    const from = streams[extension.parent]!;
    const tokens = [...from.tokens, extension.token];
    return { id: nextId(), timeline: fork(pool, from.timeline), tokens, waited: 0 };
  });
  // The prompt's own timeline stays with the session; the beams are forks of it.
  for (const old of streams) if (old.timeline !== run.session.timeline) truncate(pool, old.timeline, 0);
  run.generated++;
  if (run.generated >= run.limit) return endBeams(run, run.limitReason);
  return isSettled(search, run.hypotheses) ? endBeams(run, "stop") : undefined;
}

/** Ranks the beams that are still open among the finished ones, and gives the best. */
export function endBeams(run: Run, reason: "stop" | "length" | "context"): FinishReason {
  const search = run.search!;
  if (reason !== "stop") {
    for (const beam of run.hypotheses) {
      finish(search, { ...beam, score: scoreOf(beam.sum, beam.tokens.length, search.lengthPenalty), reason });
    }
  }
  const best = search.finished[0];
  if (best === undefined) return reason;
  run.generated = best.tokens.length;
  run.emit(best.tokens, run.request.logprobs === undefined ? undefined : best.logprobs);
  return best.reason;
}

/** Returns the pages of everything but the session's own timeline. */
export function dropBeams(run: Run, pool: PagePool): void {
  for (const stream of run.streams) {
    if (stream.timeline !== run.session.timeline) truncate(pool, stream.timeline, 0);
  }
}

/** Gives up a run's memory for now; what it had computed is computed again when its turn comes. */
export function preempt(run: Run, pool: PagePool): void {
  for (const stream of run.streams) truncate(pool, stream.timeline, 0);
  truncate(pool, run.session.timeline, 0);
}

export function createSession(id: number): SessionState {
  return { id, timeline: createTimeline(), tokens: [], queue: [], lastUsed: 0 };
}

/** Length of the common beginning. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a[i] === b[i]) i++;
  return i;
}
