/** What a SentencePiece model says, wherever it was read from, and the rules that every such model obeys. */
import { GrokError } from "../errors.ts";
import type { Vocabulary } from "./face.ts";
import { checkPieceCount, maxPieceBytes, type Pieces, pieceText } from "./pieces.ts";
import { pieceTypes } from "./tokenizer.ts";

export interface SentencePieceModel extends Vocabulary {
  readonly algorithm: "bpe" | "unigram";
  /** One a piece. BPE: the larger joins first; unigram: log probability. */
  readonly scores: Float32Array;
  /** Characters outside the vocabulary become their UTF-8 bytes, `<0x00>` to `<0xFF>`. */
  readonly byteFallback: boolean;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  /** Spaces are written `▁` (U+2581) inside pieces. */
  readonly escapeWhitespaces: boolean;
  /** The dummy space goes to the end, and words end with their space. */
  readonly whitespaceAsSuffix: boolean;
  /** Precompiled normalization rules; empty: identity. */
  readonly charsmap: Uint8Array;
  /** What an unknown id is decoded to. */
  readonly unknownSurface: string;
  /** Of equal pieces: a GGUF file's last one counts (llama.cpp), a `tokenizer.model` with such is refused (sentencepiece). */
  readonly duplicates: "last" | "refused";
  readonly unknown: number;
}

export const defaultUnknownSurface = " \u2047 ";

/** The byte that a piece such as `<0x0A>` stands for, or -1. */
export function byteOfPiece(piece: string): number {
  return /^<0x[0-9A-F]{2}>$/.test(piece) ? Number.parseInt(piece.slice(3, 5), 16) : -1;
}

/** Byte ids of a model: 256 of them, or none. @throws GrokError `format` for a byte that is missing or misnamed. */
export function findByteIds(pieces: Pieces, types: Uint8Array, source: string): Int32Array | undefined {
  let found = 0;
  const ids = new Int32Array(256).fill(-1);
  for (let id = 0; id < pieces.count; id++) {
    if (types[id] !== pieceTypes.byte) continue;
    const byte = byteOfPiece(pieceText(pieces, id));
    if (byte < 0) {
      throw new GrokError("format", `${source}: piece ${id} is of the type byte, but is not named <0x00> to <0xFF>`, {
        source,
        piece: id,
      });
    }
    if (ids[byte]! < 0) found++;
    ids[byte] = id;
  }
  if (found === 0) return undefined;
  if (found < 256) {
    throw new GrokError("format", `${source}: ${found} byte pieces, expected all 256 or none`, { source, found });
  }
  return ids;
}

/**
 * @throws GrokError `format` for pieces, scores or types that no SentencePiece model can have. Unused pieces may be empty:
 * some GGUF files fill a vocabulary up with them.
 */
export function checkPieces(pieces: Pieces, scores: Float32Array, types: Uint8Array, source: string): void {
  checkPieceCount(pieces.count, source);
  const fail = (id: number, what: string): never => {
    throw new GrokError("format", `${source}: piece ${id} ${what}`, { source, piece: id });
  };
  let start = 0;
  for (let id = 0; id < pieces.count; id++) {
    const end = pieces.offsets[id + 1]!;
    if (end === start && types[id] !== pieceTypes.unused) fail(id, "is empty");
    if (end - start >= maxPieceBytes) fail(id, `has ${end - start} bytes, expected fewer than ${maxPieceBytes}`);
    if (Number.isNaN(scores[id]!)) fail(id, "has a score that is not a number");
    if (types[id]! < pieceTypes.normal || types[id]! > pieceTypes.byte) fail(id, `has the unknown type ${types[id]}`);
    start = end;
  }
  const nul = pieces.blob.indexOf(0);
  if (nul >= 0) {
    throw new GrokError("format", `${source}: a piece contains a NUL character`, { source, offset: nul });
  }
}
