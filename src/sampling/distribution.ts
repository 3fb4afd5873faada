import { GrokError } from "../errors.ts";
import { expMinus, negligible } from "./exponential.ts";
import type { History } from "./history.ts";
import { forbidOthers, type Logits, largest, listAllowed, type TokenMask } from "./logits.ts";
import type { SamplingOptions } from "./options.ts";
import { selectLargest, selectPrefix } from "./select.ts";

/**
 * From logits to the distribution a token is drawn from. The order is llama.cpp's default chain, so that results are
 * comparable:
 *
 *     logit bias → repetition, frequency, presence penalties → what a grammar allows
 *                → top-k → typical → top-p → min-p → temperature
 *
 * Temperature comes last: truncation sees the model's own probabilities, and a high temperature cannot let the tail back
 * in. (Other libraries apply it first.) Every truncation sees the survivors of the one before, renormalized, and keeps at
 * least one token.
 */
export interface Distribution {
  /** Tokens that can be drawn, in no particular order. */
  readonly tokens: Int32Array;
  /** Their probabilities, which sum to 1. */
  readonly probabilities: Float64Array;
}

/**
 * The distribution that options and history make of logits, and of these of the tokens that are `allowed`, or all. Greedy (temperature 0) is one token of probability 1.
 * @throws GrokError `argument` for a biased token outside the vocabulary, and for logits that are NaN, +Infinity or all
 * -Infinity.
 */
export function distribution(
  logits: Logits,
  options: SamplingOptions,
  history: History,
  allowed?: TokenMask,
): Distribution {
  const { tokens, probabilities } = computeDistribution(logits, options, history, allowed);
  return { tokens: tokens.slice(), probabilities: probabilities.slice() };
}

/**
 * Scratch for one vocabulary, shared by all samplers of a thread: a call leaves nothing behind that the next needs.
 * Candidates are parallel arrays: `ids[i]`, `gaps[i]` (largest logit minus this one), `masses[i]` (exp of minus the gap).
 */
interface Scratch {
  readonly work: Float32Array;
  readonly ids: Int32Array;
  readonly gaps: Float64Array;
  readonly masses: Float64Array;
  readonly keys: Float64Array;
  readonly order: Int32Array;
}

let scratch = allocate(0);

function allocate(size: number): Scratch {
  return {
    work: new Float32Array(size),
    ids: new Int32Array(size),
    gaps: new Float64Array(size),
    masses: new Float64Array(size),
    keys: new Float64Array(size),
    order: new Int32Array(size),
  };
}

/** As {@link distribution}, but the arrays are views of scratch memory: good until the next call. */
export function computeDistribution(
  logits: Logits,
  options: SamplingOptions,
  history: History,
  allowed?: TokenMask,
): Distribution {
  if (logits.length > scratch.work.length) scratch = allocate(logits.length);
  const work = scratch.work.subarray(0, logits.length);
  work.set(logits);
  adjust(work, options, history);
  const isGreedy = options.temperature === 0 || options.topK === 1;
  let count: number;
  if (isGreedy || options.topK > 0) {
    if (allowed !== undefined) forbidOthers(work, allowed);
    if (isGreedy) return only(largest(work));
    count = takeTopK(work, options.topK);
  } else count = allowed === undefined ? takeAll(work) : takeAllowed(work, allowed);
  if (options.typicalP < 1 || options.topP < 1 || options.minP > 0) weigh(count);
  if (options.typicalP < 1) count = keepTypical(count, options.typicalP);
  if (options.topP < 1) count = keepTopP(count, options.topP);
  if (options.minP > 0) count = keepMinP(count, options.minP);
  return soften(count, options.temperature);
}

/** Adds biases, then applies penalties: one for repetition to what prompt and answer have, the others to what the answer has. */
function adjust(work: Float32Array, options: SamplingOptions, history: History): void {
  for (const key in options.logitBias) {
    const token = Number(key);
    if (token >= work.length) {
      throw new GrokError("argument", `logitBias names token ${token}: the vocabulary has ${work.length}`, {
        option: "logitBias",
        token,
        vocab: work.length,
      });
    }
    work[token]! += options.logitBias[token]!;
  }
  if (!isPenalized(options)) return;
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = options;
  for (const token of history.counts.keys()) {
    if (token >= work.length) continue;
    const logit = work[token]!;
    const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    const generated = history.generated.get(token) ?? 0;
    work[token] = generated === 0 ? repeated : repeated - generated * frequencyPenalty - presencePenalty;
  }
}

