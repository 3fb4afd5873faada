/** The most probable segmentation under a unigram model: Viterbi over the pieces that match at each character. */

import { characterLength } from "../bytes/utf8.ts";
import type { Pieces } from "./pieces.ts";
import type { SentencePieceModel } from "./sentencepiece-model.ts";
import { type Steps, stepSize } from "./steps.ts";
import { pieceTypes } from "./tokenizer.ts";
import type { Trie } from "./trie.ts";

const unknownPenalty = 10;

export interface Unigram {
  /** Best path over the inner form: calls `emit(id, start, end)` in order; id -1 for a character that no piece covers. */
  segment(bytes: Uint8Array, emit: (id: number, start: number, end: number) => void): Steps;
}

/**
 * `inner` are the pieces in inner form, `trie` those of them that texts can contain. Scores are added in float32 as the sentencepiece library adds them, so that ties fall alike.
 */
export function createUnigram(model: SentencePieceModel, inner: Pieces, trie: Trie): Unigram {
  const { scores, types, pieces } = model;
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < inner.count; id++) {
    if (types[id] !== pieceTypes.normal) continue;
    least = Math.min(least, scores[id]!);
    most = Math.max(most, scores[id]!);
  }
  const unknownScore = Math.fround(least - unknownPenalty);

  return {
    *segment(bytes, emit) {
      const size = bytes.length;
      const best = new Float32Array(size + 1);
      const from = new Int32Array(size + 1).fill(-1);
      const ids = new Int32Array(size + 1).fill(-1);
      for (let start = 0, rest = stepSize; start < size; ) {
        if (start >= rest) {
          yield;
          rest = start + stepSize;
        }
        const length = characterLength(bytes[start]!);
        const here = best[start]!;
        let whole = false;
        trie.visit(bytes, start, size, (id, end) => {
          if (types[id] === pieceTypes.unused) return;
          const score =
            types[id] === pieceTypes.userDefined
              ? Math.fround((pieces.offsets[id + 1]! - pieces.offsets[id]!) * most) - 0.1
              : scores[id]!;
          const total = types[id] === pieceTypes.userDefined ? score + here : Math.fround(score + here);
          if (from[end]! < 0 || total > best[end]!) {
            best[end] = total;
            from[end] = start;
            ids[end] = id;
          }
          if (end - start === length) whole = true;
        });
        const end = Math.min(size, start + length);
        if (!whole) {
          const total = Math.fround(unknownScore + here);
          if (from[end]! < 0 || total > best[end]!) {
            best[end] = total;
            from[end] = start;
            ids[end] = -1;
          }
        }
        start = end;
      }
      const ends: number[] = [];
      for (let end = size; end > 0; end = from[end]!) ends.push(end);
      yield;
      for (let i = ends.length - 1; i >= 0; i--) emit(ids[ends[i]!]!, from[ends[i]!]!, ends[i]!);
    },
  };
}
