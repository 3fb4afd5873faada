import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createStopMatcher } from "./stop-strings.ts";

/** The whole text at once, prefix by prefix: ends before the stop that some prefix ends with first, the longest of those. */
function naive(text: string, stops: readonly string[]): { text: string; stop?: string } {
  for (let end = 1; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)[0];
    if (found !== undefined) return { text: text.slice(0, end - found.length), stop: found };
  }
  return { text };
}

const word = (most: number) => fc.string({ unit: fc.constantFrom("a", "b", "é", "😀"), minLength: 1, maxLength: most });

describe("stop strings", () => {
  it("end the text at the same place however it is cut, and give nothing too early", () => {
    fc.assert(
      fc.property(fc.array(word(8), { maxLength: 20 }), fc.array(word(5), { maxLength: 3 }), (pieces, stops) => {
        const whole = naive(pieces.join(""), stops);
        const matcher = createStopMatcher(stops);
        let text = "";
        let seen = "";
        let stop: string | undefined;
        for (const piece of pieces) {
          const certain = matcher.push(piece);
          text += certain.text;
          seen += piece;
          stop = certain.stop;
          // Whatever came next, this could not have to be taken back; and only a possible beginning is held.
          expect(naive(pieces.join(""), stops).text.startsWith(text)).toBe(true);
          if (stop === undefined) {
            const held = seen.slice(text.length);
            expect(held === "" || stops.some((stop) => stop.startsWith(held) && stop !== held)).toBe(true);
          }
        }
        if (stop === undefined) text += matcher.end();
        expect({ text, ...(stop !== undefined && { stop }) }).toEqual(whole);
      }),
      { numRuns: 2000 },
    );
  });

  it("may begin inside themselves", () => {
    const matcher = createStopMatcher(["aab"]);
    expect(matcher.push("aaa")).toEqual({ text: "a" });
    expect(matcher.push("ab")).toEqual({ text: "a", stop: "aab" });
    expect(matcher.push("more")).toEqual({ text: "", stop: "aab" });
  });

  it("are whole texts", () => {
    for (const stop of ["", "\ud83d", "a\ude00"]) {
      expect(() => createStopMatcher([stop])).toThrow(expect.objectContaining({ code: "argument" }));
    }
  });
});
