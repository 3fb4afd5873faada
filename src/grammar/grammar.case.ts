import { fromUtf8 } from "../bytes/utf8.ts";
import { type Automaton, createAutomaton, dead } from "./automaton.ts";
import { compileGrammar } from "./compile.ts";
import type { Grammar } from "./grammar.ts";

/** A stream of numbers in [0, 1) (xorshift). */
export function createNumbers(seed: number): () => number {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

export const automatonOf = (grammar: Grammar): Automaton => createAutomaton(compileGrammar(grammar));

export function accepts(automaton: Automaton, text: string | Uint8Array): boolean {
  let state = automaton.start;
  for (const byte of Buffer.from(text)) {
    state = automaton.next(state, byte);
    if (state === dead) return false;
  }
  return automaton.mayEnd(state);
}

/** A random text that a grammar allows, with this beginning; undefined where it is not at its end after `most` bytes. */
export function randomText(
  automaton: Automaton,
  random: () => number,
  most = 3000,
  begin: Uint8Array = new Uint8Array(),
): string | undefined {
  const bytes = [...begin];
  let state = bytes.reduce((state, byte) => automaton.next(state, byte), automaton.start);
  for (let i = 0; i < most; i++) {
    if (automaton.mayEnd(state) && (automaton.mustEnd(state) || random() < 0.3))
      return fromUtf8(Uint8Array.from(bytes));
    // First where it leads, so that an end of a text is not rarer than any letter of it.
    const ways = new Map<number, number[]>();
    for (let byte = 0; byte < 256; byte++) {
      const after = automaton.next(state, byte);
      if (after === dead) continue;
      ways.set(after, [...(ways.get(after) ?? []), byte]);
    }
    if (ways.size === 0) throw new Error(`no way on after ${fromUtf8(Uint8Array.from(bytes))}`);
    const [after, choices] = [...ways][Math.floor(random() * ways.size)]!;
    bytes.push(choices[Math.floor(random() * choices.length)]!);
    state = after;
  }
  return undefined;
}
