import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accepts, automatonOf, createNumbers, randomText } from "./grammar.case.ts";

const readers = (source: string) => ({
  own: automatonOf({ regex: source }),
  theirs: new RegExp(`^(?:${source})$`, "u"),
});

/** Regular expressions over few characters, so that texts match often. */
const sources = fc.letrec<{ node: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    {
      weight: 6,
      arbitrary: fc.constantFrom(
        "a",
        "b",
        "ü",
        "😀",
        ".",
        "[ab]",
        "[^a]",
        "\\d",
        "\\w",
        "[b-z😀]",
        "\\u{1F600}",
        "\\S",
      ),
    },
    { weight: 1, arbitrary: tie("node").map((node) => `(?:${node})`) },
  ),
  node: fc
    .array(
      fc
        .array(fc.tuple(tie("atom"), fc.constantFrom("", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}?", "{2,}")), {
          maxLength: 4,
        })
        .map((terms) => terms.map(([atom, count]) => atom + count).join("")),
      { minLength: 1, maxLength: 3 },
    )
    .map((branches) => branches.join("|")),
})).node;

const texts = fc
  .array(fc.constantFrom("a", "b", "c", "1", "ü", "é", "😀", "\n", " ", "_"), { maxLength: 8 })
  .map((all) => all.join(""));

describe("regular expressions", () => {
  it("match what JavaScript's match", () => {
    fc.assert(
      fc.property(sources, fc.array(texts, { minLength: 8, maxLength: 8 }), fc.nat(), (source, tried, seed) => {
        const { own, theirs } = readers(source);
        for (const text of tried) expect([source, text, accepts(own, text)]).toEqual([source, text, theirs.test(text)]);
        const random = createNumbers(seed);
        for (let i = 0; i < 4; i++) {
          const text = randomText(own, random, 100);
          if (text !== undefined) expect([source, text, theirs.test(text)]).toEqual([source, text, true]);
        }
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ["[0-9]{3}-[0-9]{4}", ["555-1234"], ["5551234", "555-12345"]],
    ["^yes$|^no$", ["yes", "no"], ["yesno", ""]],
    ["\\p{Lu}\\p{Ll}+", ["Ärger", "Éa", "𝐀𝐚"], ["ärger", "A"]],
    ["[^\\p{L}]", ["1", "😀"], ["a", "é", "語"]],
    ["\\x41\\u0042\\cJ\\0", ["AB\n\0"], ["AB"]],
    ["[\\w-]+@[\\]^]", ["a-b@]", "a@^"], ["a@a"]],
    ["(a{0,20000}){2,30000}", ["", "aaaa"], ["b"]],
  ])("%s", (source, right, wrong) => {
    const automaton = automatonOf({ regex: source });
    expect(right.filter((text) => !accepts(automaton, text))).toEqual([]);
    expect(wrong.filter((text) => accepts(automaton, text))).toEqual([]);
  });

  it("never leave half a character", () => {
    const automaton = automatonOf({ regex: "." });
    for (const bytes of [[0xc3], [0xed, 0xa0, 0x80], [0xff], [0xf4, 0x90, 0x80, 0x80], [0xc0, 0x80]]) {
      expect(accepts(automaton, Uint8Array.from(bytes))).toBe(false);
    }
  });

  it.each([
    ["(?=a)b", "unsupported", /at character 2: looking ahead/],
    ["(?<!a)b", "unsupported", /looking behind/],
    ["(a)\\1", "unsupported", /what a group has matched/],
    ["\\ba", "unsupported", /an edge of a word/],
    ["a^b", "unsupported", /\^ in the middle/],
    ["\\p{Nonsense}", "unsupported", /\\p\{Nonsense\}/],
    ["\\p{Cn}", "unsupported", /\\p\{Cn\}/],
    ["a{200000}", "unsupported", /more than 100000/],
    [`${"(".repeat(200)}a${")".repeat(200)}`, "argument", /nested more than/],
    ["a".repeat(20_000), "unsupported", /20000 characters/],
    ["a**", "argument", /repetition of nothing/],
    ["(a", "argument", /expected \)/],
    ["a)", "argument", /closes nothing/],
    ["[a", "argument", /expected \]/],
    ["[z-a]", "argument", /end comes before/],
    ["a{3,1}", "argument", /from 3 to 1/],
    ["a\\", "argument", /nothing behind it/],
    ["[]", "unsupported", /no text that comes to an end/],
  ])("%s is refused, and it is said why", (source, code, message) => {
    expect(() => automatonOf({ regex: source })).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});
