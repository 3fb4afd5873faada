/**
 * SentencePiece's BPE: neighbours whose concatenation is a piece join, the largest score first.
 *
 * Texts are encoded word by word through a cache where the vocabulary shows that no piece crosses from one word to the
 * next (checked at load, never assumed); otherwise, and where unused pieces can form, as a whole.
 */

import { characterLength } from "../bytes/utf8.ts";
import { type IdList, pushId, reserveIds } from "./ids.ts";
import { createMerger, type MergeRules, mostAtOnce, type Symbols } from "./merge.ts";
import { createPieceTable, hashBase, hashPowers, hashRange, type Pieces, type PieceTable } from "./pieces.ts";
import type { SentencePieceModel } from "./sentencepiece-model.ts";
import { type Steps, stepSize } from "./steps.ts";
import { pieceTypes } from "./tokenizer.ts";
import type { Trie } from "./trie.ts";
import { createWordCache, longestCachedWord, type WordCache } from "./word-cache.ts";

const space = 0x20;
const nothing = new Uint8Array(0);

/** Pieces in inner form; a piece with `occurs` 0 has a space that no text in that form can have. */
export interface InnerPieces extends Pieces {
  readonly occurs: Uint8Array;
}

/** Writes what becomes of a character outside the vocabulary, `bytes[start, end)`. */
export type PushUnknown = (out: IdList, bytes: Uint8Array, start: number, end: number) => void;

/** How far a text is: at a byte of the word that begins at `start`, with the hash of what is between. */
interface Place {
  start: number;
  at: number;
  hash: number;
}

