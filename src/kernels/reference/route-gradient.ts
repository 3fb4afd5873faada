import type { RouterLosses, RouterLossOptions } from "../grad-ops.ts";
import type { RouteOptions } from "../ops.ts";

/** Adds to dlogits [rows, experts] and returns the router's own losses. See GradOps.routeBackward. */
export function addRouteGradient(
  dLogits: Float64Array,
  dWeights: Float64Array,
  logits: Float64Array,
  routed: { readonly probabilities: Float64Array; readonly chosen: Float64Array; readonly weights: Float64Array },
  rows: number,
  options: RouteOptions & RouterLossOptions,
): RouterLosses {
  if (rows === 0) return { balance: 0, zLoss: 0 };
  const { probabilities, chosen, weights } = routed;
  const { used, renormalize } = options;
  const experts = probabilities.length / rows;

  const share = new Float64Array(experts);
  for (const expert of chosen) share[expert]! += 1 / (rows * used);

  const dp = new Float64Array(experts);
  let balance = 0;
  let zLoss = 0;
  for (let row = 0; row < rows; row++) {
    const p = probabilities.subarray(row * experts, (row + 1) * experts);
    const x = logits.subarray(row * experts, (row + 1) * experts);
    const at = row * used;
    for (let e = 0; e < experts; e++) {
      balance += (experts * share[e]! * p[e]!) / rows;
      dp[e] = (options.balance * experts * share[e]!) / rows;
    }
    let sum = 1;
    let along = 0;
    if (renormalize) {
      sum = 0;
      for (let i = at; i < at + used; i++) {
        sum += p[chosen[i]!]!;
        along += dWeights[i]! * weights[i]!;
      }
    }
    for (let i = at; i < at + used; i++) dp[chosen[i]!]! += (dWeights[i]! - along) / sum;

    let mean = 0;
    for (let e = 0; e < experts; e++) mean += p[e]! * dp[e]!;
    const lse = logSumExpOf(x);
    zLoss += (lse * lse) / rows;
    for (let e = 0; e < experts; e++) {
      dLogits[row * experts + e]! += p[e]! * (dp[e]! - mean) + (options.zLoss * 2 * lse * p[e]!) / rows;
    }
  }
  return { balance, zLoss };
}

export function logSumExpOf(x: Float64Array): number {
  let max = -Infinity;
  for (let i = 0; i < x.length; i++) max = Math.max(max, x[i]!);
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.exp(x[i]! - max);
  return max + Math.log(sum);
}
