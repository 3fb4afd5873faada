import type { SelfAttentionOptions } from "../grad-ops.ts";
import type { Batch } from "../ops.ts";
import { temperatureAt } from "./attention.ts";

/** Operands of attention over a batch's own rows: q [n, heads * headSize], k and v [n, kvHeads * headSize]. */
export interface AttentionOperands {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly headSize: number;
}

/** A query row's view of one head: where its values start, and the rows it attends to. */
interface Query {
  readonly row: number;
  readonly head: number;
  /** Of q and out. */
  readonly at: number;
  /** Of k and v, of the first row it attends to; rows are `stride` apart. */
  readonly first: number;
  readonly stride: number;
  readonly count: number;
  readonly temperature: number;
}

function eachQuery(batch: Batch, options: SelfAttentionOptions, headSize: number, use: (query: Query) => void): void {
  const { heads, kvHeads, temperatureLength } = options;
  const stride = kvHeads * headSize;
  for (const { start, count } of batch.sequences) {
    for (let row = start; row < start + count; row++) {
      const temperature = temperatureAt(batch.positions[row]!, temperatureLength);
      for (let head = 0; head < heads; head++) {
        const first = start * stride + Math.floor((head * kvHeads) / heads) * headSize;
        use({ row, head, at: (row * heads + head) * headSize, first, stride, count: row - start + 1, temperature });
      }
    }
  }
}

/** Scores of a query, after cap and temperature, into `scores`; `slopes` takes d score / d (q·k), where given. */
function score(
  { q, k, headSize }: AttentionOperands,
  { at, first, stride, count, temperature }: Query,
  { scale, softcap = 0 }: SelfAttentionOptions,
  scores: Float64Array,
  slopes?: Float64Array,
): void {
  for (let j = 0; j < count; j++) {
    let sum = 0;
    for (let i = 0; i < headSize; i++) sum += q[at + i]! * k[first + j * stride + i]!;
    const raw = scale * sum;
    const tanh = softcap > 0 ? Math.tanh(raw / softcap) : 0;
    scores[j] = temperature * (softcap > 0 ? softcap * tanh : raw);
    if (slopes !== undefined) slopes[j] = temperature * (1 - tanh * tanh) * scale;
  }
}

/** out and logSumExp [n, heads] of GradOps.selfAttention. */
export function attendSelf(
  out: Float64Array,
  logSumExp: Float64Array,
  operands: AttentionOperands,
  batch: Batch,
  options: SelfAttentionOptions,
): void {
  const { v, headSize } = operands;
  const scores = new Float64Array(batch.positions.length);
  out.fill(0);
  eachQuery(batch, options, headSize, (query) => {
    const { row, head, at, first, stride, count } = query;
    score(operands, query, options, scores);
    let max = -Infinity;
    for (let j = 0; j < count; j++) max = Math.max(max, scores[j]!);
    let sum = 0;
    for (let j = 0; j < count; j++) {
      const weight = Math.exp(scores[j]! - max);
      sum += weight;
      for (let i = 0; i < headSize; i++) out[at + i]! += weight * v[first + j * stride + i]!;
    }
    for (let i = 0; i < headSize; i++) out[at + i]! /= sum;
    logSumExp[row * options.heads + head] = max + Math.log(sum);
  });
}

/** Adds the gradients of GradOps.selfAttentionBackward to dq, dk and dv. */
export function addSelfAttentionGradient(
  into: { readonly q: Float64Array; readonly k: Float64Array; readonly v: Float64Array },
  dOut: Float64Array,
  operands: AttentionOperands,
  out: Float64Array,
  logSumExp: Float64Array,
  batch: Batch,
  options: SelfAttentionOptions,
): void {
  const { q, k, v, headSize } = operands;
  const scores = new Float64Array(batch.positions.length);
  const slopes = new Float64Array(batch.positions.length);
  eachQuery(batch, options, headSize, (query) => {
    const { row, head, at, first, stride, count } = query;
    score(operands, query, options, scores, slopes);
    const lse = logSumExp[row * options.heads + head]!;
    let mean = 0;
    for (let i = 0; i < headSize; i++) mean += dOut[at + i]! * out[at + i]!;
    for (let j = 0; j < count; j++) {
      const p = Math.exp(scores[j]! - lse);
      const other = first + j * stride;
      let dp = 0;
      for (let i = 0; i < headSize; i++) dp += dOut[at + i]! * v[other + i]!;
      const g = p * (dp - mean) * slopes[j]!;
      for (let i = 0; i < headSize; i++) {
        into.v[other + i]! += p * dOut[at + i]!;
        into.k[other + i]! += g * q[at + i]!;
        into.q[at + i]! += g * k[other + i]!;
      }
    }
  });
}
