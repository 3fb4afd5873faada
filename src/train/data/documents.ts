import { constants } from "node:buffer";
import { parseJson } from "../../bytes/json.ts";
import { checkText, decodeChecked, failLong } from "../../bytes/text.ts";
import { GrokError } from "../../errors.ts";
import { readConversation, systemOf, variablesOf } from "./conversation.ts";
import { type Document, fail, kindOf } from "./document.ts";
import { jsonEntries } from "./json-entries.ts";
import { checkForeign, markOf } from "./learned.ts";
import type { DataSource } from "./source.ts";

/** A line of JSON longer than this is taken for damage: a file that lost its line ends, or is no JSONL at all. */
export const longestLine = 4 << 20;

/**
 * The documents of a file's bytes, empty ones left out; line ends become `\n`, a byte order mark goes.
 *
 * @throws GrokError `format`, naming file and line: nothing in the file, not UTF-8, not JSON, an object of more than
 * {@link longestLine} bytes, a missing entry or one of the wrong type; `capacity` for a text that is longer than a string can be.
 */
export function* readDocuments(file: string, bytes: Buffer, source: DataSource): Generator<Document> {
  let found = false;
  for (const document of documentsOf(file, checkText(bytes, file), source)) {
    found = true;
    yield document;
  }
  if (!found) {
    const what = bytes.length === 0 ? "the file is empty" : "there is no document in the file";
    throw new GrokError("format", `${file}: ${what}, expected ${source.format}`, { file });
  }
}

function documentsOf(file: string, bytes: Buffer, source: DataSource): Iterable<Document> {
  if (source.format === "text") return textsBetween(file, bytes, Buffer.from(source.separator));
  if (source.format === "book") return textsBetween(file, bytes, undefined);
  if (source.format === "paragraphs") return paragraphs(file, bytes);
  return jsonDocuments(file, bytes, source);
}

function* textsBetween(file: string, bytes: Buffer, separator: Buffer | undefined): Generator<Document> {
  let line = 1;
  for (let start = 0; start <= bytes.length; ) {
    const found = separator ? bytes.indexOf(separator, start) : -1;
    const end = found < 0 ? bytes.length : found;
    const raw = decodeChecked(bytes.subarray(start, end), `${file}, line ${line}`).replaceAll("\r\n", "\n");
    const text = raw.trim();
    if (text !== "") {
      const blank = raw.slice(0, raw.length - raw.trimStart().length);
      yield { kind: "text", file, line: line + countLines(blank), text };
    }
    line += countLines(raw);
    start = end + (separator?.length ?? 1);
  }
}

function* paragraphs(file: string, bytes: Buffer): Generator<Document> {
  let text = "";
  let first = 1;
  for (const [line, start, end] of linesOf(bytes)) {
    const content = decodeChecked(bytes.subarray(start, end), `${file}, line ${line}`).trimEnd();
    if (text.length + content.length >= constants.MAX_STRING_LENGTH) failLong(`${file}, line ${first}`);
    if (content !== "") {
      if (text === "") first = line;
      text += text === "" ? content : `\n${content}`;
    } else if (text !== "") {
      yield { kind: "text", file, line: first, text };
      text = "";
    }
  }
  if (text !== "") yield { kind: "text", file, line: first, text };
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

/** Number, start and end of each line. */
function* linesOf(bytes: Buffer): Generator<readonly [number, number, number]> {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const found = bytes.indexOf(10, start);
    const end = found < 0 ? bytes.length : found;
    yield [line, start, end];
    start = end + 1;
  }
}

function* jsonDocuments(file: string, bytes: Buffer, source: DataSource): Generator<Document> {
  for (const { line, start, end } of jsonEntries(file, bytes)) {
    if (end - start > longestLine) {
      fail(
        file,
        line,
        `the object has ${end - start} bytes, more than ${longestLine}: expected one JSON object a line`,
      );
    }
    let entry: unknown;
    try {
      entry = parseJson(bytes.toString("utf8", start, end));
    } catch (error) {
      fail(file, line, `not JSON: ${(error as Error).message}`, error);
    }
    if (typeof entry !== "object" || entry === null || Array.isArray(entry)) {
      fail(file, line, `expected a JSON object, found ${kindOf(entry)}`);
    }
    const document = toDocument(file, line, entry as Readonly<Record<string, unknown>>, source);
    if (document) yield document;
  }
}

function toDocument(
  file: string,
  line: number,
  entry: Readonly<Record<string, unknown>>,
  { format, keys }: DataSource,
): Document | undefined {
  const refuse = (name: string, what: string): never => fail(file, line, `"${name}": ${what}`);
  if (format !== "jsonl") checkForeign(entry, Object.values(keys), refuse);
  if (markOf(entry, refuse) === false) return { kind: "empty", file, line };
  if (format === "jsonl") {
    const text = textOf(file, line, entry, keys.text).replaceAll("\r\n", "\n").trim();
    return text === "" ? undefined : { kind: "text", file, line, text };
  }
  if (format === "chat") return readConversation(file, line, entry, keys);
  const prompt = textOf(file, line, entry, keys.prompt);
  const input = Object.hasOwn(entry, keys.input) ? textOf(file, line, entry, keys.input) : "";
  const answer = textOf(file, line, entry, keys.answer);
  if (answer.trim() === "") return { kind: "empty", file, line };
  const asked = input === "" ? prompt : `${prompt}\n\n${input}`;
  const [system, variables] = [systemOf(file, line, entry), variablesOf(file, line, entry)];
  return { kind: "pair", file, line, ...(system !== undefined && { system }), prompt: asked, answer, variables };
}

function textOf(file: string, line: number, entry: Readonly<Record<string, unknown>>, key: string): string {
  const value = Object.hasOwn(entry, key) ? entry[key] : undefined;
  if (typeof value === "string") return value;
  if (value !== undefined) return fail(file, line, `"${key}": expected a text, found ${kindOf(value)}`);
  const names = Object.keys(entry).slice(0, 8).join(", ");
  return fail(file, line, `there is no "${key}", expected a text; the object has ${names || "no entries"}`);
}
