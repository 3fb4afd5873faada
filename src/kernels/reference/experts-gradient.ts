import type { Activation } from "../ops.ts";
import { gate } from "./elementwise.ts";
import type { ReferenceStacks } from "./experts.ts";
import { eachGateGradient } from "./gate-gradient.ts";
import { multiply } from "./matmul.ts";
import { addProduct, addWeightGradient } from "./matmul-gradient.ts";

/**
 * Adds to dx [n, width] where it is given, sets dWeights [n, used], and adds to what is trained of the stacks. Rows are
 * gathered by expert as they are in the forward operation. See GradOps.expertsBackward.
 */
export function addExpertsGradient(
  dx: Float64Array | undefined,
  dWeights: Float64Array,
  dOut: Float64Array,
  x: Float64Array,
  routed: { readonly chosen: Float64Array; readonly weights: Float64Array; readonly used: number },
  stacks: ReferenceStacks,
  activation: Activation,
): void {
  const width = stacks.gate.cols;
  const hidden = stacks.gate.rows;
  const { chosen, weights, used } = routed;
  for (let expert = 0; expert < stacks.gate.matrices; expert++) {
    const places: number[] = [];
    for (let i = 0; i < chosen.length; i++) if (chosen[i] === expert) places.push(i);
    const n = places.length;
    if (n === 0) continue;
    const inputs = gather(x, places, used, width);
    const outer = gather(dOut, places, used, width);
    const gates = new Float64Array(n * hidden);
    const ups = new Float64Array(n * hidden);
    const inner = new Float64Array(n * hidden);
    multiply(gates, inputs, n, stacks.gate, expert);
    multiply(ups, inputs, n, stacks.up, expert);
    gate(inner, activation, gates, ups);

    const dInner = new Float64Array(n * hidden);
    addProduct(dInner, outer, n, stacks.down, expert);
    places.forEach((place, t) => {
      const weight = weights[place]!;
      let sum = 0;
      for (let i = t * hidden; i < (t + 1) * hidden; i++) {
        sum += dInner[i]! * inner[i]!;
        dInner[i]! *= weight;
      }
      dWeights[place] = sum;
      for (let i = t * width; i < (t + 1) * width; i++) outer[i]! *= weight;
    });
    addWeightGradient(stacks.down, expert, outer, inner, n);
    eachGateGradient(dInner, activation, gates, ups, (i, dGate, dUp) => {
      gates[i] = dGate;
      ups[i] = dUp;
    });
    addWeightGradient(stacks.gate, expert, gates, inputs, n);
    addWeightGradient(stacks.up, expert, ups, inputs, n);
    if (dx === undefined) continue;
    const dInputs = new Float64Array(n * width);
    addProduct(dInputs, gates, n, stacks.gate, expert);
    addProduct(dInputs, ups, n, stacks.up, expert);
    places.forEach((place, t) => {
      const row = Math.floor(place / used) * width;
      for (let i = 0; i < width; i++) dx[row + i]! += dInputs[t * width + i]!;
    });
  }
}

/** The rows of x [n, width] that choices at `places` of [n, used] belong to. */
function gather(x: Float64Array, places: readonly number[], used: number, width: number): Float64Array {
  const out = new Float64Array(places.length * width);
  places.forEach((place, t) => {
    const row = Math.floor(place / used);
    out.set(x.subarray(row * width, (row + 1) * width), t * width);
  });
  return out;
}
