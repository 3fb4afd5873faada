/** Ids of a SentencePiece model back to text: the leading space, byte pieces, invisible control pieces. */

import { fromUtf8, toUtf8, wholeCharacter } from "../bytes/utf8.ts";
import { checkId } from "./face.ts";
import { pieceBytes, pieceText } from "./pieces.ts";
import type { SentencePieceModel } from "./sentencepiece-model.ts";
import { pieceTypes, type Tokenizer, type TokenStream } from "./tokenizer.ts";

export function createPieceDecoder(
  model: SentencePieceModel,
  byteIds: Int32Array | undefined,
): Pick<Tokenizer, "bytes" | "decoder"> {
  const { pieces, types } = model;
  const stripsSpace = model.addDummyPrefix || model.removeExtraWhitespaces;
  const texts: (string | undefined)[] = [];
  const byteOf = new Map<number, number>();
  for (let byte = 0; byteIds !== undefined && byte < 256; byte++) byteOf.set(byteIds[byte]!, byte);

  /** A piece's text, `▁` as spaces. */
  const textOf = (id: number): string => {
    let text = texts[id];
    if (text === undefined) {
      text = pieceText(pieces, id).replaceAll("\u2581", " ");
      texts[id] = text;
    }
    return text;
  };

  const decoder = ({ special = false, continuation = false } = {}): TokenStream => {
    const pending = new Uint8Array(4);
    let waiting = 0;
    // The library's rule: one leading `▁` goes, from the first piece that shows anything.
    let atStart = !continuation;
    let tookSpace = false;
    let empty = !continuation;

    const pushByte = (byte: number): string => {
      pending[waiting++] = byte;
      let text = "";
      while (waiting > 0) {
        const length = wholeCharacter(pending, 0, waiting);
        if (length === 0) break;
        const taken = Math.max(1, length);
        text += length < 0 ? "\ufffd" : fromUtf8(pending.subarray(0, taken));
        pending.copyWithin(0, taken, waiting);
        waiting -= taken;
      }
      return text;
    };
    /** Bytes that no character came of: one U+FFFD each, as in the library. */
    const flush = (): string => {
      const text = "\ufffd".repeat(waiting);
      waiting = 0;
      return text;
    };
    return {
      push(id) {
        checkId(model, id);
        const byte = byteOf.get(id);
        if (byte !== undefined) {
          const text = pushByte(byte);
          if (text !== "") empty = false;
          return text;
        }
        let text = flush();
        if (tookSpace || !empty || text !== "") atStart = false;
        tookSpace = false;
        const type = types[id];
        if (type === pieceTypes.control) {
          if (special) text += pieceText(pieces, id);
        } else if (type === pieceTypes.unknown) {
          text += model.unknownSurface;
        } else {
          const piece = textOf(id);
          if (atStart && stripsSpace && startsWithMark(pieceBytes(pieces, id))) {
            text += piece.slice(1);
            tookSpace = !model.removeExtraWhitespaces;
          } else {
            text += piece;
          }
        }
        if (text !== "") empty = false;
        return text;
      },
      end() {
        const text = flush();
        atStart = empty = !continuation;
        tookSpace = false;
        return text;
      },
    };
  };

  return {
    decoder,
    bytes(id) {
      checkId(model, id);
      const byte = byteOf.get(id);
      if (byte !== undefined) return Uint8Array.of(byte);
      if (types[id] === pieceTypes.control) return new Uint8Array(0);
      if (types[id] === pieceTypes.unknown) return toUtf8(model.unknownSurface);
      return toUtf8(textOf(id));
    },
  };
}

function startsWithMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xe2 && bytes[1] === 0x96 && bytes[2] === 0x81;
}
