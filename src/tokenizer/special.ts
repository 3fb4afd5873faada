/** Control tokens inside texts, and the ids at which generation ends. */
import { type Pieces, pieceBytes, pieceText } from "./pieces.ts";
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

/**
 * Cuts a text at the trie's strings, leftmost and longest first: calls `onText` for what lies between and `onId` for
 * each of them, in order.
 */
export function splitSpecial(
  bytes: Uint8Array,
  trie: Trie,
  onText: (start: number, end: number) => void,
  onId: (id: number) => void,
): void {
  let from = 0;
  const end = bytes.length;
  for (let at = 0; at < end; ) {
    const id = trie.firstBytes[bytes[at]!] === 1 ? trie.longest(bytes, at, end) : -1;
    if (id < 0) {
      at++;
      continue;
    }
    if (at > from) onText(from, at);
    onId(id);
    at += trie.matched();
    from = at;
  }
  if (end > from) onText(from, end);
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
