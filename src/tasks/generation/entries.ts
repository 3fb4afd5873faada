import type { Fields } from "../../bytes/json-fields.ts";

/** First and last line of a file, from 1. */
export type Lines = readonly [first: number, last: number];

/** Lines of a file, undefined where nothing is said. */
export function readLines(fields: Fields): Lines | undefined {
  const lines = fields.value("lines", "the first and the last line, from 1", (value) => {
    if (value === undefined) return true;
    const [first, last] = Array.isArray(value) && value.length === 2 ? value : [];
    return Number.isSafeInteger(first) && Number.isSafeInteger(last) && first >= 1 && first <= last;
  });
  return lines as Lines | undefined;
}

/** A list of texts, undefined where there is none. */
export function readTexts(fields: Fields, key: string): readonly string[] | undefined {
  const texts = fields.value(key, "a list of texts", (value) => {
    const isList = Array.isArray(value) && value.every((text) => typeof text === "string" && text !== "");
    return value === undefined || isList;
  });
  return texts as readonly string[] | undefined;
}