function isPenalized({ repetitionPenalty, frequencyPenalty, presencePenalty }: SamplingOptions): boolean {
  return repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0;
}

/** Whether any logit can change before a token is chosen. */
export function isBent(options: SamplingOptions): boolean {
  return isPenalized(options) || Object.keys(options.logitBias).length > 0;
}

function only(token: number): Distribution {
  scratch.ids[0] = token;
  scratch.masses[0] = 1;
  return { tokens: scratch.ids.subarray(0, 1), probabilities: scratch.masses.subarray(0, 1) };
}

function takeTopK(work: Float32Array, k: number): number {
  const taken = selectLargest(work, k, scratch.ids);
  // The whole vocabulary is only searched again to say what is wrong with it.
  return keepLikely(work, taken, () => largest(work));
}

/** Tokens that a grammar allows are often few: others are not looked at. */
function takeAllowed(work: Float32Array, allowed: TokenMask): number {
  return keepLikely(work, listAllowed(allowed, work.length, scratch.ids), () => {
    forbidOthers(work, allowed);
    return largest(work);
  });
}

/** Of the tokens `ids[0 .. taken)` those that count for something, with their gaps. @param check throws for logits of which none can be chosen */
function keepLikely(work: Float32Array, taken: number, check: () => number): number {
  const { ids, gaps } = scratch;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < taken; i++) most = Math.max(most, work[ids[i]!]!);
  if (!Number.isFinite(most)) most = work[check()]!;
  let count = 0;
  for (let i = 0; i < taken; i++) {
    const id = ids[i]!;
    const gap = most - work[id]!;
    if (!(gap < negligible)) continue;
    ids[count] = id;
    gaps[count++] = gap;
  }
  return count;
}

function takeAll(work: Float32Array): number {
  const { ids, gaps } = scratch;
  const most = work[largest(work)]!;
  let count = 0;
  for (let id = 0; id < work.length; id++) {
    const gap = most - work[id]!;
    if (!(gap < negligible)) continue;
    ids[count] = id;
    gaps[count++] = gap;
  }
  return count;
}

function weigh(count: number): void {
  const { gaps, masses } = scratch;
  for (let i = 0; i < count; i++) masses[i] = expMinus(gaps[i]!);
}

/** Probability p = mass / total; surprise -log p = gap + log total; entropy is its mean. */
function keepTypical(count: number, share: number): number {
  const { gaps, masses, keys, order } = scratch;
  const total = sum(count);
  const logTotal = Math.log(total);
  let entropy = 0;
  for (let i = 0; i < count; i++) entropy += (masses[i]! / total) * (gaps[i]! + logTotal);
  for (let i = 0; i < count; i++) {
    keys[i] = Math.abs(gaps[i]! + logTotal - entropy);
    order[i] = i;
  }
  return gather(selectPrefix(order, count, keys, masses, scratch.ids, share * total));
}

function keepTopP(count: number, share: number): number {
  const { gaps, masses, order, ids } = scratch;
  const total = sum(count);
  // All tokens under this bound weigh less than 1 - share together, so none of them is needed to reach the share.
  const floor = ((1 - share) * total) / count;
  let listed = 0;
  for (let i = 0; i < count; i++) if (masses[i]! >= floor) order[listed++] = i;
  return gather(selectPrefix(order, listed, gaps, masses, ids, share * total));
}

function keepMinP(count: number, share: number): number {
  const { masses, order } = scratch;
  let most = 0;
  for (let i = 0; i < count; i++) most = Math.max(most, masses[i]!);
  let listed = 0;
  for (let i = 0; i < count; i++) if (masses[i]! >= share * most) order[listed++] = i;
  return gather(listed);
}

function soften(count: number, temperature: number): Distribution {
  const { ids, gaps, masses } = scratch;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) least = Math.min(least, gaps[i]!);
  for (let i = 0; i < count; i++) masses[i] = expMinus((gaps[i]! - least) / temperature);
  const total = sum(count);
  for (let i = 0; i < count; i++) masses[i]! /= total;
  return { tokens: ids.subarray(0, count), probabilities: masses.subarray(0, count) };
}

function sum(count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += scratch.masses[i]!;
  return total;
}

/** Moves the candidates listed in `order[0 .. count)` to the front, in ascending place so that none is overwritten early. */
function gather(count: number): number {
  const { ids, gaps, masses, order } = scratch;
  const kept = order.subarray(0, count).sort();
  for (let i = 0; i < count; i++) {
    const from = kept[i]!;
    ids[i] = ids[from]!;
    gaps[i] = gaps[from]!;
    masses[i] = masses[from]!;
  }
  return count;
}
