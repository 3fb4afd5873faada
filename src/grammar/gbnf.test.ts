import { describe, expect, it } from "vitest";
import { accepts, automatonOf, createNumbers, randomText } from "./grammar.case.ts";

/** llama.cpp's own grammar of JSON. */
const json = String.raw`root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# Optional space: by convention, applied in this grammar after literal chars when allowed
ws ::= | " " | "\n" [ \t]{0,20}
`;

describe("GBNF", () => {
  it("reads llama.cpp's grammar of JSON", () => {
    const automaton = automatonOf({ gbnf: json });
    for (const text of ['{"a": [1, 2.5e3, {"b": "c\\n\\u00e9"}], "d": null}', "{}", '{\n  "x": -0}']) {
      expect(accepts(automaton, text)).toBe(true);
    }
    for (const text of ["[]", '{"a": 01}', '{"a"}', "{", '{"a": tru}', '{"a":1,}'])
      expect(accepts(automaton, text)).toBe(false);
    const random = createNumbers(3);
    const all = Array.from({ length: 100 }, () => randomText(automaton, random, 500)).filter(
      (text) => text !== undefined,
    );
    expect(all.length).toBeGreaterThan(20);
    for (const text of all) expect(() => JSON.parse(text)).not.toThrow();
  });

  it("reads arithmetic, whose groups nest", () => {
    const automaton = automatonOf({
      gbnf: 'root ::= (expr "=" ws term "\\n")+\nexpr ::= term ([-+*/] term)*\nterm ::= ident | num | "(" ws expr ")" ws\nident ::= [a-z] [a-z0-9_]* ws\nnum ::= [0-9]+ ws\nws ::= [ \\t\\n]*',
    });
    expect(accepts(automaton, "(a +2)*b = 7\n")).toBe(true);
    expect(accepts(automaton, `${"(".repeat(3000)}a${")".repeat(3000)}=1\n`)).toBe(true);
    expect(accepts(automaton, "(a +2*b = 7\n")).toBe(false);
  });

  it("reads a text in many ways at once without a state for each", () => {
    const automaton = automatonOf({ gbnf: 'root ::= a root "x" | b root "y" | "z"\na ::= "q"\nb ::= "q"' });
    expect(accepts(automaton, `${"q".repeat(40)}z${"xy".repeat(20)}`)).toBe(true);
    expect(accepts(automaton, `${"q".repeat(40)}z${"xy".repeat(19)}`)).toBe(false);
    expect(automaton.size()).toBeLessThan(500);
  });

  it("counts without writing everything out", () => {
    const automaton = automatonOf({ gbnf: 'root ::= ("ab" | "c"){3,50000} "!"' });
    expect(accepts(automaton, "abcab!")).toBe(true);
    expect(accepts(automaton, "abc!")).toBe(false);
    expect(accepts(automaton, `${"c".repeat(10_000)}!`)).toBe(true);
  });

  it.each([
    ['root ::= root "a" | "b"', "unsupported", /rule root can begin with itself/],
    ['root ::= x? root "a" | "b"\nx ::= "x"', "unsupported", /begin with itself/],
    ["root ::= a\na ::= b\nb ::= a", "unsupported", /no text that comes to an end/],
    ['root ::= "a" root', "unsupported", /no text that comes to an end/],
    ["root ::= other", "argument", /there is no rule other/],
    ['other ::= "a"', "argument", /there is no rule root/],
    ['root ::= "a"\nroot ::= "b"', "argument", /line 2, column .*the rule root is there twice/],
    ['root ::= "a', "argument", /line 1, column 12: the grammar ends/],
    ['root ::= ("a"', "argument", /expected \)/],
    ['root = "a"', "argument", /expected ::=/],
    ['root ::= "\\q"', "argument", /\\q is no escape/],
    ['root ::= "a"{2,1}', "argument", /from 2 to 1/],
    ['root ::= "a"{9999999}', "argument", /more than 100000/],
    ["root ::= <[1000]>", "argument", /tokens by their names/],
  ])("%s is refused, and it is said where and why", (gbnf, code, message) => {
    expect(() => automatonOf({ gbnf })).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it("is refused where it is too large, or its rules name each other too deep", () => {
    expect(() => automatonOf({ gbnf: `root ::= "${"a".repeat(300_000)}"` })).toThrow(/characters: more than/);
    const chain = Array.from({ length: 3000 }, (_, i) => `r${i} ::= r${i + 1} | "a"`).join("\n");
    expect(() => automatonOf({ gbnf: `${chain}\nr3000 ::= "b"\nroot ::= r0` })).toThrow(/name each other more than/);
  });
});
