import type { Fields } from "../bytes/json-fields.ts";
import { pythonRegExp } from "./python/regexp.ts";

/** First and last line of a file, from 1. */
export type Lines = readonly [first: number, last: number];

export function isText(value: unknown): value is string {
  return typeof value === "string";
}

/** Whether a value is a list with a text or several, none of them empty. */
export function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((text) => isText(text) && text !== "");
}

/** Lines of a file, undefined where nothing is said. */
export function readLines(fields: Fields): Lines | undefined {
  const isRange = (value: unknown) => {
    const [first, last] = Array.isArray(value) && value.length === 2 ? value : [];
    return Number.isSafeInteger(first) && Number.isSafeInteger(last) && first >= 1 && first <= last;
  };
  return fields.value("lines", "the first and the last line, from 1", isRange, null) as Lines | undefined;
}

/** A list of texts, undefined where there is none. */
export function readTexts(fields: Fields, key: string): readonly string[] | undefined {
  return fields.value(key, "a list of texts", areTexts, null) as readonly string[] | undefined;
}

/** One of Python's regular expressions, of an entry or in one. */
export function readPattern(fields: Fields, key: string, source = fields.text(key)): RegExp {
  try {
    return pythonRegExp(source);
  } catch (error) {
    return fields.fail(key, `${source}: ${(error as Error).message}`);
  }
}
