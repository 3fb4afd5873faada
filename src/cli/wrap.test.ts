import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createWrapper, displayWidth } from "./wrap.ts";

function wrap(pieces: readonly string[], columns: number | undefined): string {
  const wrapper = createWrapper(() => columns);
  return pieces.map((piece) => wrapper.push(piece)).join("") + wrapper.end();
}

describe("lines", () => {
  it("break between words", () => {
    expect(wrap(["The quick brown fox jumps"], 10)).toBe("The quick\nbrown fox\njumps");
    expect(wrap(["The qu", "ick bro", "wn", " fox", "\n\n  jum", "ps over it"], 10)).toBe(
      "The quick\nbrown fox\n\n  jumps\nover it",
    );
    expect(wrap(["exactly te\nn a"], 10)).toBe("exactly te\nn a");
  });

  it("are not broken where the terminal does not know its width, and again once it does", () => {
    let columns = 0;
    const wrapper = createWrapper(() => columns);
    const first = wrapper.push("The quick brown fox jumps over\n");
    columns = 10;
    expect(first + wrapper.push("the quick brown") + wrapper.end()).toBe(
      "The quick brown fox jumps over\nthe quick\nbrown",
    );
    columns = 0;
    const unknown = wrapper.push(" a b ");
    columns = 10;
    expect(unknown + wrapper.push("abcdefgh abc") + wrapper.end()).toBe(" a b\nabcdefgh\nabc");
  });

  it("leave to the terminal what has no place to break at", () => {
    expect(wrap(["a abcdefghijklmnop b"], 10)).toBe("a abcdefghijklmnop b");
    expect(wrap(["abcdefghijklm nop qrs"], 10)).toBe("abcdefghijklm nop\nqrs");
  });

  it("break between characters of scripts without spaces, which are two columns wide", () => {
    expect(displayWidth("你好e\u0301🎉")).toBe(7);
    expect(wrap(["你好吗我很好"], 5)).toBe("你好\n吗我\n很好");
  });

  it("keep their words, in whatever pieces they come, and stay within the screen", () => {
    const text = fc.array(fc.constantFrom("a", "bc", "defg", " ", "  ", "\n", "ñ", "你", "-", "\t", "🎉"), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(text, fc.integer({ min: 8, max: 30 }), (pieces, columns) => {
        const whole = pieces.join("");
        const wrapped = wrap(pieces, columns);
        expect(wrapped).toBe(wrap([whole], columns));
        expect(wrapped.replace(/\s/g, "")).toBe(whole.replace(/\s/g, ""));
        expect(wrap(pieces, undefined).replace(/[ \t]+(?=\n|$)/g, "")).toBe(whole.replace(/[ \t]+(?=\n|$)/g, ""));
        if (/\t/.test(whole)) return;
        for (const line of wrapped.split("\n")) {
          const longest = Math.max(0, ...line.split(" ").map(displayWidth));
          // Where a line begins with spaces, what follows may be as wide as the screen.
          if (longest <= columns && !/^ | {2}| $/.test(line)) expect(displayWidth(line)).toBeLessThanOrEqual(columns);
        }
      }),
    );
  });
});