/** BPE over the inner form (see normalizer.ts): `encode` appends a text's ids to a list. */
export function createSentencePieceBpe(
  model: SentencePieceModel,
  inner: InnerPieces,
  symbols: Trie,
  pushUnknown: PushUnknown,
): { readonly encode: (bytes: Uint8Array, out: IdList) => Steps; readonly duplicates: number } {
  const { types, source } = model;
  const joins = new Uint8Array(inner.count);
  for (let id = 0; id < inner.count; id++) {
    const type = types[id];
    joins[id] = type === pieceTypes.normal || type === pieceTypes.unused ? inner.occurs[id]! : 0;
  }
  const table = createPieceTable(inner, source, joins, model.duplicates);
  const { duplicates } = table;
  const powers = hashPowers(table.longest);
  const { scores } = model;
  const merger = createMerger();

  const asciiIds = new Int32Array(128).fill(-1);
  for (let byte = 0; byte < 128; byte++) asciiIds[byte] = table.find(Uint8Array.of(byte), 0, 1, byte + 1);

  /** Of each text the last pair that could have formed each unused piece, as the library keeps it: unused pieces part again. */
  const partings = new WeakMap<Uint8Array, Map<number, readonly [left: number, middle: number, right: number]>>();
  const hasUnused = hasReachableUnused(types, inner, table);

  const rules: MergeRules = {
    find(chain, left, right) {
      if (chain.id[left]! < -1 || chain.id[right]! < -1) return -1;
      const length = chain.length[left]! + chain.length[right]!;
      if (length > table.longest) return -1;
      const hash = (Math.imul(chain.hash[left]!, powers[chain.length[right]!]!) + chain.hash[right]!) | 0;
      const start = chain.start[left]!;
      const id = table.find(chain.text, start, start + length, hash);
      if (hasUnused && id >= 0 && types[id] === pieceTypes.unused) {
        partings.get(chain.text)!.set(id, [start, chain.start[right]!, start + length]);
      }
      return id;
    },
    rank: (id) => -scores[id]!,
    join(chain, left, right, id) {
      // The length of `left` is already that of both.
      chain.hash[left] = (Math.imul(chain.hash[left]!, powers[chain.length[right]!]!) + chain.hash[right]!) | 0;
      chain.id[left] = id;
    },
  };

  const emit = (id: number, text: Uint8Array, start: number, end: number, out: IdList): void => {
    if (id < 0) pushUnknown(out, text, start, end);
    else if (!hasUnused || types[id] !== pieceTypes.unused) pushId(out, id);
    else partUnused(text, start, end, out);
  };
  /** Takes unused pieces apart along their last pairs, depth first without recursion. */
  const partUnused = (text: Uint8Array, start: number, end: number, out: IdList): void => {
    const stack = [end, start];
    while (stack.length > 0) {
      const from = stack.pop()!;
      const to = stack.pop()!;
      const id = table.find(text, from, to, hashRange(text, from, to));
      const parting = id >= 0 && types[id] === pieceTypes.unused ? partings.get(text)!.get(id) : undefined;
      if (parting === undefined) {
        if (id < 0) pushUnknown(out, text, from, to);
        else pushId(out, id);
        continue;
      }
      const middle = from + parting[1] - parting[0];
      stack.push(to, middle, middle, from);
    }
  };

  /** Adds the symbols that begin in `text[from, until)`; gives where the last one ends. With `cut`, user-defined symbols are kept whole. */
  const addSymbols = (chain: Symbols, from: number, until: number, end: number, cut: boolean): number => {
    const { text } = chain;
    let { count } = chain;
    let at = from;
    for (; at < until; count++) {
      const lead = text[at]!;
      const symbol = cut && symbols.firstBytes[lead] === 1 ? symbols.longest(text, at, end) : -1;
      const length = symbol >= 0 ? symbols.matched() : Math.min(characterLength(lead), end - at);
      chain.start[count] = at;
      chain.length[count] = length;
      if (symbol >= 0) {
        chain.id[count] = -2 - symbol;
      } else if (lead < 0x80) {
        chain.id[count] = asciiIds[lead]!;
        chain.hash[count] = lead + 1;
      } else {
        const hash = hashRange(text, at, at + length);
        chain.hash[count] = hash;
        chain.id[count] = table.find(text, at, at + length, hash);
      }
      at += length;
    }
    chain.count = count;
    return at;
  };
  const begin = (text: Uint8Array, length: number): Symbols => {
    const chain = merger.take(length);
    chain.text = text;
    chain.count = 0;
    return chain;
  };
  /** Gives the ids of `most` symbols from one on, and which comes next: -1 where none does. */
  const give = (chain: Symbols, from: number, most: number, out: IdList): number => {
    let symbol = from;
    for (let left = most; symbol >= 0 && left > 0; left--) {
      const id = chain.id[symbol]!;
      const start = chain.start[symbol]!;
      if (id < -1) pushId(out, -2 - id);
      else emit(id, chain.text, start, start + chain.length[symbol]!, out);
      symbol = chain.next[symbol]!;
    }
    if (symbol < 0) chain.text = nothing;
    return symbol;
  };
  const encodeRange = (text: Uint8Array, start: number, end: number, out: IdList, cut: boolean): void => {
    const chain = begin(text, end - start);
    addSymbols(chain, start, end, end, cut);
    merger.merge(chain, rules);
    give(chain, 0, chain.count, out);
  };
  /** The same of more than `mostAtOnce` bytes. */
  const encodeLongRange = function* (text: Uint8Array, start: number, end: number, out: IdList, cut: boolean): Steps {
    yield;
    const chain = begin(text, end - start);
    for (let at = start; at < end; ) {
      yield;
      at = addSymbols(chain, at, Math.min(at + stepSize, end), end, cut);
    }
    yield* merger.mergeSteps(chain, rules);
    for (let symbol = 0; symbol >= 0; ) {
      symbol = give(chain, symbol, stepSize, out);
      yield;
    }
  };

  if (hasUnused || !model.escapeWhitespaces || !wordsStandAlone(inner, joins)) {
    const encode = function* (bytes: Uint8Array, out: IdList): Steps {
      if (bytes.length === 0) return;
      partings.set(bytes, new Map());
      reserveIds(out, bytes.length);
      if (bytes.length > mostAtOnce) yield* encodeLongRange(bytes, 0, bytes.length, out, true);
      else encodeRange(bytes, 0, bytes.length, out, true);
    };
    return { encode, duplicates };
  }

  let cache: WordCache | undefined;
  const joinsUnknowns = !model.byteFallback;
  const flush = (words: WordCache, bytes: Uint8Array, start: number, end: number, hash: number, out: IdList): void => {
    const entry = words.find(bytes, start, end, hash);
    if (entry < 0) {
      const before = out.count;
      encodeRange(bytes, start, end, out, false);
      // A run of unknown characters may have begun before this word: such words are not the same everywhere.
      if (
        end - start <= longestCachedWord &&
        !(joinsUnknowns && out.ids.subarray(before, out.count).includes(model.unknown))
      ) {
        words.add(bytes, start, end, hash, out.ids, before, out.count);
      }
      return;
    }
    let from = words.first(entry);
    for (let left = words.count(entry); left > 0; left--) out.ids[out.count++] = words.ids[from++]!;
  };

  /** 1: a space; 2: user-defined symbols may begin here. */
  const kinds = symbols.firstBytes.map((flag) => flag * 2);
  kinds[space]! |= 1;
  /** Encodes the words that end before `until`, up to a long one: that goes from `place.start` to `place.at`, which is then before `until`. */
  const encodeWords = (bytes: Uint8Array, place: Place, until: number, out: IdList): void => {
    cache ??= createWordCache();
    const words = cache;
    let { start, at, hash } = place;
    for (; at < until; at++) {
      const byte = bytes[at]!;
      const kind = kinds[byte]!;
      if (kind !== 0) {
        if (kind >= 2) {
          const symbol = symbols.longest(bytes, at, bytes.length);
          if (symbol >= 0) {
            if (at - start > mostAtOnce) break;
            if (at > start) flush(words, bytes, start, at, hash, out);
            pushId(out, symbol);
            at += symbols.matched() - 1;
            start = at + 1;
            hash = 0;
            continue;
          }
        }
        if ((kind & 1) === 1 && at > start && bytes[at - 1] !== space) {
          if (at - start > mostAtOnce) break;
          flush(words, bytes, start, at, hash, out);
          start = at;
          hash = 0;
        }
      }
      hash = (Math.imul(hash, hashBase) + byte + 1) | 0;
    }
    if (at === bytes.length && at > start && at - start <= mostAtOnce) {
      flush(words, bytes, start, at, hash, out);
      start = at;
    }
    place.start = start;
    place.at = at;
    place.hash = hash;
  };
  const encode = function* (bytes: Uint8Array, out: IdList): Steps {
    const end = bytes.length;
    // A cached word has no more ids than bytes, except that a space outside the vocabulary falls to three.
    reserveIds(out, asciiIds[space]! >= 0 ? end : end * 3);
    const place: Place = { start: 0, at: 0, hash: 0 };
    while (place.start < end) {
      const until = Math.min(place.at + stepSize, end);
      encodeWords(bytes, place, until, out);
      if (place.at < until || (place.at === end && place.start < end)) {
        yield* encodeLongRange(bytes, place.start, place.at, out, false);
        place.start = place.at;
        place.hash = 0;
      }
      if (place.start < end) yield;
    }
  };
  return { encode, duplicates };
}

