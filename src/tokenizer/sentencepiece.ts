/**
 * SentencePiece tokenizers, exact to the sentencepiece library: normalization, BPE or unigram segmentation, byte fallback.
 */

import { fromUtf8, toUtf8 } from "../bytes/utf8.ts";
import { type Codec, createFace } from "./face.ts";
import { type IdList, pushId } from "./ids.ts";
import { createNormalizer, shrinkSpaces } from "./normalizer.ts";
import { pieceBytes } from "./pieces.ts";
import { createSentencePieceBpe, type InnerPieces, type PushUnknown } from "./sentencepiece-bpe.ts";
import { createPieceDecoder } from "./sentencepiece-decoder.ts";
import { findByteIds, type SentencePieceModel } from "./sentencepiece-model.ts";
import { splitSpecial, toByteRanges, trieOfTypes } from "./special.ts";
import type { Steps } from "./steps.ts";
import { pieceTypes, type Tokenizer } from "./tokenizer.ts";
import { createTrie, type Trie } from "./trie.ts";
import { createUnigram } from "./unigram.ts";

const space = 0x20;

export function createSentencePiece(model: SentencePieceModel): Tokenizer {
  const { pieces, types, source } = model;
  const isType = (id: number, ...wanted: number[]): boolean => wanted.includes(types[id]!);
  const inner = toInnerPieces(model);

  const symbolEntries: [Uint8Array, number][] = [];
  for (let id = 0; id < pieces.count; id++) {
    if (types[id] === pieceTypes.userDefined) symbolEntries.push([pieceBytes(pieces, id), id]);
  }
  const normalize = createNormalizer(model, createTrie(symbolEntries, source));
  const innerSymbols = createTrie(
    symbolEntries.filter(([, id]) => inner.occurs[id] === 1).map(([, id]) => [pieceBytes(inner, id), id]),
    source,
  );
  const byteIds = model.byteFallback ? findByteIds(pieces, types, source) : undefined;
  const spaceIds = byteIds && [byteIds[0xe2]!, byteIds[0x96]!, byteIds[0x81]!];

  /** An unknown character: its bytes, or one unknown id for a run of them. */
  const pushUnknown: PushUnknown = (out, bytes, start, end) => {
    if (byteIds === undefined) {
      if (out.count === 0 || out.ids[out.count - 1] !== model.unknown) pushId(out, model.unknown);
      return;
    }
    for (let i = start; i < end; i++) {
      if (model.escapeWhitespaces && bytes[i] === space) for (const id of spaceIds!) pushId(out, id);
      else pushId(out, byteIds[bytes[i]!]!);
    }
  };

  let duplicates = 0;
  let encodeInner: (bytes: Uint8Array, out: IdList) => Steps;
  if (model.algorithm === "unigram") {
    const entries: [Uint8Array, number][] = [];
    for (let id = 0; id < pieces.count; id++) {
      if (isType(id, pieceTypes.normal, pieceTypes.userDefined, pieceTypes.unused) && inner.occurs[id] === 1) {
        entries.push([pieceBytes(inner, id), id]);
      }
    }
    const unigram = createUnigram(model, inner, createTrie(entries, source));
    encodeInner = (bytes, out) =>
      unigram.segment(bytes, (id, start, end) => {
        if (id < 0) pushUnknown(out, bytes, start, end);
        else pushId(out, id);
      });
  } else {
    ({ encode: encodeInner, duplicates } = createSentencePieceBpe(model, inner, innerSymbols, pushUnknown));
  }

  let controls: Trie | undefined;
  const info = {
    kind: model.algorithm === "bpe" ? "sentencepiece-bpe" : "sentencepiece-unigram",
    byteFallback: model.byteFallback,
    addDummyPrefix: model.addDummyPrefix,
    removeExtraWhitespaces: model.removeExtraWhitespaces,
    normalization: model.charsmap.length === 0 ? "identity" : "charsmap",
    duplicates,
  } as const;
  const encodeText: Codec["encodeText"] = function* (text, special, ordinary, out) {
    if (!special) return yield* encodeInner(yield* normalize(text), out);
    controls ??= trieOfTypes(pieces, types, [pieceTypes.control, pieceTypes.unknown], source);
    const bytes = toUtf8(text);
    yield* splitSpecial(
      bytes,
      { trie: controls, ordinary: toByteRanges(text, ordinary) },
      function* (start, end) {
        yield* encodeInner(yield* normalize(fromUtf8(bytes.subarray(start, end))), out);
      },
      (id) => pushId(out, id),
    );
  };
  return createFace(model, info, { encodeText, ...createPieceDecoder(model, byteIds) });
}

/** Pieces in the inner form of texts, see normalizer.ts. */
function toInnerPieces({ pieces, escapeWhitespaces }: SentencePieceModel): InnerPieces {
  const { count } = pieces;
  if (!escapeWhitespaces) return { ...pieces, occurs: new Uint8Array(count).fill(1) };
  const blob = new Uint8Array(pieces.blob.length);
  const offsets = new Uint32Array(count + 1);
  const occurs = new Uint8Array(count);
  let at = 0;
  let start = 0;
  for (let id = 0; id < count; id++) {
    const end = pieces.offsets[id + 1]!;
    occurs[id] = end > start ? 1 : 0;
    for (let i = start; i < end; i++) if (pieces.blob[i] === space) occurs[id] = 0;
    at = shrinkSpaces(pieces.blob, start, end, blob, at);
    offsets[id + 1] = at;
    start = end;
  }
  return { count, blob: blob.subarray(0, at), offsets, occurs };
}
