import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  dim,
  escapeControl,
  escapeLine,
  formatBytes,
  formatCount,
  formatSeconds,
  hasColor,
  jsonDocument,
  table,
} from "./terminal.ts";

// Everything a terminal may act on: C0 but tab and line feed, DEL, C1.
const acts = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

// Any sequence of UTF-16 units, half characters among them; low ones more often.
const unit = fc.oneof(fc.integer({ min: 0, max: 0xff }), fc.integer({ min: 0, max: 0xffff }));
const anyText = fc.array(unit).map((units) => String.fromCharCode(...units));

describe("text on its way to a terminal", () => {
  it("loses every control sequence, and nothing else", () => {
    expect(escapeControl("\u001b]0;title\u0007\u001b[2Jhola\r\n\tñ 你 🎉")).toBe(
      "\\x1b]0;title\\x07\\x1b[2Jhola\\x0d\n\tñ 你 🎉",
    );
    expect(escapeControl("\u009b31m\u007f")).toBe("\\x9b31m\\x7f");
    expect(escapeLine("a\nb\tc")).toBe("a\\nb\\tc");
  });

  it("holds for any text and any cut of it", () => {
    fc.assert(
      fc.property(anyText, fc.nat(), (text, cut) => {
        const at = cut % (text.length + 1);
        const inParts = escapeControl(text.slice(0, at)) + escapeControl(text.slice(at));
        expect(inParts).toBe(escapeControl(text));
        expect(acts.test(inParts)).toBe(false);
        if (!acts.test(text)) expect(inParts).toBe(text);
      }),
    );
  });

  it("JSON documents say the same and drive nothing", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const document = jsonDocument({ text });
        expect(acts.test(document)).toBe(false);
        expect(JSON.parse(document)).toEqual({ text });
      }),
    );
    expect(JSON.parse(jsonDocument({ big: 2n ** 63n }))).toEqual({ big: "9223372036854775808" });
  });
});

describe("colour", () => {
  const terminal = { isTTY: true } as NodeJS.WriteStream;
  it("is for terminals that have it and people who want it", () => {
    expect(hasColor(terminal, { TERM: "xterm" })).toBe(true);
    expect(hasColor(terminal, { TERM: "xterm", NO_COLOR: "" })).toBe(true);
    expect(hasColor(terminal, { TERM: "xterm", NO_COLOR: "1" })).toBe(false);
    expect(hasColor(terminal, { TERM: "dumb" })).toBe(false);
    expect(hasColor({ isTTY: false } as unknown as NodeJS.WriteStream, { TERM: "xterm" })).toBe(false);
    expect(dim("x", false)).toBe("x");
  });
});

describe("figures for people", () => {
  it("are short", () => {
    expect(formatBytes(98_362_432)).toBe("98.4 MB");
    expect(formatBytes(999)).toBe("999 bytes");
    expect(formatBytes(999_999)).toBe("1.00 MB");
    expect(formatCount(134_515_008)).toBe("134.5 M");
    expect(formatCount(316_489_340_928)).toBe("316.5 B");
    expect(formatCount(12)).toBe("12");
    expect(formatSeconds(4.21)).toBe("4.2 s");
    expect(formatSeconds(65)).toBe("1 min 5 s");
    expect(formatSeconds(3725)).toBe("1 h 2 min");
  });

  it("stand in columns", () => {
    expect(
      table(
        [
          ["a", "1"],
          ["bcd", "10"],
        ],
        [1],
      ),
    ).toBe("a     1\nbcd  10\n");
  });
});
