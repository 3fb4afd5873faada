import type { Activation } from "../ops.ts";
import { gate } from "./elementwise.ts";
import { multiply } from "./matmul.ts";
import type { ReferenceWeight } from "./weight.ts";

export interface ReferenceStacks {
  readonly gate: ReferenceWeight;
  readonly up: ReferenceWeight;
  readonly down: ReferenceWeight;
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
    gate(gates, activation, gates, ups);
    const downs = new Float64Array(rows.length * width);
    multiply(downs, gates, rows.length, stacks.down, expert);
    rows.forEach((row, i) => {
      for (let j = 0; j < width; j++) out[row * width + j]! += factors[i]! * downs[i * width + j]!;
    });
  }
}
