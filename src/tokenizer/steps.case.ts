import fc from "fast-check";
import { expect } from "vitest";
import { mostAtOnce } from "./merge.ts";
import { type Steps, stepSize } from "./steps.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Texts of a few steps, of what is long without an end of a word, of words, of what the vocabulary lacks, of control tokens' names. */
const units = [
  "a",
  "ab ",
  " ",
  "\n \n",
  "once upon a time, ",
  "é漢",
  "😀",
  "0",
  "</s>",
  "<|im_end|>",
  "'ll re",
  "\u2581",
  "ﬁ½",
];
const longText = fc
  .array(fc.tuple(fc.constantFrom(...units), fc.integer({ min: 1, max: 2 * mostAtOnce })), {
    minLength: 1,
    maxLength: 4,
  })
  .map((runs) => runs.map(([unit, count]) => unit.repeat(Math.ceil(count / unit.length))).join(""));

/** Checks that texts which are encoded in steps, in turn with each other and with others at once, are the same as alone. */
export function checkSteps(tokenizer: Tokenizer, numRuns: number): void {
  const texts = fc.array(fc.tuple(longText, fc.boolean()), { minLength: 2, maxLength: 3 });
  fc.assert(
    fc.property(texts, fc.infiniteStream(fc.nat(3)), (given, order) => {
      const alone = given.map(([text, special]) => tokenizer.encode(text, { special }));
      const found: Int32Array[] = [];
      const under = new Map<number, Steps<Int32Array>>();
      for (const [i, [text, special]] of given.entries()) under.set(i, tokenizer.encodeSteps(text, { special }));
      const counts = given.map(() => 0);
      while (under.size > 0) {
        const next = order.next().value as number;
        if (next === 3) tokenizer.encode("between others");
        const steps = under.get(next);
        if (steps === undefined) continue;
        const { done, value } = steps.next();
        counts[next]!++;
        if (!done) continue;
        found[next] = value;
        under.delete(next);
      }
      expect(found).toEqual(alone);
      for (const [i, [text]] of given.entries()) {
        expect(counts[i]).toBeGreaterThanOrEqual(Math.floor(Buffer.byteLength(text) / (stepSize + mostAtOnce)));
      }
    }),
    { numRuns },
  );
}
