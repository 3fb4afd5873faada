import { advanceBeams, type Beam, type BeamSearch, finishBeams } from "../sampling/beam.ts";
import { logSumExp, topLogprobs } from "../sampling/logprobs.ts";
import type { Sampler } from "../sampling/sampler.ts";
import { type AdapterSelection, noAdapters } from "./adapters.ts";
import type { DraftSource } from "./draft-source.ts";
import { createTimeline, fork, type PagePool, type Timeline, truncate } from "./pages.ts";
import type { EngineRequest, EngineResult, FinishReason, TokenLogprob } from "./request.ts";

/** A timeline of tokens that lasts from one request to the next. */
export interface SessionState {
  readonly id: number;
  timeline: Timeline;
  /** Its tokens; those in the cache are the first `timeline.length`. */
  tokens: readonly number[];
  /** Requests in order; the first one runs. */
  readonly queue: Run[];
  lastUsed: number;
  /** The adapters that its cache was computed with: the key of an {@link AdapterSelection}. */
  adapters: string;
}

/** One sequence that computes: a run has one, a beam search several. */
export interface Stream {
  readonly id: number;
  readonly timeline: Timeline;
  /** Prompt and what was generated. */
  readonly tokens: number[];
  waited: number;
  /** A beam's logits after its last token, while it waits for the other beams'. */
  row?: Row;
}

/** A request under way. */
export interface Run {
  readonly id: number;
  readonly session: SessionState;
  readonly request: EngineRequest;
  readonly sampler: Sampler;
  readonly adapters: AdapterSelection;
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
  /** What drafts come from; absent: nothing is drafted. */
  readonly drafts: DraftSource | undefined;
  /** Log-probabilities along the beams, when asked for. */
  paths: Paths | undefined;
}

type Row = Float32Array | Float64Array;
type Paths = Map<Beam, readonly TokenLogprob[]>;

/** Tokens that are known but not computed; 0 while a beam waits for the others. */
export function pendingOf(stream: Stream): number {
  return stream.row === undefined ? stream.tokens.length - stream.timeline.length : 0;
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

/** Waits until every beam's logits are there; then takes a step, and forks the beams that go on. */
function receiveBeam(run: Run, stream: Stream, row: Row, pool: PagePool, nextId: () => number) {
  const before = run.search!;
  const { streams } = run;
  stream.row = row.slice();
  if (streams.some((other) => other.row === undefined)) return undefined;

  const rows = streams.map((each) => each.row!);
  const search = advanceBeams(before, rows);
  run.search = search;
  if (run.paths !== undefined) run.paths = growPaths(run, before, search, rows);
  run.streams = search.open.map(({ tokens }, i) => {
    const from = streams[search.parents[i]!]!;
    return { id: nextId(), timeline: fork(pool, from.timeline), tokens: [...from.tokens, tokens.at(-1)!], waited: 0 };
  });
  // The prompt's own timeline stays with the session; the beams are forks of it.
  for (const old of streams) if (old.timeline !== run.session.timeline) truncate(pool, old.timeline, 0);
  return search.done ? giveBest(run, search.finished) : undefined;
}

/** Log-probabilities along the open beams, and along the texts that this step finished. */
function growPaths(run: Run, before: BeamSearch, after: BeamSearch, rows: readonly Row[]): Paths {
  const paths: Paths = new Map();
  const extend = ({ tokens }: Beam, parent: number) => {
    const row = rows[parent]!;
    const token = tokens.at(-1)!;
    const normalizer = logSumExp(row);
    const top = topLogprobs(row, run.request.logprobs!, normalizer);
    const entry = { token, logprob: row[token]! - normalizer, top };
    return [...run.paths!.get(before.open[parent]!)!, entry];
  };
  for (const [i, beam] of after.open.entries()) paths.set(beam, extend(beam, after.parents[i]!));
  for (const beam of after.finished) {
    const known = run.paths!.get(beam);
    const parent = () => before.open.findIndex(({ tokens }) => commonPrefix(tokens, beam.tokens) === tokens.length);
    paths.set(beam, known ?? extend(beam, parent()));
  }
  return paths;
}

/** Ends a search where it stands, for want of memory. */
export function endBeams(run: Run): FinishReason {
  return giveBest(run, finishBeams(run.search!), "context");
}

function giveBest(run: Run, finished: readonly Beam[], reason: FinishReason = run.limitReason): FinishReason {
  const best = finished[0];
  if (best === undefined) return reason;
  const ended = run.ends.has(best.tokens.at(-1)!);
  const tokens = ended ? best.tokens.slice(0, -1) : best.tokens;
  run.generated = tokens.length;
  const path = run.paths && [...run.paths].find(([beam]) => beam.tokens === best.tokens)?.[1];
  run.emit(tokens, path?.slice(0, tokens.length));
  return ended ? "stop" : reason;
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
  return { id, timeline: createTimeline(), tokens: [], queue: [], lastUsed: 0, adapters: noAdapters.key };
}

/** Length of the common beginning. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a[i] === b[i]) i++;
  return i;
}
