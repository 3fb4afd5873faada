import { describeValue, GrokError } from "../errors.ts";
import { forbidOthers, type Logits, type TokenMask } from "./logits.ts";
import { logSumExp } from "./logprobs.ts";
import { selectLargest } from "./select.ts";

export interface BeamOptions {
  /** Beams kept open, and texts returned. At least 1. */
  readonly beams: number;
  /**
   * α of the length penalty: a text y scores log P(y) / ((5 + |y|) / 6)^α, |y| counting the end token. 0 favours short
   * texts, larger values longer ones. Wu et al., Google's neural machine translation (2016), equation 14.
   */
  readonly lengthPenalty: number;
  /**
   * When to stop, once `beams` texts are finished (Hugging Face's definition). true: at once. false: when the best open beam,
   * were it to end at its present length, would not beat the worst finished text. "never": when it could not even at the
   * length that suits it best.
   */
  readonly earlyStopping: boolean | "never";
  /** Longest text, in tokens. At least 1. */
  readonly maxTokens: number;
  /** Tokens that finish a text; they are part of it. */
  readonly endTokens: ReadonlySet<number>;
}

export const defaultBeamOptions: BeamOptions = {
  beams: 4,
  lengthPenalty: 0.6,
  earlyStopping: false,
  maxTokens: 256,
  endTokens: new Set(),
};

/** An unfinished text. */
export interface Beam {
  readonly tokens: readonly number[];
  /** log P of the tokens, natural logarithm. */
  readonly logprob: number;
}

/** A finished text, ended by an end token or by reaching the longest length. */
export interface Hypothesis extends Beam {
  /** `logprob` with the length penalty applied. */
  readonly score: number;
}

/** A search between two steps. A value: {@link advanceBeams} returns the next one. */
export interface BeamSearch {
  readonly options: BeamOptions;
  /** Open beams, best first. One, empty, at the start; none when `done`. */
  readonly open: readonly Beam[];
  /** For each open beam, which beam of the step before it continues: whose key/value pages to fork. */
  readonly parents: readonly number[];
  /** The best texts finished so far, at most `beams`, best first. The answer once `done`. */
  readonly finished: readonly Hypothesis[];
  readonly done: boolean;
}

/** @throws GrokError `argument` for an option out of its range. */
export function startBeams(options: Partial<BeamOptions> = {}): BeamSearch {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved: BeamOptions = { ...defaultBeamOptions, ...given };
  const refuse = (option: keyof BeamOptions, range: string): never => {
    throw new GrokError("argument", `beam option ${option} is ${describeValue(resolved[option])}: expected ${range}`, {
      option,
      range,
    });
  };
  for (const option of ["beams", "maxTokens"] as const) {
    if (!Number.isSafeInteger(resolved[option]) || resolved[option] < 1) refuse(option, "a whole number of at least 1");
  }
  if (!Number.isFinite(resolved.lengthPenalty)) refuse("lengthPenalty", "a finite number");
  return { options: resolved, open: [{ tokens: [], logprob: 0 }], parents: [0], finished: [], done: false };
}

/** What a text of `length` tokens and this log-probability scores. */
export function beamScore(logprob: number, length: number, lengthPenalty: number): number {
  return logprob / ((5 + length) / 6) ** lengthPenalty;
}

/**
 * One step: every open beam continued by every token, the best candidates kept.
 *
 * Candidates are ranked by log P, the lower beam and then the lower token first on a tie. One that ends joins the finished
 * texts if it is among the first `beams` candidates (an end that is less likely than enough continuations is not taken);
 * the best `beams` that do not end stay open.
 *
 * @param logits one row for each open beam, in order; log-probabilities serve as well.
 * @param allowed tokens that may continue each open beam; absent: all. Probabilities stay those of the model.
 * @throws GrokError `argument` when rows and open beams differ in number, or for logits that are NaN, +Infinity or all -Infinity.
 */
