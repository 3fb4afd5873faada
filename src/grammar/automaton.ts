import { GrokError } from "../errors.ts";
import { type Allowance, createDerivatives, type Derivatives, spend } from "./derivatives.ts";
import type { Rules } from "./expression.ts";

/**
 * A grammar as a machine that reads bytes. A state is the set of lists that may be left, made when a byte first leads there, with the
 * states after each byte beside each other in one table. Of a language without nesting there are finitely many.
 */
export interface Automaton {
  readonly start: number;
  /** States made so far. */
  readonly size: () => number;
  /** The state after a byte; {@link dead} where none may come. */
  next(state: number, byte: number): number;
  /** Whether a text may end here. */
  mayEnd(state: number): boolean;
  /** Whether it has to: nothing more may come. */
  mustEnd(state: number): boolean;
  /**
   * The state after any one character that JSON takes in a text without an escape, where these all lead to the same; {@link dead} where
   * they do not.
   */
  afterText(state: number): number;
}

export const dead = -1;
const unknown = -2;

/** Lists that may be left at a time: more come of grammars that can read a text in very many ways. */
const mostLists = 1024;
/** States, and lists that they are made of, of one machine: 1 KiB and about 100 bytes each. */
const mostStates = 1 << 15;
const mostParts = 1 << 19;

/**
 * @param allowance what may be worked out, which the caller changes between calls
 * @throws GrokError (from any function) `unsupported` for a grammar that is read in too many ways at once, or an allowance that is spent
 */
export function createAutomaton(rules: Rules, allowance: Allowance = { left: Infinity }): Automaton {
  const derivatives = createDerivatives(rules, allowance);
  const numbers = new Map<string, number>();
  const states: (readonly number[])[] = [];
  let table = new Int32Array(256 * 64);
  const hasRow: boolean[] = [];
  const text: number[] = [];

  function stateOf(lists: readonly number[]): number {
    spend(allowance, lists.length);
    const members = normalize(derivatives, lists);
    const key = members.join();
    let state = numbers.get(key);
    if (state === undefined) {
      if (members.length > mostLists || states.length >= mostStates || derivatives.size() > mostParts) {
        throw new GrokError("unsupported", "the grammar can read a text in too many ways at once");
      }
      state = states.push(members) - 1;
      numbers.set(key, state);
      hasRow.push(false);
      text.push(unknown);
    }
    return state;
  }

  /** Fills in what comes after each byte. Bytes that the same edges take are one class. */
  function fillRow(state: number): void {
    const edges = states[state]!.flatMap((list) => derivatives.edges(list) as number[]);
    spend(allowance, edges.length);
    if (table.length < 256 * (state + 1)) {
      const grown = new Int32Array(Math.max(2 * table.length, 256 * (state + 1)));
      grown.set(table);
      table = grown;
    }
    const row = table.subarray(256 * state, 256 * (state + 1)).fill(dead);
    const bySet = new Map<number, number[]>();
    for (let i = 0; i < edges.length; i += 2) {
      const targets = bySet.get(edges[i]!);
      if (targets === undefined) bySet.set(edges[i]!, [edges[i + 1]!]);
      else targets.push(edges[i + 1]!);
    }
    // Bytes that the same sets take are of one class, whose number is in the row meanwhile: `dead` is that of bytes that none takes.
    const classes: { readonly from: number; readonly lists: readonly number[] }[] = [];
    for (const [set, targets] of bySet) {
      const first = classes.length;
      for (let byte = 0; byte < 256; byte++) {
        if (!derivatives.has(set, byte)) continue;
        const from = row[byte]!;
        let own = first;
        while (own < classes.length && classes[own]!.from !== from) own++;
        if (own === classes.length) classes.push({ from, lists: [...(classes[from]?.lists ?? []), ...targets] });
        row[byte] = own;
      }
    }
    const after = new Map<number, number>();
    for (let byte = 0; byte < 256; byte++) {
      const own = row[byte]!;
      if (own === dead) continue;
      let target = after.get(own);
      if (target === undefined) {
        target = stateOf(classes[own]!.lists);
        after.set(own, target);
      }
      row[byte] = target;
    }
    hasRow[state] = true;
  }

  function next(state: number, byte: number): number {
    if (!hasRow[state]) fillRow(state);
    return table[256 * state + byte]!;
  }

  function findAfterText(state: number): number {
    const target = next(state, 0x20);
    if (target === dead) return dead;
    for (let byte = 0x21; byte < 0x80; byte++) {
      if (byte !== 0x22 && byte !== 0x5c && next(state, byte) !== target) return dead;
    }
    for (const [first, last, ...rest] of longCharacters) {
      let from = dead;
      for (let lead = first!; lead <= last!; lead++) {
        const state1 = next(state, lead);
        if (state1 === dead) return dead;
        if (state1 !== from && !allLead(state1, rest, target)) return dead;
        from = state1;
      }
    }
    return target;
  }

  /** Whether bytes of the given ranges, one after the other, all lead from `state` to `target`. */
  function allLead(state: number, [low, high, ...rest]: readonly number[], target: number): boolean {
    if (low === undefined) return state === target;
    let from = dead;
    for (let byte = low; byte <= high!; byte++) {
      const after = next(state, byte);
      if (after === dead) return false;
      if (after !== from && !allLead(after, rest, target)) return false;
      from = after;
    }
    return true;
  }

  return {
    start: stateOf([derivatives.start]),
    size: () => states.length,
    next,
    mayEnd: (state) => states[state]!.some(derivatives.mayEnd),
    mustEnd: (state) => states[state]!.every((list) => derivatives.edges(list).length === 0),
    afterText(state) {
      if (text[state] === unknown) text[state] = findAfterText(state);
      return text[state]!;
    },
  };
}

/** Characters of more than one byte: ranges of their first byte, their second, ... (Unicode 15, table 3-7). */
const longCharacters = [
  [0xc2, 0xdf, 0x80, 0xbf],
  [0xe0, 0xe0, 0xa0, 0xbf, 0x80, 0xbf],
  [0xe1, 0xec, 0x80, 0xbf, 0x80, 0xbf],
  [0xed, 0xed, 0x80, 0x9f, 0x80, 0xbf],
  [0xee, 0xef, 0x80, 0xbf, 0x80, 0xbf],
  [0xf0, 0xf0, 0x90, 0xbf, 0x80, 0xbf, 0x80, 0xbf],
  [0xf1, 0xf3, 0x80, 0xbf, 0x80, 0xbf, 0x80, 0xbf],
  [0xf4, 0xf4, 0x80, 0x8f, 0x80, 0xbf, 0x80, 0xbf],
] as const;

/**
 * The same lists in one order. Those that begin with the same rule become one, which goes on in either way: without it a grammar that
 * can be read in two ways at each step would be read in 2^n ways after n.
 */
function normalize(derivatives: Derivatives, lists: readonly number[]): readonly number[] {
  const different = [...new Set(lists)];
  if (different.length === 1) return different;
  const byPart = new Map<number, number[]>();
  const members: number[] = [];
  for (const list of different) {
    const split = derivatives.split(list);
    if (split === undefined) members.push(list);
    else if (byPart.has(split.part)) byPart.get(split.part)!.push(split.rest);
    else byPart.set(split.part, [split.rest]);
  }
  for (const [part, rests] of byPart) members.push(derivatives.join(part, rests));
  return members.sort((a, b) => a - b);
}