/**
 * Whether some unused piece can be formed by a join. Padding such as `[PAD7]` cannot: no two of its parts are pieces or
 * characters.
 */
function hasReachableUnused(types: Uint8Array, inner: Pieces, table: PieceTable): boolean {
  const { blob, offsets } = inner;
  const stands = (start: number, end: number): boolean =>
    characterLength(blob[start]!) >= end - start || table.find(blob, start, end, hashRange(blob, start, end)) >= 0;
  for (let id = 0; id < inner.count; id++) {
    if (types[id] !== pieceTypes.unused) continue;
    const start = offsets[id]!;
    const end = offsets[id + 1]!;
    for (let middle = start + 1; middle < end; middle++) {
      if ((blob[middle]! & 0xc0) !== 0x80 && stands(start, middle) && stands(middle, end)) return true;
    }
  }
  return false;
}

/**
 * Whether words can be encoded one by one: a word is a run of spaces and what follows up to the next space, and no piece
 * has a space after anything else.
 */
function wordsStandAlone(inner: Pieces, joins: Uint8Array): boolean {
  const { blob, offsets } = inner;
  for (let id = 0; id < inner.count; id++) {
    if (joins[id] === 0) continue;
    for (let i = offsets[id]! + 1; i < offsets[id + 1]!; i++) {
      if (blob[i] === space && blob[i - 1] !== space) return false;
    }
  }
  return true;
}
