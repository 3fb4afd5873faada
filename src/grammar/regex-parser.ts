import { GrokError, shown } from "../errors.ts";
import type { Ranges } from "./expression.ts";
import { allCharacters, complement, intersect, lastCodePoint, unite } from "./ranges.ts";
import { codePointsOf } from "./unicode-property.ts";

/** What a regular expression consists of. */
export type RegexNode =
  | { readonly kind: "set"; readonly codePoints: Ranges }
  | { readonly kind: "sequence"; readonly items: readonly RegexNode[] }
  | { readonly kind: "choice"; readonly items: readonly RegexNode[] }
  | { readonly kind: "repeat"; readonly item: RegexNode; readonly min: number; readonly max: number }
  /** `^` and `$`. */
  | { readonly kind: "start" | "end" };

const longest = 10_000;
const deepest = 100;
export const mostRepeats = 100_000;

const digits: Ranges = [0x30, 0x39];
const wordCharacters: Ranges = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];
const spaces: Ranges = [
  ...[0x09, 0x0d, 0x20, 0x20, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a],
  ...[0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff],
];
const lineEnds: Ranges = [0x0a, 0x0a, 0x0d, 0x0d, 0x2028, 0x2029];
const classes: Readonly<Record<string, Ranges>> = { d: digits, w: wordCharacters, s: spaces };
const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };

/**
 * Reads a regular expression of ECMAScript, with Unicode's characters (flag u).
 * @throws GrokError `argument` for what is none; `unsupported` for look-around, references to groups, `\b` and other things that a
 * finite automaton does not have
 */
