import fc from "fast-check";
import { expect, it } from "vitest";
import { parseJson } from "./json.ts";

it("reads what JSON.parse reads, wherever all texts are text", () => {
  fc.assert(
    fc.property(fc.json(), fc.string({ unit: "binary" }), (json, text) => {
      expect(parseJson(json)).toEqual(JSON.parse(json));
      const whole = { [`k${text.toWellFormed()}`]: [text.toWellFormed()] };
      const escaped = JSON.stringify(whole).replace(
        /[^ -~]/g,
        (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
      );
      expect(parseJson(escaped)).toEqual(whole);
    }),
  );
  expect(() => parseJson("{")).toThrow(SyntaxError);
  const deep = 200_000;
  expect(parseJson(`["\\ud83d\\ude00",${"[".repeat(deep)}${"]".repeat(deep)}]`)).toHaveLength(2);
});

it("refuses half a character, naming where", () => {
  for (const [json, place] of [
    [String.raw`"a\ud800b"`, String.raw`^\\ud800 at place 1`],
    [String.raw`{"messages":[{"content":"\udc00"}]}`, String.raw`^"content": \\udc00 at place 0`],
    [String.raw`[[{"\uD83D":1}]]`, String.raw`^a key: \\ud83d`],
    [String.raw`["\ude00\ud83d"]`, String.raw`\\ude00 at place 0`],
  ] as const) {
    expect(() => parseJson(json)).toThrow(new RegExp(place));
  }
});
