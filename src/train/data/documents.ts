import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { ioError } from "../../bytes/io-error.ts";
import { GrokError } from "../../errors.ts";
import type { ChatMessage } from "../../generate/types.ts";
import type { DataKeys, DataSource } from "./source.ts";

/** A document and where it begins, for messages. */
export type Document = { readonly file: string; readonly line: number } & (
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "pair"; readonly prompt: string; readonly answer: string }
  | { readonly kind: "chat"; readonly messages: readonly ChatMessage[] }
);

/** A line of JSON longer than this is taken for damage: a file that lost its line ends, or is no JSONL at all. */
export const longestLine = 4 << 20;

/**
 * The documents of a file's bytes, empty ones left out; line ends become `\n`, a byte order mark goes.
 *
 * @throws GrokError `format`, naming file and line: nothing in the file, not UTF-8, not JSON, a line of more than
 * {@link longestLine} bytes, a missing entry or one of the wrong type.
 */
export function* readDocuments(file: string, bytes: Buffer, source: DataSource): Generator<Document> {
  const place = checkUtf8(bytes);
  if (place >= 0) fail(file, lineOf(bytes, place), "the text is not UTF-8");
  let found = false;
  for (const document of documentsOf(file, bytes, source)) {
    found = true;
    yield document;
  }
  if (!found) {
    const what = bytes.length === 0 ? "the file is empty" : "there is no document in the file";
    throw new GrokError("format", `${file}: ${what}, expected ${source.format}`, { file });
  }
}

/** @throws GrokError `io`; `capacity` for a file that does not fit a buffer. */
export function readBytes(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_FS_FILE_TOO_LARGE") {
      throw new GrokError("capacity", `${file}: larger than 2 GiB: split the file`, { file }, error);
    }
    throw ioError("read", file, error);
  }
}

function fail(file: string, line: number, what: string, cause?: unknown): never {
  throw new GrokError("format", `${file}, line ${line}: ${what}`, { file, line }, cause);
}

/** Offset of the first line that is not UTF-8, or -1. */
function checkUtf8(bytes: Buffer): number {
  if (isUtf8(bytes)) return -1;
  for (let from = 0; ; ) {
    const end = bytes.indexOf(10, from);
    if (!isUtf8(bytes.subarray(from, end < 0 ? bytes.length : end))) return from;
    from = end + 1;
  }
}

function lineOf(bytes: Buffer, offset: number): number {
  let line = 1;
  for (let at = bytes.indexOf(10); at >= 0 && at < offset; at = bytes.indexOf(10, at + 1)) line++;
  return line;
}

function documentsOf(file: string, bytes: Buffer, source: DataSource): Iterable<Document> {
  const start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  const body = bytes.subarray(start);
  if (source.format === "text") return textsBetween(file, body, Buffer.from(source.separator));
  if (source.format === "book") return textsBetween(file, body, undefined);
  if (source.format === "paragraphs") return paragraphs(file, body);
  return jsonLines(file, body, source);
}

function* textsBetween(file: string, bytes: Buffer, separator: Buffer | undefined): Generator<Document> {
  let line = 1;
  for (let start = 0; start <= bytes.length; ) {
    const found = separator ? bytes.indexOf(separator, start) : -1;
    const end = found < 0 ? bytes.length : found;
    const raw = bytes.toString("utf8", start, end).replaceAll("\r\n", "\n");
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
    const content = bytes.toString("utf8", start, end).trimEnd();
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

function* jsonLines(file: string, bytes: Buffer, source: DataSource): Generator<Document> {
  for (const [line, start, end] of linesOf(bytes)) {
    if (end - start > longestLine) {
      fail(file, line, `the line has ${end - start} bytes, more than ${longestLine}: expected one JSON object a line`);
    }
    const content = bytes.toString("utf8", start, end).trim();
    if (content === "") continue;
    let entry: unknown;
    try {
      entry = JSON.parse(content);
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
  if (format === "jsonl") {
    const text = textOf(file, line, entry, keys.text).replaceAll("\r\n", "\n").trim();
    return text === "" ? undefined : { kind: "text", file, line, text };
  }
  if (format === "chat") return { kind: "chat", file, line, messages: messagesOf(file, line, entry, keys) };
  const prompt = textOf(file, line, entry, keys.prompt);
  const input = Object.hasOwn(entry, keys.input) ? textOf(file, line, entry, keys.input) : "";
  const answer = textOf(file, line, entry, keys.answer);
  if (answer.trim() === "") fail(file, line, `"${keys.answer}" is empty: there is nothing to learn`);
  return { kind: "pair", file, line, prompt: input === "" ? prompt : `${prompt}\n\n${input}`, answer };
}

function textOf(file: string, line: number, entry: Readonly<Record<string, unknown>>, key: string): string {
  const value = Object.hasOwn(entry, key) ? entry[key] : undefined;
  if (typeof value === "string") return value;
  if (value !== undefined) return fail(file, line, `"${key}": expected a text, found ${kindOf(value)}`);
  const names = Object.keys(entry).slice(0, 8).join(", ");
  return fail(file, line, `there is no "${key}", expected a text; the object has ${names || "no entries"}`);
}

function messagesOf(
  file: string,
  line: number,
  entry: Readonly<Record<string, unknown>>,
  keys: DataKeys,
): readonly ChatMessage[] {
  const list = Object.hasOwn(entry, keys.messages) ? entry[keys.messages] : undefined;
  if (!Array.isArray(list) || list.length === 0) {
    fail(file, line, `"${keys.messages}": expected a list of messages, found ${kindOf(list)}`);
  }
  const messages = (list as unknown[]).map((message, index): ChatMessage => {
    const at = `${keys.messages}[${index}]`;
    if (typeof message !== "object" || message === null || Array.isArray(message)) {
      fail(
        file,
        line,
        `"${at}": expected an object with "${keys.role}" and "${keys.content}", found ${kindOf(message)}`,
      );
    }
    const part = message as Readonly<Record<string, unknown>>;
    for (const key of [keys.role, keys.content]) {
      if (typeof part[key] !== "string") {
        fail(file, line, `"${at}.${key}": expected a text, found ${kindOf(part[key])}`);
      }
    }
    return { role: part[keys.role] as string, content: part[keys.content] as string };
  });
  const known = ["system", "user", "assistant"];
  const strange = messages.find(({ role }) => !known.includes(role));
  if (strange) fail(file, line, `the role ${JSON.stringify(strange.role)}: expected one of ${known.join(", ")}`);
  if (!messages.some(({ role }) => role === "assistant")) {
    fail(file, line, "no message is the assistant's: there is nothing to learn");
  }
  return messages;
}

function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return typeof value === "string" ? "a text" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}
