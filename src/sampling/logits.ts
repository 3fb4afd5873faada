import { GrokError } from "../errors.ts";

/** One row of a model's output, [vocab]: float32 from fast backends, float64 from the reference. */
export type Logits = Float32Array | Float64Array;

/**
 * The index of the largest logit; of equal ones the lowest.
 * @throws GrokError `argument` for logits that are NaN, +Infinity or all -Infinity: the model's arithmetic went wrong.
 */
export function largest(logits: Logits): number {
  let found = -1;
  let most = Number.NEGATIVE_INFINITY;
  const { length } = logits;
  for (let i = 0; i < length; i++) {
    // Written so that NaN, which no comparison holds for, needs no test of its own.
    if (!(logits[i]! <= most)) {
      most = logits[i]!;
      found = i;
      if (Number.isNaN(most)) break;
    }
  }
  if (!Number.isFinite(most)) {
    const problem = found < 0 ? "no logit is above -Infinity" : `logit ${found} is ${most}`;
    throw new GrokError("argument", `cannot choose a token: ${problem}`, { vocab: logits.length, token: found });
  }
  return found;
}

/** Whether a token can be chosen by these logits: none is NaN or +Infinity, and not all are -Infinity. */
export function canChoose(logits: Logits): boolean {
  let most = Number.NEGATIVE_INFINITY;
  for (const logit of logits) {
    if (Number.isNaN(logit)) return false;
    if (logit > most) most = logit;
  }
  return Number.isFinite(most);
}
