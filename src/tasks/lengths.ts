import { spaceClass } from "./python/text.ts";

const spaces = new RegExp(`[${spaceClass}]+`);

/** Code points, as Python counts a text's length. */
export function countPoints(text: string): number {
  return [...text].length;
}

/** As lm-evaluation-harness counts words: pieces between spaces, an empty one at either end with them. */
export function countWords(text: string): number {
  return text.split(spaces).length;
}

export function countBytes(text: string): number {
  return Buffer.byteLength(text);
}
