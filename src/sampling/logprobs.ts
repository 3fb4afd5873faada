import { sumExp } from "./exponential.ts";
import { type Logits, largest } from "./logits.ts";
import { selectLargest } from "./select.ts";

/** A token and the natural logarithm of its probability. */
export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

/**
 * log Σ exp(logit): subtracted from a logit it gives the token's log-probability. Relative to the sum, within 1e-11.
 * @throws GrokError `argument` for logits that are NaN, +Infinity or all -Infinity.
 */
export function logSumExp(logits: Logits): number {
  const most = logits[largest(logits)]!;
  return most + Math.log(sumExp(logits, most));
}

/** The `count` likeliest tokens, likeliest first (the lower id on a tie), given {@link logSumExp} of the same logits. */
export function topLogprobs(logits: Logits, count: number, normalizer: number): TokenLogprob[] {
  const ids = new Int32Array(Math.min(count, logits.length));
  selectLargest(logits, count, ids);
  return Array.from(ids, (token) => ({ token, logprob: logits[token]! - normalizer })).sort(
    (a, b) => b.logprob - a.logprob || a.token - b.token,
  );
}
