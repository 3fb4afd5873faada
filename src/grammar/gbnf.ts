import { GrokError, shown } from "../errors.ts";
import { choice, type Expression, literal, type Ranges, type Rules, repeat, ruleOf, sequence } from "./expression.ts";
import { allCharacters, intersect, lastCodePoint, subtract, unite } from "./ranges.ts";
import { mostRepeats } from "./regex-parser.ts";
import { oneCharacter } from "./utf8-ranges.ts";

const longest = 200_000;
const deepest = 100;
const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };
const hexDigits: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/**
 * Reads a grammar in GBNF, as llama.cpp has it: rules `name ::= ...` of texts in quotation marks, classes of characters, names, groups,
 * `|` and repetitions; the whole is `root`.
 * @throws GrokError `argument` naming line and column
 */
export function parseGbnf(source: string): Rules {
  if (source.length > longest) {
    throw new GrokError("unsupported", `the grammar has ${source.length} characters: more than ${longest}`);
  }
  let at = 0;
  const names: string[] = ["root"];
  const numbers = new Map([["root", 0]]);
  const bodies: (Expression | undefined)[] = [];

  function fail(message: string): never {
    const before = source.slice(0, at).split("\n");
    const [line, column] = [before.length, before.at(-1)!.length + 1];
    throw new GrokError("argument", `the grammar, line ${line}, column ${column}: ${message}`, { line, column });
  }

  function skipSpace(): void {
    for (;;) {
      while (/[ \t\r\n]/.test(source[at] ?? "")) at++;
      if (source[at] !== "#") return;
      while (at < source.length && source[at] !== "\n") at++;
    }
  }

  function parseName(): string {
    let name = "";
    while (/[A-Za-z0-9_-]/.test(source[at] ?? "")) name += source[at++];
    return name === "" ? fail(`expected a name, found ${shown(source[at] ?? "the end")}`) : name;
  }

  function numberOf(name: string): number {
    const number = numbers.get(name) ?? names.push(name) - 1;
    numbers.set(name, number);
    return number;
  }

  /** Whether a rule begins here: a name and `::=`. */
  const beginsRule = () => {
    ruleBeginning.lastIndex = at;
    return ruleBeginning.test(source);
  };

  function parseChoice(depth: number): Expression {
    if (depth > deepest) fail(`groups are nested more than ${deepest} deep`);
    const branches = [parseSequence(depth)];
    while (source[at] === "|") {
      at++;
      skipSpace();
      branches.push(parseSequence(depth));
    }
    return choice(...branches);
  }

  function parseSequence(depth: number): Expression {
    const items: Expression[] = [];
    while (at < source.length && source[at] !== "|" && source[at] !== ")" && !beginsRule()) {
      const item = parseItem(depth);
      skipSpace();
      const count = parseCount();
      items.push(count === undefined ? item : repeat(item, ...count));
      skipSpace();
    }
    return sequence(...items);
  }

  function parseItem(depth: number): Expression {
    const first = source[at]!;
    if (first === '"') return literal(parseLiteral());
    if (first === "[") return oneCharacter(parseClass());
    if (first === ".") {
      at++;
      return oneCharacter(allCharacters);
    }
    if (first === "<" || first === "!") fail("tokens by their names or numbers are not supported");
    if (first !== "(") return ruleOf(numberOf(parseName()));
    at++;
    skipSpace();
    const inner = parseChoice(depth + 1);
    if (source[at] !== ")") fail("expected ) at the end of a group");
    at++;
    return inner;
  }

  function parseCount(): [number, number] | undefined {
    const many = Number.POSITIVE_INFINITY;
    const simple = ({ "*": [0, many], "+": [1, many], "?": [0, 1] } as const)[source[at]!];
    if (simple !== undefined) {
      at++;
      return [...simple];
    }
    if (source[at] !== "{") return undefined;
    const found = /\{\s*(\d+)\s*(,\s*(\d*)\s*)?\}/y;
    found.lastIndex = at;
    const match = found.exec(source) ?? fail("expected a repetition: {2}, {2,} or {2,4}");
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === "" ? many : Number(match[3]);
    if (max < min) fail(`a repetition from ${min} to ${max}`);
    if (min > mostRepeats || (max !== many && max > mostRepeats)) fail(`a repetition of more than ${mostRepeats}`);
    at += match[0].length;
    return [min, max];
  }

  /** One character of a text or class, escaped or not. */
  function parseCharacter(): number {
    const code = source.codePointAt(at) ?? fail("the grammar ends in the middle of a text or class");
    at += code > 0xffff ? 2 : 1;
    if (code !== 0x5c) return code;
    const name = source[at++] ?? fail("a backslash with nothing behind it");
    const digits = hexDigits[name];
    if (digits === undefined) {
      if (/[A-Za-z0-9]/.test(name) && escapes[name] === undefined) fail(`\\${name} is no escape`);
      return (escapes[name] ?? name).charCodeAt(0);
    }
    const text = source.slice(at, at + digits);
    if (text.length < digits || !/^[0-9a-fA-F]+$/.test(text)) fail(`expected ${digits} hexadecimal digits`);
    at += digits;
    const value = Number.parseInt(text, 16);
    return value <= lastCodePoint ? value : fail("there is no such code point");
  }

  function parseLiteral(): string {
    at++;
    let text = "";
    while (source[at] !== '"') text += String.fromCodePoint(parseCharacter());
    at++;
    if (!text.isWellFormed()) fail("half a character (a surrogate without its other half)");
    return text;
  }

  function parseClass(): Ranges {
    at++;
    const negated = source[at] === "^";
    if (negated) at++;
    const parts: Ranges[] = [];
    while (source[at] !== "]") {
      const from = parseCharacter();
      const isRange = source[at] === "-" && source[at + 1] !== "]";
      if (isRange) at++;
      const to = isRange ? parseCharacter() : from;
      if (to < from) fail("a range whose end comes before its beginning");
      parts.push([from, to]);
    }
    at++;
    const all = unite(...parts);
    return negated ? subtract(allCharacters, all) : intersect(all, allCharacters);
  }

  for (skipSpace(); at < source.length; skipSpace()) {
    const name = parseName();
    const number = numberOf(name);
    skipSpace();
    if (!source.startsWith("::=", at)) fail(`expected ::= after ${name}`);
    at += 3;
    skipSpace();
    if (bodies[number] !== undefined) fail(`the rule ${name} is there twice`);
    bodies[number] = parseChoice(0);
    if (source[at] === ")") fail("a ) that closes nothing");
  }
  const whole = names.map((name, number) => bodies[number] ?? fail(`there is no rule ${name}`));
  return { bodies: whole, names };
}

const ruleBeginning = /[A-Za-z0-9_-]+\s*::=/y;
