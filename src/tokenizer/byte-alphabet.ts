/**
 * GPT-2's printable alphabet: vocabulary files write byte 0x20 as `Ġ`, 0x0A as `Ċ` and so on. Bytes that are printable
 * in Latin-1 stand for themselves, the other 68 for U+0100 and up in order.
 */
import type { Pieces } from "./pieces.ts";
import { pieceText } from "./pieces.ts";
import { byteOfPiece } from "./sentencepiece-model.ts";
import { pieceTypes } from "./tokenizer.ts";

export interface ByteAlphabet {
  /** By code point; -1 outside the alphabet. */
  readonly byteOf: Int16Array;
}

const alphabetEnd = 0x144;

export function createByteAlphabet(): ByteAlphabet {
  const byteOf = new Int16Array(alphabetEnd).fill(-1);
  let moved = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    byteOf[printable ? byte : moved++] = byte;
  }
  return { byteOf };
}

/**
 * Bytes of a string in the alphabet: `from[start, end)` is UTF-8. Writes to `to` at `at` and returns where they end, or
 * -1 for a character outside the alphabet.
 */
export function decodeAlphabet(
  { byteOf }: ByteAlphabet,
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  at: number,
): number {
  for (let i = start; i < end; ) {
    const lead = from[i++]!;
    let codePoint = lead;
    if (lead >= 0x80) {
      if (lead < 0xc2 || lead > 0xc5 || i >= end) return -1;
      codePoint = ((lead & 0x1f) << 6) | (from[i++]! & 0x3f);
    }
    const byte = codePoint < alphabetEnd ? byteOf[codePoint]! : -1;
    if (byte < 0) return -1;
    to[at++] = byte;
  }
  return at;
}

export interface DecodedPieces {
  /** The bytes that each id stands for. */
  readonly pieces: Pieces;
  /** 1 for normal pieces in the alphabet: those that merges can make. */
  readonly plain: Uint8Array;
}

/** Normal pieces leave the alphabet (one with a character outside it stands as it is), added tokens are kept. */
export function decodePieces(alphabet: ByteAlphabet, pieces: Pieces, types: Uint8Array): DecodedPieces {
  const { count, blob } = pieces;
  const decoded = new Uint8Array(blob.length);
  const offsets = new Uint32Array(count + 1);
  const plain = new Uint8Array(count);
  let at = 0;
  for (let id = 0; id < count; id++) {
    const start = pieces.offsets[id]!;
    const end = pieces.offsets[id + 1]!;
    const type = types[id];
    let stop = -1;
    if (type === pieceTypes.normal) {
      stop = decodeAlphabet(alphabet, blob, start, end, decoded, at);
      if (stop > at) plain[id] = 1;
    } else if (type === pieceTypes.byte) {
      const byte = end - start === 6 ? byteOfPiece(pieceText(pieces, id)) : -1;
      if (byte >= 0) {
        decoded[at] = byte;
        stop = at + 1;
      }
    } else if (type === pieceTypes.unused) {
      stop = at;
    }
    if (stop < 0) {
      for (let i = start; i < end; i++) decoded[at + i - start] = blob[i]!;
      stop = at + end - start;
    }
    at = stop;
    offsets[id + 1] = at;
  }
  return { pieces: { count, blob: decoded.subarray(0, at), offsets }, plain };
}

let letters: readonly string[] | undefined;

/** Bytes as vocabulary files write them. */
export function encodeAlphabet(bytes: Uint8Array): string {
  if (letters === undefined) {
    const made: string[] = [];
    for (const [codePoint, byte] of createByteAlphabet().byteOf.entries()) {
      if (byte >= 0) made[byte] = String.fromCharCode(codePoint);
    }
    letters = made;
  }
  let text = "";
  for (const byte of bytes) text += letters[byte];
  return text;
}
