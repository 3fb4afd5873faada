/**
 * Byte-pair encoding learned from word counts, with the rules of SentencePiece's trainer: the most frequent pair of
 * neighbours joins (Sennrich et al., 2016); of equally frequent ones the shorter, then the one that sorts first by code
 * points. Exact: every pair competes in every round, where the library looks at the most frequent 5 % only.
 */
import { anyScript, scriptOf } from "./scripts.ts";

/** Longer words are cut here before pairs are counted: bounds the work in texts without spaces. */
const longestWord = 64;
/** A character that no piece may have. */
const hole = -1;

export interface LearningRules {
  /** Characters of a piece at most. */
  readonly maxPieceLength: number;
}

/** Sorted by frequency, then by code point: the characters that get pieces of their own. */
export function chooseCharacters(words: ReadonlyMap<string, number>, coverage: number, without: ReadonlySet<string>) {
  const counts = new Map<string, number>();
  let total = 0;
  for (const [word, count] of words) {
    for (const raw of word) {
      const character = raw === " " ? "\u2581" : raw;
      counts.set(character, (counts.get(character) ?? 0) + count);
      total += count;
    }
  }
  const chosen: string[] = [];
  let covered = 0;
  const sorted = [...counts].sort(([a, n], [b, m]) => m - n || a.codePointAt(0)! - b.codePointAt(0)!);
  for (const [character, count] of sorted) {
    if (covered / total >= coverage) break;
    covered += count;
    if (!without.has(character)) chosen.push(character);
  }
  return chosen;
}

/** Pieces in the order in which they were learned, `count` of them or as many as there are. */
export function learnMerges(
  words: ReadonlyMap<string, number>,
  characters: readonly string[],
  count: number,
  rules: LearningRules,
): string[] {
  const learner = createLearner(words, characters, rules);
  const pieces: string[] = [];
  const known = new Set<string>();
  while (pieces.length < count) {
    const pair = learner.best();
    if (pair < 0) break;
    const text = learner.textOf(pair);
    // The same string from other parts: the library leaves such pairs alone too.
    if (known.has(text)) {
      learner.drop();
      continue;
    }
    known.add(text);
    pieces.push(text);
    learner.join(pair);
  }
  return pieces;
}