export function advanceBeams(
  search: BeamSearch,
  logits: readonly Logits[],
  allowed?: readonly TokenMask[],
): BeamSearch {
  const { options, open } = search;
  if (logits.length !== open.length) {
    throw new GrokError("argument", `${logits.length} rows of logits for ${open.length} open beams`, {
      rows: logits.length,
      beams: open.length,
    });
  }
  const length = open[0]!.tokens.length + 1;
  const score = (logprob: number) => beamScore(logprob, length, options.lengthPenalty);
  let finished: readonly Hypothesis[] = search.finished;
  const finish = (beam: Beam) => {
    finished = insert(finished, { ...beam, score: score(beam.logprob) }, options.beams);
  };

  const next: Beam[] = [];
  const parents: number[] = [];
  for (const [rank, candidate] of rankCandidates(search, logits, allowed).entries()) {
    const { parent, token, logprob } = candidate;
    const ends = options.endTokens.has(token);
    if (ends && rank >= options.beams) continue;
    const beam = { tokens: [...open[parent]!.tokens, token], logprob };
    if (ends) {
      finish(beam);
    } else {
      next.push(beam);
      parents.push(parent);
      if (next.length === options.beams) break;
    }
  }

  if (length >= options.maxTokens) for (const beam of next) finish(beam);
  const done = length >= options.maxTokens || next.length === 0 || settled(options, finished, next[0]!.logprob, length);
  return done ? { options, open: [], parents: [], finished, done } : { options, open: next, parents, finished, done };
}

/**
 * Ends a search early, for a caller that has to stop: open beams count as finished at their present length.
 */
export function finishBeams(search: BeamSearch): readonly Hypothesis[] {
  const { beams, lengthPenalty } = search.options;
  return search.open
    .filter((beam) => beam.tokens.length > 0)
    .reduce<readonly Hypothesis[]>(
      (best, beam) =>
        insert(best, { ...beam, score: beamScore(beam.logprob, beam.tokens.length, lengthPenalty) }, beams),
      search.finished,
    );
}

interface Candidate {
  readonly parent: number;
  readonly token: number;
  readonly logprob: number;
}

/** Enough of the best continuations that `beams` of them do not end, whatever the rest do. */
function rankCandidates(
  { options, open }: BeamSearch,
  logits: readonly Logits[],
  allowed: readonly TokenMask[] | undefined,
): Candidate[] {
  const wanted = options.beams * (1 + options.endTokens.size);
  const candidates: Candidate[] = [];
  for (const [parent, row] of logits.entries()) {
    const base = open[parent]!.logprob - logSumExp(row);
    const ids = new Int32Array(Math.min(wanted, row.length));
    const choices = allowed === undefined ? row : row.slice();
    if (allowed !== undefined) forbidOthers(choices, allowed[parent]!);
    selectLargest(choices, wanted, ids);
    for (const token of ids) {
      if (choices[token]! > Number.NEGATIVE_INFINITY) candidates.push({ parent, token, logprob: base + row[token]! });
    }
  }
  return candidates.sort((a, b) => b.logprob - a.logprob || a.parent - b.parent || a.token - b.token).slice(0, wanted);
}

/** Whether no open beam is worth continuing; `best` is the log P of the best of them. */
function settled(options: BeamOptions, finished: readonly Hypothesis[], best: number, length: number): boolean {
  if (finished.length < options.beams) return false;
  if (options.earlyStopping === true) return true;
  // log P is negative and can only fall, so a positive penalty is kindest at the longest length.
  const kindest = options.earlyStopping === "never" && options.lengthPenalty > 0 ? options.maxTokens : length;
  return finished.at(-1)!.score >= beamScore(best, kindest, options.lengthPenalty);
}

/** `list`, best first, with `added` in its place (after equals), cut to `most`. */
function insert(list: readonly Hypothesis[], added: Hypothesis, most: number): readonly Hypothesis[] {
  const at = list.findIndex((other) => other.score < added.score);
  const longer = at < 0 ? [...list, added] : [...list.slice(0, at), added, ...list.slice(at)];
  return longer.slice(0, most);
}
