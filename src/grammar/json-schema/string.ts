import { both, type Expression, nothing, repeat } from "../expression.ts";
import { anyCharacter, characterOf, quoted } from "../json-text.ts";
import { allCharacters } from "../ranges.ts";
import { anyMatch, type WriteCharacter } from "../regex.ts";
import type { Facts } from "./facts.ts";
import type { SchemaCompiler } from "./parts.ts";

/** Strings of so many characters that have a match of each pattern. */
export function stringOf(strings: Facts["strings"], compiler: Pick<SchemaCompiler, "isImpossible">): Expression {
  const { min, max, patterns } = strings;
  if (min > max) return nothing;
  return quoted(patterns.length === 0 ? repeat(anyCharacter, min, max) : plainString(strings, compiler));
}

/** What is between the quotation marks, or stands alone, each character written in one way only, so that more can be said about it. */
export function plainString(
  { min, max, patterns }: Facts["strings"],
  { isImpossible }: Pick<SchemaCompiler, "isImpossible">,
  write: WriteCharacter = characterOf,
): Expression {
  if (min > max) return nothing;
  const isFree = min === 0 && max === Number.POSITIVE_INFINITY;
  const matches = patterns.map((pattern) => anyMatch(pattern, write));
  const parts = isFree && matches.length > 0 ? matches : [...matches, repeat(write(allCharacters), min, max)];
  const together = parts.reduce(both);
  return parts.length > 1 && isImpossible(together) ? nothing : together;
}
