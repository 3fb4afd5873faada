import { parseJson } from "../../bytes/json.ts";
import { GrokError } from "../../errors.ts";

/**
 * A reader of JSON text that passes over it once, piece by piece, as its caller asks. Other than JSON.parse it finds keys
 * that are there twice, tells where something is wrong, and takes no memory but for what is asked for, however large or
 * deep a hostile text is.
 */
export interface JsonReader {
  /** Calls `member` at each member of the object here. @throws GrokError `format` when a key comes twice. */
  object(what: string, member: (key: string, at: number) => void): void;
  /** Calls `item` at each item of the array here. */
  array(what: string, item: (index: number) => void): void;
  string(what: string): string;
  /** A whole number from 0 to 2^53 - 1. */
  count(what: string): number;
  /** Passes over any value. */
  skip(): void;
  /** Nothing but white space is left. */
  end(): void;
  fail(problem: string, at?: number): GrokError;
}

const maxDepth = 64;
/** A sharded model of 61 layers with 384 separate experts has about 140,000 tensors in its index. */
const maxMembers = 500_000;
const maxStringBytes = 1 << 24;
/** Values of unknown fields, which no file in use has many of. */
const maxSkipped = 1_000_000;
const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];

/** `base` is the offset of `text` in the file, for messages. */
export function createJsonReader(path: string, text: Uint8Array, base: number): JsonReader {
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let at = 0;
  let depth = 0;
  let skipped = 0;

  const fail = (problem: string, place = at) =>
    new GrokError("format", `${path}: at byte ${base + place}: ${problem}`, { path, offset: base + place });
  const isSpace = (byte: number | undefined) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
  const isDigit = (byte: number | undefined) => byte !== undefined && byte >= 0x30 && byte <= 0x39;
  /** The next byte that is not white space, without passing it. */
  const peek = () => {
    while (isSpace(text[at])) at++;
    return text[at];
  };
  const shown = () => (at < text.length ? JSON.stringify(String.fromCharCode(text[at]!)) : "the end");
  const expect = (byte: number, what: string) => {
    if (peek() !== byte) throw fail(`expected ${what}, found ${shown()}`);
    at++;
  };

  /** The items of an object or array between their brackets. */
  const list = (open: string, close: string, what: string, item: (index: number) => void) => {
    expect(open.charCodeAt(0), what);
    if (++depth > maxDepth) throw fail(`nested more than ${maxDepth} deep`);
    if (peek() === close.charCodeAt(0)) {
      at++;
    } else {
      for (let i = 0; ; i++) {
        item(i);
        if (peek() === comma) at++;
        else break;
      }
      expect(close.charCodeAt(0), `"," or "${close}"`);
    }
    depth--;
  };

  const string = (what: string): string => {
    expect(quote, what);
    const start = at;
    let escaped = false;
    for (; text[at] !== quote; at++) {
      if (at >= text.length) throw fail(`${what} has no end`, start);
      if (text[at]! < 0x20) throw fail(`a control character in ${what}`);
      if (at - start > maxStringBytes) throw fail(`${what} is longer than ${maxStringBytes} bytes`, start);
      if (text[at] === backslash) {
        escaped = true;
        at++;
      }
    }
    const raw = text.subarray(start, at++);
    try {
      const decoded = utf8.decode(raw);
      // The escapes themselves are JSON's business.
      return escaped ? (parseJson(`"${decoded}"`) as string) : decoded;
    } catch {
      throw fail(`${what} is not UTF-8, or has a wrong escape`, start);
    }
  };

  const skipNumber = (): string => {
    const start = at;
    while (at < text.length && at - start <= 400 && /[-+.0-9eE]/.test(String.fromCharCode(text[at]!))) at++;
    return Buffer.from(text.subarray(start, at)).toString("latin1");
  };

  const reader: JsonReader = {
    fail,
    string,
    object(what, member) {
      const keys = new Set<string>();
      list("{", "}", what, (index) => {
        if (index === maxMembers) throw fail(`${what} has more than ${maxMembers} members`);
        peek();
        const start = at;
        const key = string(`a key of ${what}`);
        if (keys.has(key)) throw fail(`key ${JSON.stringify(key)} is there twice`, start);
        keys.add(key);
        expect(colon, '":"');
        peek();
        member(key, at);
      });
    },
    array: (what, item) => list("[", "]", what, item),
    count(what) {
      peek();
      const start = at;
      let value = 0;
      while (isDigit(text[at])) value = value * 10 + text[at++]! - 0x30;
      const digits = at - start;
      if (digits === 0 || (digits > 1 && text[start] === 0x30) || /[.eE]/.test(String.fromCharCode(text[at] ?? 0x20))) {
        throw fail(`expected ${what}, a whole number`, start);
      }
      if (value > Number.MAX_SAFE_INTEGER) throw fail(`${what} is above 2^53 - 1`, start);
      return value;
    },
    skip() {
      if (++skipped > maxSkipped) throw fail(`more than ${maxSkipped} values in unknown fields`);
      const first = peek();
      const word = ["true", "false", "null"].find((w) => w.charCodeAt(0) === first);
      if (first === 0x7b) {
        list("{", "}", "an object", () => {
          string("a key");
          expect(colon, '":"');
          reader.skip();
        });
      } else if (first === 0x5b) {
        list("[", "]", "an array", () => reader.skip());
      } else if (first === quote) {
        string("a string");
      } else if (word && Buffer.from(text.subarray(at, at + word.length)).toString("latin1") === word) {
        at += word.length;
      } else if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(skipNumber())) {
        throw fail(`expected a value, found ${shown()}`);
      }
    },
    end() {
      peek();
      if (at < text.length) throw fail(`expected the end, found ${shown()}`);
    },
  };
  return reader;
}
