import {
  choice,
  type Expression,
  literal,
  nothing,
  oneByte,
  optional,
  type Ranges,
  repeat,
  sequence,
} from "./expression.ts";
import { allCharacters, includes, subtract, unite } from "./ranges.ts";
import { oneCharacter } from "./utf8-ranges.ts";

/** The parts of JSON (RFC 8259), as models write it: whitespace is bounded, so that an answer comes to its end. */

/** Between parts: nothing, a space, or a new line and its indentation. */
export const space: Expression = optional(
  choice(literal(" "), sequence(literal("\n"), choice(repeat(literal(" "), 0, 24), repeat(literal("\t"), 1, 8)))),
);

export const afterColon = sequence(literal(":"), optional(literal(" ")));
export const comma = sequence(literal(","), space);

const digit = oneByte([0x30, 0x39]);
const hex = oneByte([0x30, 0x39, 0x41, 0x46, 0x61, 0x66]);
const unescaped = subtract(allCharacters, [0, 0x1f, 0x22, 0x22, 0x5c, 0x5c]);

/** `\uXXXX`, and two of them for what UTF-16 says with two halves. */
const unicodeEscape = sequence(
  literal("u"),
  choice(
    sequence(oneByte([0x30, 0x39, 0x41, 0x43, 0x45, 0x46, 0x61, 0x63, 0x65, 0x66]), repeat(hex, 3, 3)),
    sequence(oneByte([0x44, 0x44, 0x64, 0x64]), oneByte([0x30, 0x37]), repeat(hex, 2, 2)),
    sequence(
      ...[oneByte([0x44, 0x44, 0x64, 0x64]), oneByte([0x38, 0x39, 0x41, 0x42, 0x61, 0x62]), repeat(hex, 2, 2)],
      ...[literal("\\u"), oneByte([0x44, 0x44, 0x64, 0x64]), oneByte([0x43, 0x46, 0x63, 0x66]), repeat(hex, 2, 2)],
    ),
  ),
);

/** A character of a string, written in any way that JSON has for it. */
export const anyCharacter: Expression = choice(
  oneCharacter(unescaped),
  sequence(literal("\\"), choice(...[...'"\\/bfnrt'].map(literal), unicodeEscape)),
);

/**
 * A character of a set of code points, written in one way only: as JSON.stringify does. What is said about a string's text can then
 * be said about its bytes.
 */
export function characterOf(codePoints: Ranges): Expression {
  const short: Ranges[] = [];
  /** By their first digit, which is 0 or 1, the second ones. */
  const long: [Ranges[], Ranges[]] = [[], []];
  for (const code of escapedCodes) {
    if (!includes(codePoints, code)) continue;
    const text = JSON.stringify(String.fromCharCode(code)).slice(1, -1);
    const last = text.charCodeAt(text.length - 1);
    (text.length === 2 ? short : long[code >> 4]!).push([last, last]);
  }
  return choice(
    oneCharacter(subtract(codePoints, [0, 0x1f, 0x22, 0x22, 0x5c, 0x5c])),
    escapeWith("", unite(...short)),
    ...long.map((digits, first) => escapeWith(`u00${first}`, unite(...digits))),
  );
}

const escapedCodes = [...Array(0x20).keys(), 0x22, 0x5c];

const escapeWith = (middle: string, last: Ranges) =>
  last.length === 0 ? nothing : sequence(literal(`\\${middle}`), oneByte(last));

export const quoted = (content: Expression) => sequence(literal('"'), content, literal('"'));

export const anyString: Expression = quoted(repeat(anyCharacter, 0, Number.POSITIVE_INFINITY));

/** Any number that is finite as float64. */
export const anyNumber: Expression = sequence(
  optional(literal("-")),
  choice(literal("0"), sequence(oneByte([0x31, 0x39]), repeat(digit, 0, 15))),
  optional(sequence(literal("."), repeat(digit, 1, 16))),
  optional(
    sequence(oneByte([0x45, 0x45, 0x65, 0x65]), optional(oneByte([0x2b, 0x2b, 0x2d, 0x2d])), repeat(digit, 1, 2)),
  ),
);

/** `{` ... `}` or `[` ... `]` around members, or around nothing. */
export function between(open: string, members: Expression, close: string): Expression {
  return sequence(literal(open), space, members, literal(close));
}

/** Members with commas between them, and space behind the last one; nothing where there are none. */
export function list(member: Expression, min: number, max: number): Expression {
  if (max === 0) return { kind: "sequence", items: [] };
  const some = sequence(member, repeat(sequence(comma, member), Math.max(0, min - 1), max - 1), space);
  return min === 0 ? optional(some) : some;
}

/** Any value, given what names that same value, and any object. */
export function anyValue(value: Expression): { readonly value: Expression; readonly object: Expression } {
  const many = Number.POSITIVE_INFINITY;
  const object = between("{", list(sequence(anyString, afterColon, value), 0, many), "}");
  const array = between("[", list(value, 0, many), "]");
  return { value: choice(object, array, anyString, anyNumber, ...["true", "false", "null"].map(literal)), object };
}
