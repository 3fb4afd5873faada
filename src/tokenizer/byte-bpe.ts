/**
 * Byte-level BPE (GPT-2 and its successors), exact to Hugging Face's tokenizers library: added tokens part the text, the
 * pre-tokenizer cuts it into words, and the bytes of a word merge by the rank of their merge rule.
 */

import { toUtf8 } from "../bytes/utf8.ts";
import { createByteAlphabet, decodePieces } from "./byte-alphabet.ts";
import { type Codec, checkId, createFace, type Vocabulary } from "./face.ts";
import { type IdList, pushId, reserveIds } from "./ids.ts";
import { createMerger, type MergeRules, mostAtOnce, type Symbols } from "./merge.ts";
import { createMergeTable } from "./merge-table.ts";
import { createPieceTable, hashRange, type Pieces, pieceBytes } from "./pieces.ts";
import type { PreTokenizer } from "./pre-tokenizer.ts";
import { splitSpecial, toByteRanges, trieOfTypes } from "./special.ts";
import { type Steps, stepSize } from "./steps.ts";
import { pieceTypes, type StreamOptions, type Tokenizer, type TokenStream } from "./tokenizer.ts";
import type { Trie } from "./trie.ts";
import { createWordCache, longestCachedWord, type WordCache } from "./word-cache.ts";

/** Its pieces are as in the file: normal ones in GPT-2's printable alphabet, added tokens as they are. */
export interface ByteBpeModel extends Vocabulary {
  /** One `left right` a piece, the first merges first. */
  readonly merges: Pieces;
  readonly preTokenizer: PreTokenizer;
  readonly preTokenizerName: string;
}

/** @throws GrokError `format` for merges whose parts or result are not in the vocabulary. */
export function createByteBpe(model: ByteBpeModel): Tokenizer {
  const { pieces, types, source, preTokenizer } = model;
  const alphabet = createByteAlphabet();
  const decoded = decodePieces(alphabet, pieces, types);
  const table = createPieceTable(decoded.pieces, source, decoded.plain);
  const merges = createMergeTable(model.merges, alphabet, decoded, table, source);
  const byteIds = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const one = Uint8Array.of(byte);
    byteIds[byte] = table.find(one, 0, 1, hashRange(one, 0, 1));
  }

  const merger = createMerger();
  // A word that is a piece is never merged.
  const longestAtOnce = Math.max(mostAtOnce, table.longest);
  const rules: MergeRules = {
    find: (chain, left, right) => merges.find(chain.id[left]!, chain.id[right]!),
    rank: (rule) => rule,
    join(chain, left, _right, rule) {
      chain.id[left] = merges.results[rule]!;
    },
  };

  /** A word's bytes as symbols; undefined where the vocabulary has none of them. */
  const symbolsOf = (bytes: Uint8Array, start: number, end: number): Symbols | undefined => {
    const chain = merger.take(end - start);
    let count = 0;
    for (let i = start; i < end; i++) {
      const id = byteIds[bytes[i]!]!;
      if (id < 0) continue; // As in the library, a byte that the vocabulary lacks is left out.
      chain.id[count] = id;
      chain.length[count++] = 1;
    }
    chain.count = count;
    return count === 0 ? undefined : chain;
  };
  const give = (chain: Symbols, out: IdList): void => {
    for (let i = 0; i >= 0; i = chain.next[i]!) out.ids[out.count++] = chain.id[i]!;
  };
  const encodeWord = (bytes: Uint8Array, start: number, end: number, hash: number, out: IdList): void => {
    if (preTokenizer.ignoreMerges && end - start <= table.longest) {
      const id = table.find(bytes, start, end, hash);
      if (id >= 0) {
        out.ids[out.count++] = id;
        return;
      }
    }
    const chain = symbolsOf(bytes, start, end);
    if (chain === undefined) return;
    merger.merge(chain, rules);
    give(chain, out);
  };
  const encodeLongWord = function* (bytes: Uint8Array, start: number, end: number, out: IdList): Steps {
    yield;
    const chain = symbolsOf(bytes, start, end);
    if (chain === undefined) return;
    yield;
    yield* merger.mergeSteps(chain, rules);
    give(chain, out);
  };

  let cache: WordCache | undefined;
  /** Encodes words from `from` on, until one ends at or behind `until` or a long one begins; gives that place. */
  const encodeWords = (bytes: Uint8Array, from: number, until: number, end: number, out: IdList): number => {
    cache ??= createWordCache();
    const words = cache;
    let start = from;
    while (start < until) {
      const to = preTokenizer.scan(bytes, start, end);
      if (to - start > longestAtOnce) break;
      const hash = hashRange(bytes, start, to);
      const entry = words.find(bytes, start, to, hash);
      if (entry >= 0) {
        let at = words.first(entry);
        for (let left = words.count(entry); left > 0; left--) out.ids[out.count++] = words.ids[at++]!;
      } else {
        const before = out.count;
        encodeWord(bytes, start, to, hash, out);
        if (to - start <= longestCachedWord) words.add(bytes, start, to, hash, out.ids, before, out.count);
      }
      start = to;
    }
    return start;
  };
  const encodeText = function* (bytes: Uint8Array, start: number, end: number, out: IdList): Steps {
    reserveIds(out, end - start);
    for (let at = start; at < end; ) {
      const until = Math.min(at + stepSize, end);
      at = encodeWords(bytes, at, until, end, out);
      if (at < until) {
        const to = preTokenizer.scan(bytes, at, end);
        yield* encodeLongWord(bytes, at, to, out);
        at = to;
      }
      if (at < end) yield;
    }
  };

  const added = trieOfTypes(pieces, types, [pieceTypes.userDefined], source);
  let special: Trie | undefined;

  const hidden = (id: number): boolean => types[id] === pieceTypes.control || types[id] === pieceTypes.unknown;
  const decoder = ({ special: shows = false }: StreamOptions = {}): TokenStream => {
    // TextDecoder keeps the beginning of a character until it is whole, and counts U+FFFD as the library does.
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    return {
      push(id) {
        checkId(model, id);
        if (hidden(id) && !shows) return "";
        return utf8.decode(pieceBytes(decoded.pieces, id), { stream: true });
      },
      end: () => utf8.decode(),
    };
  };

  const info = {
    kind: "byte-bpe",
    preTokenizer: model.preTokenizerName,
    merges: model.merges.count,
    duplicates: table.duplicates,
  } as const;
  const encode: Codec["encodeText"] = function* (text, shows, ordinary, out) {
    if (shows) {
      const wanted = [pieceTypes.userDefined, pieceTypes.control, pieceTypes.unknown];
      special ??= trieOfTypes(pieces, types, wanted, source);
    }
    const trie = shows ? special! : added;
    const bytes = toUtf8(text);
    if (trie.size === 0) return yield* encodeText(bytes, 0, bytes.length, out);
    yield* splitSpecial(
      bytes,
      { trie, ordinary: shows ? toByteRanges(text, ordinary) : [], everywhere: added },
      (start, end) => encodeText(bytes, start, end, out),
      (id) => pushId(out, id),
    );
  };
  return createFace(model, info, {
    encodeText: encode,
    decoder,
    bytes(id) {
      checkId(model, id);
      return hidden(id) ? new Uint8Array(0) : pieceBytes(decoded.pieces, id).slice();
    },
  });
}
