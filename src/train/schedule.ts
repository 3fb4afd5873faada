import type { TrainOptimizer } from "./config.ts";

/**
 * The learning rate of step 1 to `steps`: up in equal steps to `rate` at the end of the warm-up, then down half a cosine
 * (Loshchilov & Hutter, SGDR, 2017) to `finalShare` of it at the last step.
 */
export function rateAt(
  step: number,
  steps: number,
  { rate, warmup, finalShare }: Pick<TrainOptimizer, "rate" | "warmup" | "finalShare">,
): number {
  if (step <= warmup) return (rate * step) / warmup;
  const done = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
  return rate * (finalShare + ((1 - finalShare) * (1 + Math.cos(Math.PI * done))) / 2);
}
