import { fault } from "./allowance.ts";
import { isSpace } from "./points.ts";
import { hexEscape } from "./printing.ts";

export type Token =
  | { readonly type: "data" | "name" | "string" | "operator"; readonly value: string; readonly line: number }
  | { readonly type: "integer"; readonly value: bigint; readonly line: number }
  | { readonly type: "float"; readonly value: number; readonly line: number }
  | { readonly type: TagSign | "end"; readonly value: string; readonly line: number };

type TagSign = "block-begin" | "block-end" | "variable-begin" | "variable-end";

/** Where a fault lies: the lexer and the parser run before there is a rendering that counts lines. */
export interface Place {
  line: number;
}

/**
 * Cuts a template into tokens as jinja2 does with `trim_blocks` and `lstrip_blocks`: a line end right after a block or comment
 * goes, spaces before one on its line go, `-` takes all space on its side and `+` keeps it; every kind of line end is `\n`, and
 * one at the very end goes. Each character is looked at a bounded number of times.
 *
 * @throws GrokError for what is no token; `place` then has its line.
 */
export function tokenize(template: string, place: Place): Token[] {
  const source = template.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const tokens: Token[] = [];
  let at = 0;
  /** Whether the last thing ended with a line end, so that spaces after it begin a line. */
  let lineStarting = true;
  let counted = 0;
  place.line = 1;

  /** Takes everything up to `to`, and counts its lines. */
  const advance = (to: number): void => {
    for (let next = source.indexOf("\n", counted); next >= 0 && next < to; next = source.indexOf("\n", counted)) {
      place.line++;
      counted = next + 1;
    }
    counted = Math.max(counted, to);
    if (to > at) lineStarting = source[to - 1] === "\n";
    at = to;
  };
  const push = (type: "data" | "name" | "string" | "operator" | TagSign | "end", value: string): void => {
    tokens.push({ type, value, line: place.line });
  };
  const skipSpace = (from: number): number => {
    let to = from;
    while (to < source.length && isSpace(source.charCodeAt(to))) to++;
    return to;
  };

  /** Template text up to a tag at `tag`, whose sign is `sign`. */
  const pushData = (tag: number, sign: string, strips: boolean): void => {
    let to = tag;
    if (sign === "-") while (to > at && isSpace(source.charCodeAt(to - 1))) to--;
    else if (sign !== "+" && strips) {
      let start = tag;
      while (start > at && source[start - 1] !== "\n" && isSpace(source.charCodeAt(start - 1))) start--;
      const begins = start === at ? lineStarting : source[start - 1] === "\n";
      if (begins) to = start;
    }
    if (to > at) push("data", source.slice(at, to));
    advance(tag);
  };

  /** Length of a block's or comment's end at `from`, with what it takes along; 0 where there is none. */
  const endLength = (from: number, end: string): number => {
    if (source.startsWith(`+${end}`, from)) return 3;
    if (source.startsWith(`-${end}`, from)) return skipSpace(from + 3) - from;
    if (!source.startsWith(end, from)) return 0;
    return source[from + 2] === "\n" ? 3 : 2;
  };

  /** Where the word of a block that has nothing else ends, as in `{% raw %}`. */
  const soleWord = (block: number, word: string): number => {
    let to = block + 2;
    if (source[to] === "-" || source[to] === "+") to++;
    to = skipSpace(to);
    return source.startsWith(word, to) ? skipSpace(to + word.length) : -1;
  };

  const comment = (): void => {
    // A sign after the beginning belongs to it, one before the end to that.
    const body = source[at + 2] === "-" || source[at + 2] === "+" ? at + 3 : at + 2;
    // As there, what begins where the template ends is no fault.
    if (body >= source.length) {
      advance(source.length);
      return;
    }
    let close = source.indexOf("#}", body);
    if (close < 0) fault("Missing end of comment tag");
    if (close > body && (source[close - 1] === "-" || source[close - 1] === "+")) close--;
    advance(close + endLength(close, "#}"));
  };

  const raw = (bodyAt: number): void => {
    advance(bodyAt);
    if (at >= source.length) return;
    for (let block = source.indexOf("{%", at); block >= 0; block = source.indexOf("{%", block + 2)) {
      const word = soleWord(block, "endraw");
      const length = word < 0 ? 0 : endLength(word, "%}");
      if (length === 0) continue;
      pushData(block, source[block + 2]!, true);
      advance(word + length);
      return;
    }
    fault("Missing end of raw directive");
  };

  while (at < source.length) {
    const tag = nextTag(source, at);
    if (tag < 0) {
      push("data", source.slice(at));
      advance(source.length);
      break;
    }
    const kind = source[tag + 1]!;
    const sign = source[tag + 2] ?? "";
    pushData(tag, sign, kind !== "{");
    if (kind === "#") {
      comment();
      continue;
    }
    if (kind === "%") {
      const word = soleWord(tag, "raw");
      if (word >= 0 && source.startsWith("%}", word)) {
        raw(word + 2);
        continue;
      }
      if (word >= 0 && source.startsWith("-%}", word)) {
        raw(skipSpace(word + 3));
        continue;
      }
    }
    push(kind === "{" ? "variable-begin" : "block-begin", "");
    advance(tag + (sign === "-" || sign === "+" ? 3 : 2));
    inside(kind === "{" ? "}}" : "%}");
  }
  push("end", "");
  return tokens;

  /** The tokens of a tag, up to its end. */
  function inside(end: string): void {
    const open: string[] = [];
    while (at < source.length) {
      if (open.length === 0) {
        const length =
          end === "%}"
            ? endLength(at, end)
            : source.startsWith("-}}", at)
              ? skipSpace(at + 3) - at
              : source.startsWith(end, at)
                ? 2
                : 0;
        if (length > 0) {
          push(end === "%}" ? "block-end" : "variable-end", "");
          advance(at + length);
          return;
        }
      }
      const space = skipSpace(at);
      if (space > at) advance(space);
      else element(open);
    }
  }

  function element(open: string[]): void {
    const { line } = place;
    const first = source[at]!;
    const number = first >= "0" && first <= "9" ? readNumber(source, at) : undefined;
    if (number !== undefined) {
      const { text, value } = number;
      tokens.push(typeof value === "bigint" ? { type: "integer", value, line } : { type: "float", value, line });
      advance(at + text.length);
      return;
    }
    const name = matchAt(/[\p{L}\p{N}_\p{M}·]+/uy, source, at);
    if (name !== undefined) {
      if (!/^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(name)) fault("Invalid character in identifier");
      push("name", name);
      advance(at + name.length);
      return;
    }
    if (first === "'" || first === '"') {
      const close = closingQuote(source, at);
      if (close > 0) {
        push("string", readEscapes(source.slice(at + 1, close)));
        advance(close + 1);
        return;
      }
    }
    const operator = matchAt(/\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}<>=.:|,;]/y, source, at);
    if (operator === undefined) fault(`unexpected char ${JSON.stringify(first)}`);
    if ("([{".includes(operator)) open.push(closing[operator]!);
    else if (")]}".includes(operator)) {
      const expected = open.pop();
      if (expected === undefined) fault(`unexpected '${operator}'`);
      if (expected !== operator) fault(`unexpected '${operator}', expected '${expected}'`);
    }
    push("operator", operator);
    advance(at + operator.length);
  }
}