export function parseRegex(source: string): RegexNode {
  const characters = [...source];
  let at = 0;

  const where = () => `regular expression ${shown(source)}, at character ${at}`;
  function fail(message: string): never {
    throw new GrokError("argument", `${where()}: ${message}`, { source, at });
  }
  function refuse(what: string): never {
    throw new GrokError("unsupported", `${where()}: ${what} is not supported`, { source, at });
  }
  const peek = () => characters[at];
  function take(expected: string): boolean {
    if (!expected.startsWith(characters[at] ?? "\0")) return false;
    if (characters.slice(at, at + expected.length).join("") !== expected) return false;
    at += expected.length;
    return true;
  }

  function parseChoice(depth: number): RegexNode {
    if (depth > deepest) fail(`groups are nested more than ${deepest} deep`);
    const items = [parseSequence(depth)];
    while (take("|")) items.push(parseSequence(depth));
    return items.length === 1 ? items[0]! : { kind: "choice", items };
  }

  function parseSequence(depth: number): RegexNode {
    const items: RegexNode[] = [];
    while (at < characters.length && peek() !== "|" && peek() !== ")") items.push(parseTerm(depth));
    return items.length === 1 ? items[0]! : { kind: "sequence", items };
  }

  function parseTerm(depth: number): RegexNode {
    if (take("^")) return { kind: "start" };
    if (take("$")) return { kind: "end" };
    const item = parseAtom(depth);
    const count = parseCount();
    if (count === undefined) return item;
    // Lazy or not, the texts are the same.
    take("?");
    if (parseCount() !== undefined) fail("a repetition of nothing");
    return { kind: "repeat", item, ...count };
  }

  function parseCount(): { readonly min: number; readonly max: number } | undefined {
    if (take("*")) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (take("+")) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (take("?")) return { min: 0, max: 1 };
    if (!take("{")) return undefined;
    const min = parseNumber();
    const max = take(",") ? (peek() === "}" ? Number.POSITIVE_INFINITY : parseNumber()) : min;
    if (!take("}")) fail("expected } after the numbers of a repetition");
    if (max < min) fail(`a repetition from ${min} to ${max}`);
    return { min, max };
  }

  function parseNumber(): number {
    let text = "";
    while (/^[0-9]$/.test(peek() ?? "")) text += characters[at++]!;
    if (text === "") fail("expected a number");
    if (Number(text) > mostRepeats) refuse(`a repetition of ${text}: more than ${mostRepeats}`);
    return Number(text);
  }

  function parseAtom(depth: number): RegexNode {
    if (take("(")) return parseGroup(depth);
    if (take(".")) return { kind: "set", codePoints: intersect(complement(lineEnds, lastCodePoint), allCharacters) };
    if (take("[")) return { kind: "set", codePoints: parseClass() };
    if (peek() === "\\") return { kind: "set", codePoints: parseEscape(false) };
    if ("*+?{}])".includes(peek()!)) fail(`${peek()} has to be written \\${peek()}`);
    const code = characters[at++]!.codePointAt(0)!;
    return { kind: "set", codePoints: [code, code] };
  }

  function parseGroup(depth: number): RegexNode {
    if (take("?")) {
      if (peek() === "=" || peek() === "!") refuse("looking ahead, (?= or (?!,");
      if (take("<")) {
        if (peek() === "=" || peek() === "!") refuse("looking behind, (?<= or (?<!,");
        while (at < characters.length && peek() !== ">") at++;
        at++;
      } else if (!take(":")) refuse(`a group that begins with (?${peek() ?? ""}`);
    }
    const node = parseChoice(depth + 1);
    if (!take(")")) fail("expected ) at the end of a group");
    return node;
  }

  /** What stands after `[`. */
  function parseClass(): Ranges {
    const negated = take("^");
    const parts: Ranges[] = [];
    while (!take("]")) {
      if (at >= characters.length) fail("expected ] at the end of a class");
      const from = parseMember();
      const isRange = peek() === "-" && characters[at + 1] !== "]" && at + 1 < characters.length;
      if (!isRange) {
        parts.push(from);
        continue;
      }
      at++;
      const to = parseMember();
      if (from[0] !== from[1] || to[0] !== to[1] || from.length + to.length > 4)
        fail("a range between sets of characters");
      if (to[0]! < from[0]!) fail("a range whose end comes before its beginning");
      parts.push([from[0]!, to[0]!]);
    }
    const all = unite(...parts);
    return intersect(negated ? complement(all, lastCodePoint) : all, allCharacters);
  }

  function parseMember(): Ranges {
    if (peek() === "\\") return parseEscape(true);
    const code = characters[at++]!.codePointAt(0)!;
    return [code, code];
  }

  function parseEscape(inClass: boolean): Ranges {
    at++;
    const name = characters[at++] ?? fail("a backslash with nothing behind it");
    const set = classes[name.toLowerCase()];
    if (set !== undefined) return name in classes ? set : complement(set, lastCodePoint);
    if (name === "p" || name === "P") return parseProperty(name === "P");
    const code = codeOf(name, inClass);
    return [code, code];
  }

  function codeOf(name: string, inClass: boolean): number {
    if (controls[name] !== undefined) return controls[name];
    if (name === "b" && inClass) return 8;
    if (name === "b" || name === "B") refuse(`\\${name}, an edge of a word,`);
    if (name === "k" || /^[1-9]$/.test(name)) refuse(`\\${name}, what a group has matched,`);
    if (name === "0" && !/^[0-9]$/.test(peek() ?? "")) return 0;
    if (name === "x") return parseHex(2);
    if (name === "u") return parseUnicode();
    if (name === "c" && /^[a-zA-Z]$/.test(peek() ?? "")) return characters[at++]!.charCodeAt(0) & 31;
    if (/^[a-zA-Z0-9]$/.test(name)) refuse(`\\${name}`);
    return name.codePointAt(0)!;
  }

  function parseHex(length: number): number {
    const text = characters.slice(at, at + length).join("");
    if (text.length !== length || !/^[0-9a-fA-F]+$/.test(text)) fail(`expected ${length} hexadecimal digits`);
    at += length;
    return Number.parseInt(text, 16);
  }

  function parseUnicode(): number {
    if (take("{")) {
      let text = "";
      while (at < characters.length && peek() !== "}") text += characters[at++]!;
      at++;
      const code = /^[0-9a-fA-F]+$/.test(text) ? Number.parseInt(text, 16) : Number.POSITIVE_INFINITY;
      return code <= lastCodePoint ? code : fail("\\u{...}: expected a code point");
    }
    const first = parseHex(4);
    if (first < 0xd800 || first > 0xdbff || !take("\\u")) return first;
    return 0x10000 + ((first & 0x3ff) << 10) + (parseHex(4) & 0x3ff);
  }

  function parseProperty(negated: boolean): Ranges {
    if (!take("{")) fail("expected { after \\p");
    let name = "";
    while (at < characters.length && peek() !== "}") name += characters[at++]!;
    at++;
    const set = codePointsOf(name) ?? refuse(`\\p{${name}}`);
    return negated ? complement(set, lastCodePoint) : set;
  }

  if (characters.length > longest) {
    throw new GrokError("unsupported", `a regular expression of ${characters.length} characters: more than ${longest}`);
  }
  const node = parseChoice(0);
  if (at < characters.length) fail("a ) that closes nothing");
  return node;
}
