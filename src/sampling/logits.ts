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

/** A bit for each token that may be chosen, in words of 32, the lowest first; tokens beyond its end may not. */
export type TokenMask = Uint32Array;

/** Lists the tokens that may be chosen, ascending. @returns how many */
export function listAllowed(allowed: TokenMask, vocab: number, ids: Int32Array): number {
  let count = 0;
  for (let word = 0; word < allowed.length; word++) {
    for (let bits = allowed[word]!; bits !== 0; bits &= bits - 1) {
      const id = 32 * word + 31 - Math.clz32(bits & -bits);
      if (id < vocab) ids[count++] = id;
    }
  }
  return count;
}

/** Makes the logits of all other tokens -Infinity. */
export function forbidOthers(logits: Logits, allowed: TokenMask): void {
  const { length } = logits;
  const most = Math.min(length, 32 * allowed.length);
  for (let word = 0, from = 0; from < most; word++, from += 32) {
    const bits = allowed[word]!;
    if (bits === 0xffffffff) continue;
    const to = Math.min(from + 32, most);
    if (bits === 0) logits.fill(Number.NEGATIVE_INFINITY, from, to);
    else for (let i = from; i < to; i++) if (((bits >>> (i - from)) & 1) === 0) logits[i] = Number.NEGATIVE_INFINITY;
  }
  logits.fill(Number.NEGATIVE_INFINITY, most, length);
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
