import { longestText, type TokenTrie } from "./token-trie.ts";

/** A vocabulary as grammars look at it, and what they share of it. */
export interface Vocabulary {
  readonly trie: TokenTrie;
  /** Of a mask with a bit for each token. */
  readonly words: number;
  /** Adds to a mask all tokens that are texts, without what JSON escapes, of at most so many characters. */
  addTexts(mask: Uint32Array, most: number): void;
}

/** @param rows of the model's logits, which can have more of them than the tokenizer has tokens */
export function createVocabulary(trie: TokenTrie, rows: number): Vocabulary {
  const words = Math.ceil(rows / 32);
  const masks = new Map<number, Uint32Array>();
  let byLength: Int32Array[] | undefined;

  function computeMask(most: number): Uint32Array {
    byLength ??= groupByLength(trie);
    const mask = new Uint32Array(words);
    for (const ids of byLength.slice(1, most + 1)) {
      for (let i = 0; i < ids.length; i++) mask[ids[i]! >>> 5]! |= 1 << (ids[i]! & 31);
    }
    return mask;
  }

  return {
    trie,
    words,
    addTexts(mask, most) {
      const texts = masks.get(most) ?? computeMask(most);
      masks.set(most, texts);
      for (let i = 0; i < words; i++) mask[i]! |= texts[i]!;
    },
  };
}

/** Tokens by how many characters of text they are. */
function groupByLength({ text, vocab }: TokenTrie): Int32Array[] {
  const counts = new Int32Array(longestText + 1);
  for (let id = 0; id < vocab; id++) counts[text[id]!]!++;
  const groups = Array.from(counts, (count) => new Int32Array(count));
  counts.fill(0);
  for (let id = 0; id < vocab; id++) groups[text[id]!]![counts[text[id]!]!++] = id;
  return groups;
}
