import type { AdamwOptions } from "../grad-ops.ts";
import type { ReferenceParameter } from "./parameter.ts";

/** One step of one parameter. See GradOps.adamw. */
export function stepParameter({ parts }: ReferenceParameter, options: AdamwOptions): void {
  const { values, gradient, mean, variance } = parts;
  const { rate, beta1, beta2, epsilon, decay, step, factor } = options;
  const meanBias = 1 - beta1 ** step;
  const varianceBias = 1 - beta2 ** step;
  for (let i = 0; i < values.length; i++) {
    const g = factor * gradient[i]!;
    mean[i] = beta1 * mean[i]! + (1 - beta1) * g;
    variance[i] = beta2 * variance[i]! + (1 - beta2) * g * g;
    const kept = values[i]! - rate * decay * values[i]!;
    values[i] = kept - (rate * (mean[i]! / meanBias)) / (Math.sqrt(variance[i]! / varianceBias) + epsilon);
  }
}
