import { GrokError } from "../errors.ts";
import { aboutGrammar } from "./about-grammar.ts";
import { createAutomaton, dead } from "./automaton.ts";
import type { Rules } from "./expression.ts";
import { longestText } from "./token-trie.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** A grammar over a vocabulary: which tokens may come. Shared by all texts that follow the grammar. */
export interface TokenGrammar {
  /** A text that has not begun; `afterText`: it goes on after other text, so that its first token keeps a leading space. */
  begin(afterText: boolean): Matcher;
}

/** How far one text has come. */
export interface Matcher {
  /**
   * A bit for each token that may come, in words of 32, the lowest first; not to be changed.
   * @throws GrokError `unsupported` where no token says what has to come, or the grammar can be read in too many ways, or takes too long
   */
  allowed(): Uint32Array;
  /** Takes a token that is allowed. Whether nothing may come after it. */
  accept(token: number): boolean;
  /** The same text once more, to go on in another way. */
  fork(): Matcher;
}

/** Bytes of masks that are kept for one grammar. */
const mostMaskBytes = 2 ** 25;
/**
 * What a text may have worked out, in edges of its grammar: so much at first, which is about a second, and for each token a thousandth of
 * it, up to as much again. Objects of 500 members that may all be left out take most of it, other schemas a hundredth; all other texts
 * wait for what is worked out.
 */
const mostWork = 2 ** 21;
const workPerToken = mostWork / 1000;
/** States at which a machine is made anew, and what is left of texts read again. */
const manyStates = 1 << 13;

/**
 * @param endTokens which may come wherever the grammar lets a text end
 * @throws GrokError `unsupported`
 */
export function createTokenGrammar(
  rules: Rules,
  { trie, words, addTexts }: Vocabulary,
  endTokens: readonly number[],
): TokenGrammar {
  const allowance = { left: Infinity };
  let automaton = createAutomaton(rules, allowance);
  let age = 0;
  const mostMasks = Math.max(16, Math.floor(mostMaskBytes / 4 / words));
  const masks = new Map<number, Uint32Array>();
  const states = new Int32Array(trie.deepest + 1);

  /** How many characters without an escape may come in any order, at most `longestText`. */
  function countText(state: number): number {
    let count = 0;
    for (let at = state; count < longestText; count++) {
      const after = automaton.afterText(at);
      if (after === dead) break;
      if (after === at) return longestText;
      at = after;
      // More than most tokens have: the others are looked at.
      if (count === 32) break;
    }
    return count;
  }

  /** Adds tokens below nodes `from` ... `to` of the tree, whose parent a text in `state` has come to. */
  function walk(mask: Uint32Array, state: number, from: number, to: number): void {
    const { byte, depth, end, token, twin, mostText } = trie;
    const above = depth[from]! - 1;
    // Whatever text may come has been added by its length.
    const known = above === 0 ? countText(state) : 0;
    if (known > 0) addTexts(mask, known);
    states[above] = state;
    for (let node = from; node < to; ) {
      if (mostText[node]! <= known) {
        node = end[node]!;
        continue;
      }
      const at = automaton.next(states[depth[node]! - 1]!, byte[node]!);
      if (at === dead) {
        node = end[node]!;
        continue;
      }
      states[depth[node]!] = at;
      for (let id = token[node]!; id >= 0; id = twin[id]!) mask[id >>> 5]! |= 1 << (id & 31);
      node++;
    }
  }

  function computeMask(state: number, first: boolean): Uint32Array {
    const mask = new Uint32Array(words);
    const nodes = trie.byte.length;
    if (first) walkFirst(mask, state);
    else walk(mask, state, 0, nodes);
    if (automaton.mayEnd(state)) for (const id of endTokens) mask[id >>> 5]! |= 1 << (id & 31);
    if (mask.every((word) => word === 0)) {
      throw new GrokError("unsupported", "no token of the vocabulary says what the grammar has come next");
    }
    return mask;
  }

  /** At the beginning of a text: tokens that begin with a space are as if they did not. */
  function walkFirst(mask: Uint32Array, state: number): void {
    const { byte, end } = trie;
    for (let node = 0; node < byte.length; node = end[node]!) {
      if (byte[node] !== 0x20) walkBelow(mask, state, node);
      else if (end[node]! > node + 1) walk(mask, state, node + 1, end[node]!);
    }
  }

  function walkBelow(mask: Uint32Array, state: number, node: number): void {
    const { byte, end, token, twin } = trie;
    const at = automaton.next(state, byte[node]!);
    if (at === dead) return;
    for (let id = token[node]!; id >= 0; id = twin[id]!) mask[id >>> 5]! |= 1 << (id & 31);
    if (end[node]! > node + 1) walk(mask, at, node + 1, end[node]!);
  }

  function maskOf(state: number, first: boolean): Uint32Array {
    const key = first ? -1 - state : state;
    let mask = masks.get(key);
    if (mask === undefined) {
      if (masks.size >= mostMasks) masks.delete(masks.keys().next().value!);
      mask = computeMask(state, first);
      masks.set(key, mask);
    }
    return mask;
  }

  /** A machine that has grown is made anew: texts under way are then read again. */
  function renewWhenLarge(): void {
    if (automaton.size() < manyStates) return;
    automaton = createAutomaton(rules, allowance);
    masks.clear();
    age++;
  }

  /**
   * @param state what a machine of the age `readAt` had come to after the tokens
   * @param work what the text may still have worked out
   */
  function createMatcher(
    afterText: boolean,
    tokens: number[],
    state: number,
    readAt: number,
    work = mostWork,
  ): Matcher {
    const isFirst = () => tokens.length === 0 && !afterText && trie.losesSpace;

    function read(token: number): void {
      const { offsets, bytes } = trie;
      let at = offsets[token]!;
      if (isFirst() && bytes[at] === 0x20) at++;
      for (; at < offsets[token + 1]!; at++) state = automaton.next(state, bytes[at]!);
      tokens.push(token);
    }

    function catchUp(): void {
      renewWhenLarge();
      if (readAt === age) return;
      readAt = age;
      state = automaton.start;
      for (const token of tokens.splice(0)) read(token);
    }

    /** What has been read before is read again for nothing: it was paid for. */
    function paid<T>(act: () => T): T {
      catchUp();
      try {
        allowance.left = work;
        return act();
      } catch (error) {
        return aboutGrammar(error);
      } finally {
        work = allowance.left;
        allowance.left = Infinity;
      }
    }

    return {
      allowed: () => paid(() => maskOf(state, isFirst())),
      accept: (token) =>
        paid(() => {
          read(token);
          allowance.left = Math.min(mostWork, allowance.left + workPerToken);
          return automaton.mustEnd(state);
        }),
      fork: () => createMatcher(afterText, [...tokens], state, readAt, work),
    };
  }

  return { begin: (afterText) => createMatcher(afterText, [], automaton.start, age) };
}
