import { fail } from "./document.ts";

/** Where a JSON value lies in a file. */
export interface JsonEntry {
  readonly line: number;
  readonly start: number;
  readonly end: number;
}

const [newline, quote, backslash, comma] = [10, 34, 92, 44];
const [open, close] = [new Set([91, 123]), new Set([93, 125])];
const blank = new Set([9, 10, 13, 32]);

/**
 * The values of a file of JSON: one a line, or, where the file begins with a bracket, the elements of one list. Where they begin and
 * end only; what stands there need not be JSON.
 * @throws GrokError `format` naming file and line for a list that is not closed, or that something follows.
 */
export function* jsonEntries(file: string, bytes: Buffer): Generator<JsonEntry> {
  const [first] = trim(bytes, 0, bytes.length);
  if (bytes[first] === 91) yield* listElements(file, bytes, first);
  else yield* lines(bytes);
}

function* lines(bytes: Buffer): Generator<JsonEntry> {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const found = bytes.indexOf(newline, start);
    const end = found < 0 ? bytes.length : found;
    const [from, to] = trim(bytes, start, end);
    if (from < to) yield { line, start: from, end: to };
    start = end + 1;
  }
}

function* listElements(file: string, bytes: Buffer, first: number): Generator<JsonEntry> {
  let line = 1;
  for (let at = 0; at < first; at++) if (bytes[at] === newline) line++;
  let [depth, inText, start, startLine] = [0, false, -1, line];
  for (let at = first; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === newline) line++;
    if (inText) {
      if (byte === backslash) at++;
      else if (byte === quote) inText = false;
      continue;
    }
    const ends = depth === 1 && (byte === comma || byte === 93);
    if (ends && start >= 0) {
      const [from, to] = trim(bytes, start, at);
      yield { line: startLine, start: from, end: to };
    }
    if (ends) start = -1;
    else if (depth === 1 && start < 0 && !blank.has(byte)) [start, startLine] = [at, line];
    if (byte === quote) inText = true;
    else if (open.has(byte)) depth++;
    else if (close.has(byte) && --depth === 0) {
      if (trim(bytes, at + 1, bytes.length)[0] < bytes.length)
        fail(file, line, "something follows the end of the list");
      return;
    }
  }
  fail(file, line, "the list is not closed");
}

/** The range without the blanks at its ends. */
function trim(bytes: Buffer, start: number, end: number): readonly [number, number] {
  let [from, to] = [start, end];
  while (from < to && blank.has(bytes[from]!)) from++;
  while (to > from && blank.has(bytes[to - 1]!)) to--;
  return [from, to];
}
