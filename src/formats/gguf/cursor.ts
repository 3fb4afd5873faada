import type { DataFile } from "../../bytes/data-file.ts";
import { type ErrorDetails, GrokError } from "../../errors.ts";

/**
 * A place in the header of a file. How long the header is shows only at its end, so bytes are read as they are needed,
 * twice as many each time, and never more than `maxHeaderBytes`.
 */
export interface Cursor {
  readonly file: DataFile;
  /** The file's first bytes, as far as they are read. */
  bytes: Uint8Array;
  at: number;
}

/** The longest header that is read. A vocabulary of 262,144 entries with its merges takes about 20 MB. */
export const maxHeaderBytes = 64_000_000;

const firstRead = 1 << 20;

export function openCursor(file: DataFile): Cursor {
  return { file, bytes: new Uint8Array(0), at: 0 };
}

/** An error of format `at` a byte of the file. */
export function formatError(path: string, at: number, problem: string, details: ErrorDetails = {}): GrokError {
  return new GrokError("format", `${path}: at byte ${at}: ${problem}`, { path, offset: at, ...details });
}

/** Makes sure that `length` bytes from here are read. @throws GrokError `format` when the file or the header limit ends before. */
export function need(cursor: Cursor, length: number, what: string): void {
  const end = cursor.at + length;
  if (end <= cursor.bytes.length) return;
  const { path, size } = cursor.file;
  if (end > size) {
    const left = Math.max(0, size - cursor.at);
    throw formatError(path, cursor.at, `expected ${what} of ${length} bytes, and the file has ${left} more`, {
      expected: length,
      left,
    });
  }
  if (end > maxHeaderBytes) {
    throw formatError(
      path,
      cursor.at,
      `${what} of ${length} bytes makes the header longer than ${maxHeaderBytes} bytes`,
      { expected: length },
    );
  }
  const have = cursor.bytes.length;
  const wanted = Math.min(size, maxHeaderBytes, Math.max(end, 2 * have, firstRead));
  const grown = new Uint8Array(wanted);
  grown.set(cursor.bytes);
  grown.set(cursor.file.read(have, wanted - have), have);
  cursor.bytes = grown;
}

export function readU32(cursor: Cursor, what: string): number {
  need(cursor, 4, what);
  const value = u32At(cursor.bytes, cursor.at);
  cursor.at += 4;
  return value;
}

/** A 64-bit count, length or offset: exact up to 2^53, above it rounded, which is still above every limit it is checked against. */
export function readU64(cursor: Cursor, what: string): number {
  need(cursor, 8, what);
  const value = u64At(cursor.bytes, cursor.at);
  cursor.at += 8;
  return value;
}

export function u32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

export function u64At(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at) + u32At(bytes, at + 4) * 2 ** 32;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A name (a metadata key, a tensor's name): not empty, UTF-8, at most `limit` bytes. */
export function readName(cursor: Cursor, what: string, limit: number): string {
  const start = cursor.at;
  const length = readU64(cursor, `the length of ${what}`);
  if (length === 0 || length > limit) {
    throw formatError(cursor.file.path, start, `${what} has ${length} bytes, expected 1 to ${limit}`, {
      length,
      limit,
    });
  }
  need(cursor, length, what);
  const bytes = cursor.bytes.subarray(cursor.at, cursor.at + length);
  cursor.at += length;
  try {
    return utf8.decode(bytes);
  } catch {
    throw formatError(cursor.file.path, start, `${what} is not UTF-8`);
  }
}