function createLearner(words: ReadonlyMap<string, number>, characters: readonly string[], rules: LearningRules) {
  const texts: string[] = [...characters];
  const lengths: number[] = characters.map(() => 1);
  const idOf = new Map(characters.map((character, id) => [character, id]));

  // Words as symbols in one array; a word only ever shrinks, in its own place.
  const starts: number[] = [];
  const sizes: number[] = [];
  const weights: number[] = [];
  let room = 0;
  const cut: [number[], number][] = [];
  for (const [word, weight] of words) {
    const symbols = Array.from(word, (raw) => idOf.get(raw === " " ? "\u2581" : raw) ?? hole);
    for (let at = 0; at < symbols.length; at += longestWord) cut.push([symbols.slice(at, at + longestWord), weight]);
    room += symbols.length;
  }
  const symbols = new Int32Array(room);
  let used = 0;
  for (const [list, weight] of cut) {
    symbols.set(list, used);
    starts.push(used);
    sizes.push(list.length);
    weights.push(weight);
    used += list.length;
  }
  cut.length = 0;

  // Pairs of symbols, numbered as they come up. A pair that no piece may be has the number -1.
  const pairOf = new Map<number, number>();
  const lefts: number[] = [];
  const rights: number[] = [];
  const joined: string[] = [];
  const counts: number[] = [];
  /** Words that have, or had, the pair. */
  const places: number[][] = [];
  const heap = createHeap((a, b) => {
    if (heap.keys[a] !== heap.keys[b]) return heap.keys[a]! > heap.keys[b]!;
    const length = lengths[lefts[a]!]! + lengths[rights[a]!]! - lengths[lefts[b]!]! - lengths[rights[b]!]!;
    return length !== 0 ? length < 0 : compareCodePoints(joined[a]!, joined[b]!) < 0;
  });
  let fresh: number[] = [];

  const findPair = (left: number, right: number): number => {
    if (left < 0 || right < 0) return -1;
    const key = left * 2 ** 26 + right;
    let pair = pairOf.get(key);
    if (pair === undefined) {
      const text = texts[left]! + texts[right]!;
      pair = isPiece(text, lengths[left]! + lengths[right]!, rules) ? lefts.length : -1;
      pairOf.set(key, pair);
      if (pair >= 0) {
        lefts.push(left);
        rights.push(right);
        joined.push(text);
        counts.push(0);
        places.push([]);
        fresh.push(pair);
      }
    }
    return pair;
  };
  /** Adds (or takes away) a word's pairs. In a run of the same symbol, overlapping pairs count once: "aaa" has one "aa". */
  const countPairs = (word: number, sign: 1 | -1): void => {
    const from = starts[word]!;
    const to = from + sizes[word]! - 1;
    const weight = weights[word]! * sign;
    for (let at = from, counted = -1; at < to; at++) {
      const pair = findPair(symbols[at]!, symbols[at + 1]!);
      const twins = symbols[at] === symbols[at + 1];
      if (pair < 0 || (twins && counted === at - 1)) continue;
      if (twins) counted = at;
      counts[pair]! += weight;
      const list = places[pair]!;
      if (sign > 0 && list[list.length - 1] !== word) list.push(word);
    }
  };
  const queueFresh = (): void => {
    for (const pair of fresh) heap.push(pair, counts[pair]!);
    fresh = [];
  };

  for (let word = 0; word < starts.length; word++) countPairs(word, 1);
  queueFresh();

  return {
    textOf: (pair: number): string => joined[pair]!,
    /** The pair to join next, or -1. Counts only fall once a pair is queued: a stale entry goes back with its new count. */
    best(): number {
      for (let pair = heap.top(); pair >= 0; pair = heap.top()) {
        if (heap.keys[pair] === counts[pair]) return counts[pair]! > 0 ? pair : -1;
        heap.lower(counts[pair]!);
      }
      return -1;
    },
    /** Takes the pair that `best` gave out of the running. */
    drop: (): void => heap.pop(),
    join(pair: number): void {
      heap.pop();
      const left = lefts[pair]!;
      const right = rights[pair]!;
      const id = texts.length;
      texts.push(joined[pair]!);
      lengths.push(lengths[left]! + lengths[right]!);
      const list = places[pair]!;
      places[pair] = [];
      for (const word of list) {
        const from = starts[word]!;
        const to = from + sizes[word]!;
        let at = from;
        while (at < to - 1 && !(symbols[at] === left && symbols[at + 1] === right)) at++;
        if (at >= to - 1) continue;
        countPairs(word, -1);
        let end = at;
        while (at < to) {
          if (at < to - 1 && symbols[at] === left && symbols[at + 1] === right) {
            symbols[end++] = id;
            at += 2;
          } else {
            symbols[end++] = symbols[at++]!;
          }
        }
        sizes[word] = end - from;
        countPairs(word, 1);
      }
      queueFresh();
    },
  };
}

/** Whether a string may be a piece: not too long, `▁` only in front or alone, digits alone, one script. */
function isPiece(text: string, length: number, rules: LearningRules): boolean {
  if (length > rules.maxPieceLength) return false;
  const onlySpaces = /^\u2581+$/.test(text);
  let previous = anyScript;
  let at = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code === 0x2581) {
      if (at > 0 && !onlySpaces) return false;
    } else {
      if (isDigit(code) && length > 1) return false;
      const script = scriptOf(code, previous);
      if (script !== anyScript && previous !== anyScript && script !== previous) return false;
      previous = script;
    }
    at++;
  }
  return true;
}

/** ASCII and full-width digits, as SentencePiece has them. */
function isDigit(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0xff10 && code <= 0xff19);
}

/** By code points: the order of UTF-8 bytes, which UTF-16 units do not have past U+FFFF. */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left === right) continue;
    const shift = (unit: number) => (unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit);
    return shift(left) - shift(right);
  }
  return a.length - b.length;
}

/** A binary heap of numbers, the one that is `before` all others on top; `keys` are theirs as last queued. */
function createHeap(before: (a: number, b: number) => boolean) {
  const items: number[] = [];
  const keys: number[] = [];
  const sink = (): void => {
    const item = items[0]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++;
      if (!before(items[child]!, item)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  };
  return {
    keys,
    top: (): number => items[0] ?? -1,
    push(item: number, key: number): void {
      keys[item] = key;
      let at = items.length;
      items.push(item);
      while (at > 0) {
        const parent = (at - 1) >> 1;
        if (!before(item, items[parent]!)) break;
        items[at] = items[parent]!;
        at = parent;
      }
      items[at] = item;
    },
    /** Gives the top another, lower key. */
    lower(key: number): void {
      keys[items[0]!] = key;
      sink();
    },
    pop(): void {
      const last = items.pop()!;
      if (items.length === 0) return;
      items[0] = last;
      sink();
    },
  };
}
