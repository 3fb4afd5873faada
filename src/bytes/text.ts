import { constants, isUtf8 } from "node:buffer";
import { GrokError } from "../errors.ts";
import { wholeCharacter } from "./utf8.ts";

/**
 * Text as it comes from outside. Everything that the program reads as text, from files and from streams, is UTF-8 and is held to
 * it: what is not would reach a model as replacement characters, and nobody would know.
 */

/** UTF-8 bytes that a text has at most: what one string of the JavaScript engine is sure to hold. */
export const mostTextBytes = constants.MAX_STRING_LENGTH;

/**
 * The text of `bytes`, without a byte order mark.
 * @param name of the file or stream, for messages.
 * @throws GrokError as {@link checkText}; `capacity` for more than {@link mostTextBytes}.
 */
export function decodeText(bytes: Uint8Array, name: string): string {
  return decodeChecked(checkText(bytes, name), name);
}

/**
 * The bytes without a byte order mark, once they are known to be UTF-8.
 * @throws GrokError `format` naming the line and the byte where they are not, or the encoding that they are in.
 */
export function checkText(bytes: Uint8Array, name: string): Buffer {
  refuseWide(bytes, name);
  const body = bufferOf(bytes).subarray(markLength(bytes));
  if (!isUtf8(body)) failAt(body, name, 1, bytes.length - body.length);
  return body;
}

/**
 * The text of bytes that {@link checkText} let pass, or of a part of them.
 * @param place the file or stream, and line where there is one, for messages.
 * @throws GrokError `capacity` for more than {@link mostTextBytes}.
 */
export function decodeChecked(bytes: Buffer, place: string): string {
  if (bytes.length > mostTextBytes) failLong(place);
  return bytes.toString("utf8");
}

/** Takes a stream's bytes as they come and gives the text of whole lines, as soon as there are such. */
export interface LineDecoder {
  /** Texts of whole lines with their line ends. @throws GrokError as {@link decodeText}, naming the line. */
  add(chunk: Uint8Array): Generator<string>;
  /** What came after the last line end; nothing, where that is the end. */
  end(): Generator<string>;
}

export function createLineDecoder(name: string): LineDecoder {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let line = 1;
  let offset = 0;

  const keep = (bytes: Uint8Array): void => {
    if (bytes.length === 0) return;
    waitingBytes += bytes.length;
    if (waitingBytes > mostTextBytes) failLong(`${name}, line ${line}`);
    waiting.push(bytes);
  };
  function* take(): Generator<string> {
    let bytes = waiting.length === 1 ? bufferOf(waiting[0]!) : Buffer.concat(waiting);
    waiting = [];
    waitingBytes = 0;
    if (offset === 0) {
      offset = markLength(bytes);
      bytes = bytes.subarray(offset);
    }
    if (!isUtf8(bytes)) {
      const good = bytes.lastIndexOf(10, firstInvalid(bytes)) + 1;
      if (good > 0) yield bytes.toString("utf8", 0, good);
      failAt(bytes, name, line, offset);
    }
    line += countLineEnds(bytes);
    offset += bytes.length;
    yield bytes.toString("utf8");
  }

  return {
    *add(chunk) {
      if (offset === 0 && waiting.length === 0) refuseWide(chunk, name);
      const first = chunk.indexOf(10) + 1;
      const last = chunk.lastIndexOf(10) + 1;
      // The line that waits goes by itself: together with those after it, it might be too long for one text.
      if (waiting.length > 0 && first > 0) {
        keep(chunk.subarray(0, first));
        yield* take();
        keep(chunk.subarray(first, last));
      } else {
        keep(chunk.subarray(0, last));
      }
      if (last > 0 && waiting.length > 0) yield* take();
      keep(chunk.subarray(last));
    },
    *end() {
      if (waiting.length > 0) yield* take();
    },
  };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function countLineEnds(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}

/** UTF-8's own mark says nothing and is no part of the text. */
function markLength(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

/** @throws GrokError `capacity`, always. */
export function failLong(place: string): never {
  const message = `${place}: more than ${mostTextBytes} bytes, the most that one text can have`;
  throw new GrokError("capacity", message, { place, most: mostTextBytes });
}

/** `line` is that of the first byte, `offset` what comes before it. */
function failAt(bytes: Uint8Array, name: string, line: number, offset: number): never {
  const at = firstInvalid(bytes);
  const place = { line: line + countLineEnds(bufferOf(bytes.subarray(0, at))), offset: offset + at };
  const end = bytes.indexOf(10, at + 1);
  const shown = bytes.subarray(at, Math.min(at + 4, end < 0 ? bytes.length : end));
  const found = [...shown].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const message = `${name}, line ${place.line}: the text is not UTF-8: found ${found} at byte ${place.offset}`;
  throw new GrokError("format", message, { name, ...place });
}

/** Offset of the first byte that begins no character; the length where there is none. */
function firstInvalid(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const length = wholeCharacter(bytes, at, bytes.length);
    if (length <= 0) break;
    at += length;
  }
  return at;
}

/** Bytes that are looked at for another encoding's habits. */
const sampleBytes = 4096;

/** @throws GrokError `format` for text in UTF-16 or UTF-32, which may well be valid UTF-8 too: full of NUL characters. */
function refuseWide(bytes: Uint8Array, name: string): void {
  const encoding = wideEncoding(bytes.subarray(0, sampleBytes));
  if (encoding === undefined) return;
  const message = `${name}: the text is in ${encoding}, expected UTF-8: iconv -f ${encoding} -t UTF-8 converts it`;
  throw new GrokError("format", message, { name, encoding });
}

/** By its byte order mark or, where it has none, by where NUL bytes are: what Western, Greek, Cyrillic, Arabic text shows. */
function wideEncoding(bytes: Uint8Array): string | undefined {
  const at = (i: number) => bytes[i] ?? -1;
  if (at(0) === 0xff && at(1) === 0xfe) return at(2) === 0 && at(3) === 0 ? "UTF-32" : "UTF-16";
  if (at(0) === 0xfe && at(1) === 0xff) return "UTF-16";
  if (at(0) === 0 && at(1) === 0 && at(2) === 0xfe && at(3) === 0xff) return "UTF-32";
  if (bytes.length < 4 || !bytes.includes(0)) return undefined;
  const whole = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const units = (size: 2 | 4) => Array.from({ length: Math.floor(bytes.length / size) }, (_, i) => i * size);
  for (const [order, little] of [
    ["LE", true],
    ["BE", false],
  ] as const) {
    const quads = units(4).map((i) => whole.getUint32(i, little));
    if (quads.every(isCharacter) && quads.filter((code) => code < 0x10000).length > 0.9 * quads.length) {
      return `UTF-32${order}`;
    }
    // The high bytes are few and small, NUL among them; the low bytes are never NUL.
    const pairs = units(2).map((i) => whole.getUint16(i, little));
    const small = pairs.filter((pair) => pair >> 8 < 0x20).length;
    if (
      pairs.every((pair) => (pair & 0xff) !== 0) &&
      pairs.some((pair) => pair < 0x100) &&
      small > 0.9 * pairs.length
    ) {
      return `UTF-16${order}`;
    }
  }
  return undefined;
}

function isCharacter(code: number): boolean {
  return code > 0 && code < 0x110000;
}
