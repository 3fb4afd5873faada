import type { Matcher } from "../../grammar/matcher.ts";
import { advanceBeams, type Beam, type BeamSearch, finishBeams } from "../../sampling/beam.ts";
import { type Logits, largest } from "../../sampling/logits.ts";
import { logSumExp, topLogprobs } from "../../sampling/logprobs.ts";
import type { KvMemory } from "../kv-memory.ts";
import { fork, truncate } from "../pages.ts";
import { commonPrefix } from "../prefix-tree.ts";
import type { FinishReason, TokenLogprob } from "../request.ts";
import { type Consumer, createSequence, type Run, type Sequence } from "../run.ts";
import type { Outcome } from "./outcome.ts";
import type { SampleOptions } from "./sample.ts";

export interface BeamRunOptions extends Omit<SampleOptions, "sampler" | "tokens" | "experts"> {
  readonly search: BeamSearch;
  /** Alternatives to give with each token; absent: no log-probabilities. */
  readonly logprobs: number | undefined;
  readonly memory: KvMemory;
  readonly nextId: () => number;
}

/** Log-probabilities along the beams. */
type Paths = Map<Beam, readonly TokenLogprob[]>;

/** Waits for the rows of all beams; then takes a step of the search, and forks the beams that go on. */
export function createBeamRun(outcome: Outcome, options: BeamRunOptions): Consumer {
  const { ends, limit, limitReason, emit, logprobs, memory, nextId, matcher } = options;
  const { pool, prefixes } = memory;
  let { search } = options;
  const rows = new Map<Sequence, Logits>();
  /** Of each open beam, where there is a grammar. */
  let matchers = matcher && [matcher];
  let paths: Paths | undefined = logprobs === undefined ? undefined : new Map(search.open.map((beam) => [beam, []]));

  function giveBest(finished: readonly Beam[], reason: FinishReason): FinishReason {
    const best = finished[0];
    if (best === undefined) return reason;
    const ended = ends.has(best.tokens.at(-1)!);
    const tokens = ended ? best.tokens.slice(0, -1) : best.tokens;
    outcome.generated = tokens.length;
    const path = paths && [...paths].find(([beam]) => beam.tokens === best.tokens)?.[1];
    outcome.endToken = path?.[tokens.length];
    emit(tokens, path?.slice(0, tokens.length));
    return ended ? "stop" : reason;
  }

  function step(run: Run): FinishReason | undefined {
    const before = search;
    const { sequences } = run;
    const taken = sequences.map((sequence) => rows.get(sequence)!);
    rows.clear();
    search = advanceBeams(
      before,
      taken,
      matchers?.map((one) => one.allowed()),
    );
    const parents = matchers;
    matchers = parents && search.open.map(({ tokens }, i) => followed(parents[search.parents[i]!]!, tokens.at(-1)!));
    if (paths !== undefined) paths = growPaths(paths, before, search, taken, logprobs!);
    run.sequences = search.open.map(({ tokens }, i) => {
      const { timeline, tokens: known } = sequences[search.parents[i]!]!;
      return createSequence(nextId(), [...Array.from(known), tokens.at(-1)!], known.length, fork(pool, timeline));
    });
    for (const { tokens, timeline } of sequences) {
      // The prompt: of the beams' own timelines those of the last step are kept, if there is one.
      if (sequences.length === 1 && run.prefixes !== undefined) prefixes.keep(run.prefixes, tokens, timeline);
      truncate(pool, timeline, 0);
    }
    return search.done ? giveBest(search.finished, limitReason) : undefined;
  }

  return {
    kind: "beam",
    together: true,
    take(run, sequence, _, row) {
      outcome.begin(run);
      if (limit === 0) return limitReason;
      // Throws where they are no numbers.
      largest(row);
      rows.set(sequence, row.slice());
      return rows.size === run.sequences.length ? step(run) : undefined;
    },
    starve: () => giveBest(finishBeams(search), "context"),
    end: outcome.end,
    fail: outcome.fail,
  };
}

function followed(parent: Matcher, token: number): Matcher {
  const matcher = parent.fork();
  matcher.accept(token);
  return matcher;
}

/** Log-probabilities along the open beams, and along the texts that this step finished. */
function growPaths(known: Paths, before: BeamSearch, after: BeamSearch, rows: readonly Logits[], count: number): Paths {
  const paths: Paths = new Map();
  const extend = ({ tokens }: Beam, parent: number) => {
    const row = rows[parent]!;
    const token = tokens.at(-1)!;
    const normalizer = logSumExp(row);
    const top = topLogprobs(row, count, normalizer);
    return [...known.get(before.open[parent]!)!, { token, logprob: row[token]! - normalizer, top }];
  };
  for (const [i, beam] of after.open.entries()) paths.set(beam, extend(beam, after.parents[i]!));
  for (const beam of after.finished) {
    const parent = () => before.open.findIndex(({ tokens }) => commonPrefix(tokens, beam.tokens) === tokens.length);
    paths.set(beam, known.get(beam) ?? extend(beam, parent()));
  }
  return paths;
}
