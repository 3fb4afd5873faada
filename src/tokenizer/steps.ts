/**
 * Work in pieces that are bounded however long a text is, a millisecond or two each: who has others to serve in between takes them one by
 * one, everybody else to the end.
 */
export type Steps<T = void> = Generator<undefined, T, undefined>;

/** Bytes (or symbols, or candidates) that are looked at in a step. */
export const stepSize = 1 << 13;

/** All of it, at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}
