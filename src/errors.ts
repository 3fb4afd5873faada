/**
 * The one error type of grok1. An error is data: a `code` to branch on, `details` to show or log, and a message that
 * names the file, the place in it, and what was expected.
 */
export type ErrorCode =
  /** A file could not be opened, read, mapped or written. */
  | "io"
  /** A file's bytes contradict its format: truncated, damaged or hostile. */
  | "format"
  /** Well-formed, but something grok1 does not run: an architecture, a tensor type, a tokenizer. */
  | "unsupported"
  /** A tensor is missing or its shape is not the one the model's metadata asks for. */
  | "shape"
  /** A caller's argument or option is out of its range. */
  | "argument"
  /** A request needs more context, pages or memory than there is. */
  | "capacity"
  /** What is asked for is not there: a model, a page of the server. */
  | "not-found"
  /** A server's client has not shown a key that opens it. */
  | "denied"
  /** A server's client may not ask for this, or from there. */
  | "forbidden"
  /** A request is larger than what is read of one. */
  | "too-large"
  /** Too many others are being served. */
  | "busy"
  /** A server's moderation refuses what was asked or answered. */
  | "refused"
  /** A server's client has asked for more than its share. */
  | "limited"
  /** The caller cancelled. */
  | "cancelled"
  /** A broken promise inside grok1: a defect, please report it. */
  | "internal";

export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | readonly (string | number)[]>>;

/** A value as a message shows it: what it is, where that is not plain; never its contents. Fails for none, however strange. */
export function describeValue(value: unknown): string {
  if (typeof value === "string")
    return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "symbol" || typeof value === "function") return `a ${typeof value}`;
  if (typeof value !== "object" || value === null) return String(value);
  return ArrayBuffer.isView(value) ? "an array of numbers" : isList(value) ? "a list" : "an object";
}

/**
 * What keeps a string from being text: a surrogate without its other half, of which UTF-8 can only make U+FFFD, another text, without
 * a word. Undefined where all of it is text.
 */
export function whyNotText(value: string): string | undefined {
  if (value.isWellFormed()) return undefined;
  const at = value.search(/\p{Surrogate}/u);
  return `\\u${value.charCodeAt(at).toString(16)} at place ${at} is half a character (a surrogate without its other half)`;
}

/** Also of a proxy that was revoked. */
function isList(value: object): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}

export class GrokError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(shorten(printable(message), longestMessage), cause === undefined ? undefined : { cause });
    this.name = "GrokError";
    this.code = code;
    this.details = boundDetails(details);
  }
}

/** Names and values in messages come from files and callers. What these add to a message stays one line that can be read. */
const longestMessage = 2000;
const longestValue = 100;
/** Details travel in JSON and logs: a path is whole, what a file or a caller made up is not longer than one. */
const longestDetail = 4096;
const mostItems = 100;

function boundDetails(details: ErrorDetails): ErrorDetails {
  const bound = <T>(value: T) => (typeof value === "string" ? shorten(value, longestDetail) : value);
  return Object.fromEntries(
    Object.entries(details).map(([key, value]) => [
      key,
      Array.isArray(value) ? value.slice(0, mostItems).map(bound) : bound(value),
    ]),
  ) as ErrorDetails;
}

/** A value from outside as a message shows it: JSON's spelling of a text, cut short; of a list or an object, only that it is one. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(shorten(value, longestValue));
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  return shorten(String(value), longestValue);
}

/** The beginning and the end of a text that is too long, so that a message keeps the file's name and what was expected. */
function shorten(text: string, longest: number): string {
  if (text.length <= longest) return text;
  const kept = Math.floor((longest - 40) / 2);
  return `${text.slice(0, kept)} ... (${text.length} characters) ... ${text.slice(-kept)}`.toWellFormed();
}

/** Control characters by their numbers: a line stays a line, and a terminal is told nothing. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (c) => {
    return `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** "1 layer", "2 layers" */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** 98362432 → "98.4 MB": powers of 1000, as disks and file managers count. */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${bytes} bytes` : `${value.toPrecision(3)} ${units[unit]}`;
}
