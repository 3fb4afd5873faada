import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatBytes } from "../errors.ts";
import {
  createProgress,
  dim,
  escapeControl,
  escapeLine,
  escapeUnseen,
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

  it("from a file or an error loses what is not seen as such", () => {
    const unseen = [
      ...["\u200b", "\u200d", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff", "\u2028", "\u2029", "\u061c"],
      ...[
        "\u00ad",
        "\u2060",
        "\u3164",
        "\u{e0041}",
        "\u{e007f}",
        "\ud800",
        "\udc00",
        "\u001b",
        "\u009b",
        "\u007f",
        "\r",
      ],
    ];
    for (const character of unseen) {
      const shown = escapeLine(`a${character}b`);
      expect(shown).toMatch(/^a\\(x[0-9a-f]{2}|u[0-9a-f]{4}|u\{[0-9a-f]+\})b$/);
      expect(shown).toContain(character.codePointAt(0)!.toString(16));
      const document = jsonDocument({ character });
      expect(document).not.toContain(character);
      expect(JSON.parse(document)).toEqual({ character });
    }
    const plain = "año 你好 🎉 ❤️ e\u0301 مرحبا";
    expect(escapeLine(plain)).toBe(plain);
    expect(escapeUnseen("a\n\tb")).toBe("a\n\tb");
    // What a model writes keeps what scripts and emoji are made of.
    expect(escapeControl("👩\u200d💻 \u200fשלום")).toBe("👩\u200d💻 \u200fשלום");
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

describe("a line that is rewritten", () => {
  it("is taken back whole, also after the window became narrower", () => {
    const written: string[] = [];
    const stream = { isTTY: true, columns: 40, write: (text: string) => written.push(text) };
    const progress = createProgress(stream as unknown as NodeJS.WriteStream, { TERM: "xterm" });
    progress.show("x".repeat(60));
    expect(written).toEqual([`\r${"x".repeat(39)}\u001b[J`]);
    stream.columns = 15;
    progress.show("\u001b[31mred");
    expect(written[1]).toBe("\u001b[2A\r\\x1b[31mred\u001b[J");
    progress.clear();
    progress.clear();
    expect(written.slice(2)).toEqual(["\r\u001b[J"]);
  });

  it("takes a terminal that does not know its width for a usual one", () => {
    const written: string[] = [];
    const stream = { isTTY: true, columns: 0, write: (text: string) => written.push(text) };
    const progress = createProgress(stream as unknown as NodeJS.WriteStream, { TERM: "xterm" });
    progress.show("x".repeat(90));
    progress.show("y");
    expect(written).toEqual([`\r${"x".repeat(79)}\u001b[J`, "\ry\u001b[J"]);
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
