/** Control tokens inside texts, and the ids at which generation ends. */
import { type Pieces, pieceBytes, pieceText } from "./pieces.ts";
import { type Steps, stepSize } from "./steps.ts";
import { pieceTypes } from "./tokenizer.ts";
import { createTrie, type Trie } from "./trie.ts";

/** Trie over the pieces of the given types, by their bytes in the file. */
export function trieOfTypes(pieces: Pieces, types: Uint8Array, wanted: readonly number[], source: string): Trie {
  const entries: [Uint8Array, number][] = [];
  for (let id = 0; id < pieces.count; id++) {
    if (wanted.includes(types[id]!)) entries.push([pieceBytes(pieces, id), id]);
  }
  return createTrie(entries, source);
}

/** What a text is cut at. */
export interface SpecialNames {
  readonly trie: Trie;
  /** Ranges [from, to) of bytes that none of the trie's strings may touch: flat, ascending. */
  readonly ordinary: readonly number[];
  /** Those of the strings that are found in such ranges too. */
  readonly everywhere?: Trie;
}

/**
 * Cuts a text at names, leftmost and longest first: calls `onText` for what lies between and `onId` for each of them, in
 * order.
 */
export function* splitSpecial(
  bytes: Uint8Array,
  { trie, ordinary, everywhere }: SpecialNames,
  onText: (start: number, end: number) => Steps,
  onId: (id: number) => void,
): Steps {
  let from = 0;
  const end = bytes.length;
  /** The first range that ends behind `at`. */
  let range = 0;
  for (let at = 0, rest = stepSize; at < end; ) {
    if (at >= rest) {
      yield;
      rest = at + stepSize;
    }
    while (range < ordinary.length && ordinary[range + 1]! <= at) range += 2;
    const free = ordinary[range] ?? end;
    const first = bytes[at]!;
    let id = at < free && trie.firstBytes[first] === 1 ? trie.longest(bytes, at, free) : -1;
    let length = id < 0 ? 0 : trie.matched();
    if (free < end && everywhere?.firstBytes[first] === 1) {
      const other = everywhere.longest(bytes, at, end);
      if (other >= 0 && everywhere.matched() > length) {
        id = other;
        length = everywhere.matched();
      }
    }
    if (id < 0) {
      at++;
      continue;
    }
    if (at > from) yield* onText(from, at);
    onId(id);
    at += length;
    from = at;
  }
  if (end > from) yield* onText(from, end);
}

/** Ranges of a string's UTF-16 units, flat and ascending, as ranges of its UTF-8 bytes. */
export function toByteRanges(text: string, ranges: readonly number[]): readonly number[] {
  const places: number[] = [];
  let bytes = 0;
  let at = 0;
  for (const place of ranges) {
    while (at < place) {
      const code = text.codePointAt(at)!;
      bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      at += code < 0x10000 ? 1 : 2;
    }
    places.push(bytes);
  }
  return places;
}

/** Tokens that end a text, turn or message in the model families that use them (llama.cpp's list). */
const endNames: ReadonlySet<string> = new Set([
  "<|eot_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<|flush|>",
  "<|calls|>",
  "<end_of_turn>",
  "<|endoftext|>",
  "</s>",
  "<|eom_id|>",
  "<EOT>",
  "_<EOT>",
  "[EOT]",
  "[EOS]",
  "<|end_of_text|>",
  "<end_of_utterance>",
  "<eos>",
  "<｜end▁of▁sentence｜>",
]);
const longestEndName = 40;

/**
 * Ids at which generation ends: those that the file names, and added tokens known by their names. llama.cpp goes by the
 * name alone; an ordinary piece that reads `</s>`, as markup does, ends nothing here.
 */
export function findEndOfGeneration(
  pieces: Pieces,
  types: Uint8Array,
  named: readonly (number | undefined)[],
): ReadonlySet<number> {
  const ends = new Set<number>();
  for (const id of named) if (id !== undefined) ends.add(id);
  const byName = new Map<string, number>();
  for (let id = 0; id < pieces.count; id++) {
    const start = pieces.offsets[id]!;
    const first = pieces.blob[start];
    if (first !== 0x3c && first !== 0x5b && first !== 0x5f) continue; // < [ _
    const length = pieces.offsets[id + 1]! - start;
    if (length > longestEndName) continue;
    const name = pieceText(pieces, id);
    if (!endNames.has(name)) continue;
    if (types[id] === pieceTypes.control || types[id] === pieceTypes.userDefined) byName.set(name, id);
  }
  // Harmony-style files end messages with <|return|> and <|call|>, and <|end|> only parts of them.
  const parts = byName.has("<|return|>") && byName.has("<|call|>");
  for (const [name, id] of byName) if (!(parts && name === "<|end|>")) ends.add(id);
  return ends;
}
