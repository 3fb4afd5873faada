/** Unicode properties of code points as bit sets, computed a block at a time from the engine's own tables. */

export const letter = 1;
export const number = 2;
export const whitespace = 4;
/** U+000A and U+000D. */
export const newline = 8;
/** Lu and Lt. */
export const upper = 16;
/** Ll. */
export const lower = 32;
export const mark = 64;
/** P, and what ASCII has of `$+<=>^~|`. */
export const punctuation = 128;

const properties: readonly (readonly [RegExp, number])[] = [
  [/\p{L}/u, letter],
  [/\p{N}/u, number],
  [/\p{White_Space}/u, whitespace],
  [/[\p{Lu}\p{Lt}]/u, upper],
  [/\p{Ll}/u, lower],
  [/\p{M}/u, mark],
  [/[\p{P}$+<=>^~|]/u, punctuation],
];

const blocks: (Uint8Array | undefined)[] = [];

/** The properties of a code point. */
export function classOf(codePoint: number): number {
  const block = codePoint >>> 8;
  return (blocks[block] ?? createBlock(block))[codePoint & 0xff]!;
}

function createBlock(block: number): Uint8Array {
  const classes = new Uint8Array(256);
  for (let i = 0; i < 256; i++) {
    const codePoint = block * 256 + i;
    if (codePoint === 0x0a || codePoint === 0x0d) classes[i] = newline;
    const character = String.fromCodePoint(codePoint);
    for (const [pattern, bit] of properties) if (pattern.test(character)) classes[i]! |= bit;
  }
  blocks[block] = classes;
  return classes;
}
