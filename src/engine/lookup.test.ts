import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLookup, longestMatch, shortestMatch } from "./lookup.ts";

/** The same by trying every place. */
function bruteForce(tokens: readonly number[], most: number) {
  let best = { place: 0, match: shortestMatch - 1 };
  for (let place = tokens.length - 1; place >= shortestMatch; place--) {
    let match = 0;
    while (match < longestMatch && match < place && tokens[place - 1 - match] === tokens[tokens.length - 1 - match])
      match++;
    if (match > best.match) best = { place, match };
  }
  if (best.place === 0) return { tokens: [], match: 0 };
  const all = [...tokens];
  for (let i = 0; i < most; i++) all.push(all[best.place + i]!);
  return { tokens: all.slice(tokens.length), match: best.match };
}

describe("look-up", () => {
  it("guesses what followed the longest, then latest, match", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 30 }),
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 8 }),
        (prompt, steps, most) => {
          const lookup = createLookup();
          const tokens = [...prompt];
          lookup.update(tokens);
          for (const step of steps) {
            tokens.push(step);
            lookup.update(tokens);
          }
          expect(lookup.guess(most)).toEqual(bruteForce(tokens, most));
        },
      ),
      { numRuns: 500 },
    );
  });

  it("reads a list that got shorter afresh", () => {
    const lookup = createLookup();
    lookup.update([1, 2, 3, 4, 1, 2]);
    expect(lookup.guess(2)).toEqual({ tokens: [3, 4], match: 2 });
    lookup.update([7, 8, 9, 7, 8]);
    expect(lookup.guess(1)).toEqual({ tokens: [9], match: 2 });
  });

  it("takes a bounded time a token, also where everything looks alike", () => {
    const seconds = (length: number) => {
      const lookup = createLookup();
      const tokens = Array.from({ length }, (_, i) => (i % 7 === 0 ? i % 5 : 1));
      lookup.update(tokens);
      const began = performance.now();
      for (let i = 0; i < 300; i++) {
        tokens.push(1);
        lookup.update(tokens);
        lookup.guess(15);
      }
      return performance.now() - began;
    };
    seconds(1000);
    expect(seconds(64_000)).toBeLessThan(10 * seconds(2000) + 20);
  });
});
