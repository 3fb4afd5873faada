import type { Activation } from "../ops.ts";
import { gate } from "./elementwise.ts";
import { multiply } from "./matmul.ts";
import type { ReferenceWeight } from "./weight.ts";

export interface ReferenceStacks {
  readonly gate: ReferenceWeight;
  readonly up: ReferenceWeight;
  readonly down: ReferenceWeight;
}

export interface ReferenceTerm {
  readonly a: ReferenceWeight;
  readonly b: ReferenceWeight;
  /** One for each row of the batch. */
  readonly scales: Float64Array;
}

export type ReferenceTerms = Readonly<Record<keyof ReferenceStacks, readonly ReferenceTerm[]>>;

/** y [n, out] += the low-rank term of x [n, in], by matrices `index` of the factors. `tokens`: the rows of the batch that x holds. */
export function addLowRankTerm(
  y: Float64Array,
  x: Float64Array,
  n: number,
  { a, b, scales }: ReferenceTerm,
  index: number,
  tokens?: readonly number[],
): void {
  const inner = new Float64Array(n * a.rows);
  const sum = new Float64Array(n * b.rows);
  const scaleOf = (row: number) => scales[tokens === undefined ? row : tokens[row]!]!;
  multiply(inner, x, n, a, index);
  for (let i = 0; i < inner.length; i++) inner[i]! *= scaleOf(Math.floor(i / a.rows));
  multiply(sum, inner, n, b, index);
  for (let i = 0; i < sum.length; i++) if (scaleOf(Math.floor(i / b.rows)) !== 0) y[i]! += sum[i]!;
}

/**
 * out [n, width] = the weighted sum of each row's chosen experts. Rows are gathered by expert, so that an expert's weights
 * are read once; each row's terms are added in the order of its experts' numbers, whatever else is in the batch.
 */
export function mixExperts(
  out: Float64Array,
  x: Float64Array,
  n: number,
  chosen: Float64Array,
  weights: Float64Array,
  used: number,
  stacks: ReferenceStacks,
  activation: Activation,
  terms: ReferenceTerms,
): void {
  const width = stacks.gate.cols;
  const hidden = stacks.gate.rows;
  out.fill(0);
  for (let expert = 0; expert < stacks.gate.matrices; expert++) {
    const rows: number[] = [];
    const factors: number[] = [];
    for (let i = 0; i < n * used; i++) {
      if (chosen[i] !== expert) continue;
      rows.push(Math.floor(i / used));
      factors.push(weights[i]!);
    }
    if (rows.length === 0) continue;
    const gathered = new Float64Array(rows.length * width);
    rows.forEach((row, i) => {
      gathered.set(x.subarray(row * width, (row + 1) * width), i * width);
    });
    const gates = new Float64Array(rows.length * hidden);
    const ups = new Float64Array(rows.length * hidden);
    multiply(gates, gathered, rows.length, stacks.gate, expert);
    multiply(ups, gathered, rows.length, stacks.up, expert);
    for (const term of terms.gate) addLowRankTerm(gates, gathered, rows.length, term, expert, rows);
    for (const term of terms.up) addLowRankTerm(ups, gathered, rows.length, term, expert, rows);
    gate(gates, activation, gates, ups);
    const downs = new Float64Array(rows.length * width);
    multiply(downs, gates, rows.length, stacks.down, expert);
    for (const term of terms.down) addLowRankTerm(downs, gates, rows.length, term, expert, rows);
    rows.forEach((row, i) => {
      for (let j = 0; j < width; j++) out[row * width + j]! += factors[i]! * downs[i * width + j]!;
    });
  }
}
