/**
 * Byte-pair merging: of all neighbours that may join, the pair of best rank (then the leftmost) joins first, until none
 * is left. Few symbols are searched each time; many go through a heap, O(n log n).
 */

import { finish, type Steps, stepSize } from "./steps.ts";

/** A chain of symbols over a text. Fields are parallel arrays; `next` and `previous` are -1 at the ends. */
export interface Symbols {
  count: number;
  /** The bytes that they are of, for rules that look at these. */
  text: Uint8Array;
  start: Int32Array;
  /** In bytes; 0 once the symbol has joined the one before it. */
  length: Int32Array;
  /** Id, or -1 for a symbol without one, or less than -1 for one that must never join. */
  id: Int32Array;
  /** Hash of its bytes, where the rules need one. */
  hash: Int32Array;
  next: Int32Array;
  previous: Int32Array;
}

export interface MergeRules {
  /** The rule that joins neighbours `left` and `right`, or -1. */
  find(symbols: Symbols, left: number, right: number): number;
  /** Order of a rule: smaller joins first. Any number but NaN. */
  rank(rule: number): number;
  /** Gives `left` the id and hash of the joined symbol. Its length is already set. */
  join(symbols: Symbols, left: number, right: number, rule: number): void;
}

const searched = 24;

/** Longer words are merged in steps. */
export const mostAtOnce = 1 << 12;

export interface Merger {
  /** Empty symbols with room for `count`; those for `mostAtOnce` and fewer are valid until the next call. */
  take(count: number): Symbols;
  /** Links `symbols.count` symbols to a chain and merges them; the first symbol stays the chain's head. */
  merge(symbols: Symbols, rules: MergeRules): void;
  /** The same in steps, of symbols with room for more than `mostAtOnce`: others would be somebody else's in between. */
  mergeSteps(symbols: Symbols, rules: MergeRules): Steps;
}

const nothing = new Uint8Array(0);

function createSymbols(room: number): Symbols {
  const array = (): Int32Array => new Int32Array(room);
  const text = nothing;
  return {
    count: 0,
    text,
    start: array(),
    length: array(),
    id: array(),
    hash: array(),
    next: array(),
    previous: array(),
  };
}

function widen(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const wider = new Int32Array(array.length * 2);
  wider.set(array);
  return wider;
}

export function createMerger(): Merger {
  const small = createSymbols(mostAtOnce);
  const rules = new Int32Array(searched);

  /** For a handful of symbols: the rule of each symbol and its successor, searched for the best each time. */
  function mergeFew(symbols: Symbols, by: MergeRules): void {
    const { next, previous, length } = symbols;
    const count = symbols.count;
    for (let i = 0; i + 1 < count; i++) rules[i] = by.find(symbols, i, i + 1);
    rules[count - 1] = -1;
    for (;;) {
      let best = -1;
      let bestRank = Number.POSITIVE_INFINITY;
      for (let i = 0; i >= 0; i = next[i]!) {
        const rule = rules[i]!;
        if (rule < 0) continue;
        const rank = by.rank(rule);
        if (rank < bestRank) {
          best = i;
          bestRank = rank;
        }
      }
      if (best < 0) return;
      const right = next[best]!;
      const after = next[right]!;
      length[best] = length[best]! + length[right]!;
      by.join(symbols, best, right, rules[best]!);
      length[right] = 0;
      next[best] = after;
      if (after >= 0) previous[after] = best;
      const before = previous[best]!;
      if (before >= 0) rules[before] = by.find(symbols, before, best);
      rules[best] = after >= 0 ? by.find(symbols, best, after) : -1;
    }
  }

  /** Candidates wait in a binary heap; one whose symbols have changed since is known by its length and dropped. */
  function* mergeMany(symbols: Symbols, by: MergeRules): Steps {
    const { next, previous, length } = symbols;
    const count = symbols.count;
    let keys = new Float64Array(1024);
    let lefts = new Int32Array(1024);
    let heapRules = new Int32Array(1024);
    let sizes = new Int32Array(1024);
    let size = 0;

    const offer = (left: number, right: number): void => {
      const rule = by.find(symbols, left, right);
      if (rule < 0) return;
      const key = by.rank(rule);
      const bytes = length[left]! + length[right]!;
      if (size === keys.length) {
        const wider = new Float64Array(size * 2);
        wider.set(keys);
        keys = wider;
        lefts = widen(lefts);
        heapRules = widen(heapRules);
        sizes = widen(sizes);
      }
      let at = size++;
      while (at > 0) {
        const parent = (at - 1) >> 1;
        if (keys[parent]! < key || (keys[parent]! === key && lefts[parent]! <= left)) break;
        keys[at] = keys[parent]!;
        lefts[at] = lefts[parent]!;
        heapRules[at] = heapRules[parent]!;
        sizes[at] = sizes[parent]!;
        at = parent;
      }
      keys[at] = key;
      lefts[at] = left;
      heapRules[at] = rule;
      sizes[at] = bytes;
    };

    let steps = 0;
    for (let i = 0; i + 1 < count; i++) {
      offer(i, i + 1);
      if (++steps % stepSize === 0) yield;
    }
    while (size > 0) {
      if (++steps % stepSize === 0) yield;
      const left = lefts[0]!;
      const rule = heapRules[0]!;
      const bytes = sizes[0]!;
      const lastKey = keys[--size]!;
      const lastLeft = lefts[size]!;
      const lastRule = heapRules[size]!;
      const lastSize = sizes[size]!;
      let at = 0;
      for (let child = 1; child < size; child = 2 * at + 1) {
        const other = child + 1;
        if (
          other < size &&
          (keys[other]! < keys[child]! || (keys[other] === keys[child] && lefts[other]! < lefts[child]!))
        ) {
          child = other;
        }
        if (keys[child]! > lastKey || (keys[child] === lastKey && lefts[child]! >= lastLeft)) break;
        keys[at] = keys[child]!;
        lefts[at] = lefts[child]!;
        heapRules[at] = heapRules[child]!;
        sizes[at] = sizes[child]!;
        at = child;
      }
      keys[at] = lastKey;
      lefts[at] = lastLeft;
      heapRules[at] = lastRule;
      sizes[at] = lastSize;

      const right = next[left]!;
      // Symbols only grow, so an equal sum means that neither has changed.
      if (right < 0 || length[left] === 0 || length[left]! + length[right]! !== bytes) continue;
      const after = next[right]!;
      length[left] = bytes;
      by.join(symbols, left, right, rule);
      length[right] = 0;
      next[left] = after;
      if (after >= 0) previous[after] = left;
      if (previous[left]! >= 0) offer(previous[left]!, left);
      if (after >= 0) offer(left, after);
    }
  }

  function link({ next, previous, count }: Symbols): void {
    for (let i = 0; i < count; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    next[count - 1] = -1;
  }

  return {
    take: (count) => (count <= mostAtOnce ? small : createSymbols(count)),
    merge(symbols, by) {
      link(symbols);
      if (symbols.count < 2) return;
      if (symbols.count <= searched) mergeFew(symbols, by);
      else finish(mergeMany(symbols, by));
    },
    *mergeSteps(symbols, by) {
      link(symbols);
      yield;
      yield* mergeMany(symbols, by);
    },
  };
}
