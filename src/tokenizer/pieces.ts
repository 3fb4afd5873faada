/** The pieces of a vocabulary in flat arrays, and a hash table over their bytes. */

import { fromUtf8 } from "../bytes/utf8.ts";
import { GrokError } from "../errors.ts";

/** Byte strings end to end: piece i is `blob[offsets[i], offsets[i+1])`. */
export interface Pieces {
  readonly count: number;
  readonly blob: Uint8Array;
  readonly offsets: Uint32Array;
}

/** More pieces than this are refused: sixteen times what the largest known vocabularies have. */
export const maxPieces = 1 << 22;

/** Longest piece in bytes, as in the sentencepiece library. */
export const maxPieceBytes = 8000;

export function checkPieceCount(count: number, source: string): void {
  if (count === 0) throw new GrokError("format", `${source}: the vocabulary is empty`, { source });
  if (count > maxPieces) {
    throw new GrokError("unsupported", `${source}: ${count} pieces, at most ${maxPieces} are supported`, { source });
  }
}

export function pieceBytes(pieces: Pieces, id: number): Uint8Array {
  return pieces.blob.subarray(pieces.offsets[id]!, pieces.offsets[id + 1]!);
}

export function pieceText(pieces: Pieces, id: number): string {
  return fromUtf8(pieceBytes(pieces, id));
}

/** The base of the hashes: odd, with its bits well mixed. */
export const hashBase = 0x2c1b3c6d;

/**
 * Polynomial hash, hash(ab) = hash(a) * base^|b| + hash(b) mod 2^32, so that the hash of two joined pieces follows from
 * theirs.
 */
export function hashRange(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i++) hash = (Math.imul(hash, hashBase) + bytes[i]! + 1) | 0;
  return hash;
}

/** base^0 ... base^length. */
export function hashPowers(length: number): Int32Array {
  const powers = new Int32Array(length + 1);
  powers[0] = 1;
  for (let i = 1; i <= length; i++) powers[i] = Math.imul(powers[i - 1]!, hashBase);
  return powers;
}

export interface PieceTable {
  /** Longest piece in the table, in bytes. */
  readonly longest: number;
  /** Pieces that an equal one after them hides. */
  readonly duplicates: number;
  /** Id of the piece equal to `bytes[start, end)`, whose hash is given, or -1. */
  find(bytes: Uint8Array, start: number, end: number, hash: number): number;
}

/**
 * Table of those pieces that `include` marks with 1, or of all. Of equal ones the last counts, as in llama.cpp and in the tokenizers
 * library, unless told to be refused, as the sentencepiece library does.
 *
 * @throws GrokError `format` for equal pieces that are to be refused, and when more than 256 pieces share one place: no real vocabulary comes near it, and a file made
 * to collide must not make loading quadratic.
 */
export function createPieceTable(
  pieces: Pieces,
  source: string,
  include: Uint8Array | undefined,
  duplicates: "last" | "refused" = "last",
): PieceTable {
  const { blob, offsets, count } = pieces;
  let bits = 4;
  while (1 << bits < count * 2) bits++;
  const mask = (1 << bits) - 1;
  const shift = 32 - bits;
  const slots = new Int32Array(1 << bits).fill(-1);
  const hashes = new Int32Array(count);
  let longest = 0;
  let hidden = 0;

  /** Whether piece `id` is `bytes[start, start + length)`. */
  const equals = (id: number, bytes: Uint8Array, start: number, length: number): boolean => {
    const from = offsets[id]!;
    if (offsets[id + 1]! - from !== length) return false;
    let i = 0;
    while (i < length && blob[from + i] === bytes[start + i]) i++;
    return i === length;
  };

  for (let id = 0; id < count; id++) {
    if (include !== undefined && include[id] === 0) continue;
    const start = offsets[id]!;
    const end = offsets[id + 1]!;
    const hash = hashRange(blob, start, end);
    hashes[id] = hash;
    let slot = Math.imul(hash, 0x9e3779b1) >>> shift;
    let probes = 0;
    let duplicate = -1;
    while (slots[slot]! >= 0) {
      const other = slots[slot]!;
      if (hashes[other] === hash && equals(other, blob, start, end - start)) {
        duplicate = other;
        break;
      }
      if (++probes > 256) {
        throw new GrokError("format", `${source}: the vocabulary's pieces collide; it was made to slow readers down`, {
          source,
          piece: id,
        });
      }
      slot = (slot + 1) & mask;
    }
    if (duplicate >= 0) {
      if (duplicates === "refused") {
        throw new GrokError("format", `${source}: pieces ${duplicate} and ${id} are the same`, { source, piece: id });
      }
      hidden++;
    }
    slots[slot] = id;
    if (end - start > longest) longest = end - start;
  }
  return {
    longest,
    duplicates: hidden,
    find(bytes, start, end, hash) {
      for (let slot = Math.imul(hash, 0x9e3779b1) >>> shift; ; slot = (slot + 1) & mask) {
        const id = slots[slot]!;
        if (id < 0 || (hashes[id] === hash && equals(id, bytes, start, end - start))) return id;
      }
    },
  };
}
