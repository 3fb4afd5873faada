/** A bounded map from words (byte strings) to their ids, in flat arrays. */

/** Longer words are rarely seen twice. */
export const longestCachedWord = 64;

const slotBits = 17;
const maxWords = 1 << (slotBits - 1);
const keyBytes = 1 << 20;
const idCount = 1 << 19;

export interface WordCache {
  /** Entry of the word `bytes[start, end)`, or -1. */
  find(bytes: Uint8Array, start: number, end: number, hash: number): number;
  /** Where the entry's ids begin in `ids`, and how many they are. */
  first(entry: number): number;
  count(entry: number): number;
  readonly ids: Int32Array;
  /** Remembers a word that `find` did not find. When the cache is full it starts anew: about 5 MB at most. */
  add(bytes: Uint8Array, start: number, end: number, hash: number, ids: Int32Array, from: number, to: number): void;
}

export function createWordCache(): WordCache {
  const slots = new Int32Array(1 << slotBits).fill(-1);
  const mask = (1 << slotBits) - 1;
  const hashes = new Int32Array(maxWords);
  const keyEnds = new Uint32Array(maxWords + 1);
  const idEnds = new Uint32Array(maxWords + 1);
  const keys = new Uint8Array(keyBytes);
  const ids = new Int32Array(idCount);
  let words = 0;

  return {
    ids,
    first: (entry) => idEnds[entry]!,
    count: (entry) => idEnds[entry + 1]! - idEnds[entry]!,
    find(bytes, start, end, hash) {
      const length = end - start;
      for (let slot = Math.imul(hash, 0x9e3779b1) >>> (32 - slotBits); ; slot = (slot + 1) & mask) {
        const entry = slots[slot]!;
        if (entry < 0) return -1;
        if (hashes[entry] !== hash) continue;
        const from = keyEnds[entry]!;
        if (keyEnds[entry + 1]! - from !== length) continue;
        let i = 0;
        while (i < length && keys[from + i] === bytes[start + i]) i++;
        if (i === length) return entry;
      }
    },
    add(bytes, start, end, hash, source, from, to) {
      const length = end - start;
      if (words === maxWords || keyEnds[words]! + length > keyBytes || idEnds[words]! + to - from > idCount) {
        slots.fill(-1);
        words = 0;
      }
      for (let i = 0, at = keyEnds[words]!; i < length; i++) keys[at + i] = bytes[start + i]!;
      for (let i = from, at = idEnds[words]!; i < to; i++) ids[at++] = source[i]!;
      keyEnds[words + 1] = keyEnds[words]! + length;
      idEnds[words + 1] = idEnds[words]! + to - from;
      hashes[words] = hash;
      let slot = Math.imul(hash, 0x9e3779b1) >>> (32 - slotBits);
      while (slots[slot]! >= 0) slot = (slot + 1) & mask;
      slots[slot] = words++;
    },
  };
}