const closing: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

function nextTag(source: string, from: number): number {
  for (let at = source.indexOf("{", from); at >= 0; at = source.indexOf("{", at + 1)) {
    const next = source[at + 1];
    if (next === "{" || next === "%" || next === "#") return at;
  }
  return -1;
}

function matchAt(pattern: RegExp, source: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0];
}

const mostDigits = 4300;

/** A number, which may have `_` between digits: whole ones also in base 2, 8 and 16. */
function readNumber(
  source: string,
  at: number,
): { readonly text: string; readonly value: bigint | number } | undefined {
  const float =
    source[at - 1] === "."
      ? undefined
      : matchAt(/\d+(?:_\d+)*(?:(?:\.\d+(?:_\d+)*)?e[+-]?\d+(?:_\d+)*|\.\d+(?:_\d+)*)/iy, source, at);
  if (float !== undefined) return { text: float, value: Number(float.replaceAll("_", "")) };
  const text = matchAt(/0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy, source, at);
  if (text === undefined) return undefined;
  if (text.length > mostDigits) fault(`Exceeds the limit (${mostDigits} digits) for integer string conversion`);
  return { text, value: BigInt(text.replaceAll("_", "")) };
}

/** The quote that ends a string, or -1; a backslash takes the character after it along. */
function closingQuote(source: string, start: number): number {
  const quote = source[start];
  for (let at = start + 1; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === quote) return at;
  }
  return -1;
}

const escapes: Readonly<Record<string, string>> = {
  ...{ "\n": "", "\\": "\\", "'": "'", '"': '"', a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" },
};

/** Python's `unicode-escape`; an unknown escape stands as it is. */
function readEscapes(text: string): string {
  return text.replace(/\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(.))/gsu, (...match) => {
    const [whole, octal, two, four, eight, other] = match as (string | undefined)[];
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
    const hex = two ?? four ?? eight;
    if (hex !== undefined) {
      const code = Number.parseInt(hex, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : fault("illegal Unicode character");
    }
    if (other === undefined) return whole!;
    if (other === "x" || other === "u" || other === "U") fault(`truncated \\${other} escape`);
    if (other === "N") fault("names of characters in strings are not supported");
    // Python turns what is not ASCII into an escape first, whose backslash the one before it then takes.
    if (other > "\x7f") return hexEscape(other);
    return escapes[other] ?? whole!;
  });
}
