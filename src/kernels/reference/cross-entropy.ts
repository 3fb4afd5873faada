import { GrokError } from "../../errors.ts";
import { logSumExpOf } from "./route-gradient.ts";

/** The loss of GradOps.crossEntropy, and its gradient into `out`, which may be the logits, where given. */
export function weighCrossEntropy(
  out: Float64Array | undefined,
  logits: Float64Array,
  vocab: number,
  targets: Int32Array,
  weights: Float64Array,
): number {
  let loss = 0;
  for (let t = 0; t < targets.length; t++) {
    const weight = weights[t]!;
    const start = t * vocab;
    if (weight === 0) {
      out?.fill(0, start, start + vocab);
      continue;
    }
    const target = targets[t]!;
    if (!(target >= 0 && target < vocab)) {
      throw new GrokError("argument", `crossEntropy: target ${target} of row ${t} is not in 0 to ${vocab - 1}`, {
        row: t,
        target,
      });
    }
    const lse = logSumExpOf(logits.subarray(start, start + vocab));
    loss += weight * (lse - logits[start + target]!);
    if (out === undefined) continue;
    for (let i = 0; i < vocab; i++) out[start + i] = weight * Math.exp(logits[start + i]! - lse);
    out[start + target]! -= weight;
  }
  return loss;
}
