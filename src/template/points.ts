import type { Allowance } from "./allowance.ts";

/** Python counts a string's code points, JavaScript its UTF-16 units; here is one turned to the other, and what Python calls space. */

/** Whether a string has characters of two units. */
export const isWide = (value: string): boolean => /[\ud800-\udbff][\udc00-\udfff]/.test(value);

export function countPoints(run: Allowance, value: string): number {
  run.step(value.length >> 6);
  if (!isWide(value)) return value.length;
  run.step(value.length >> 3);
  let count = 0;
  for (let at = 0; at < value.length; at += value.codePointAt(at)! > 0xffff ? 2 : 1) count++;
  return count;
}

/** The unit at which code point `point` begins. */
export function unitOf(run: Allowance, value: string, point: number): number {
  run.step(value.length >> 6);
  if (!isWide(value)) return point;
  run.step(point >> 3);
  let at = 0;
  for (let left = point; left > 0 && at < value.length; left--) at += value.codePointAt(at)! > 0xffff ? 2 : 1;
  return at;
}

/** The code point that begins at unit `unit`. */
export function pointOf(run: Allowance, value: string, unit: number): number {
  return countPoints(run, value.slice(0, unit));
}

/** Negative, 0 or positive, by code points. Units order alike but for surrogates, which stand before U+E000. */
export function comparePoints(a: string, b: string): number {
  if (a === b) return 0;
  if (!isWide(a) && !isWide(b)) return a < b ? -1 : 1;
  for (let at = 0; at < a.length && at < b.length; at++) {
    if (a.charCodeAt(at) !== b.charCodeAt(at)) return a.codePointAt(at)! - b.codePointAt(at)!;
  }
  return a.length - b.length;
}

/** `str.isspace`, which is `\s` of Python's expressions too. */
export function isSpace(unit: number): boolean {
  if (unit < 0x80) return unit === 32 || (unit >= 9 && unit <= 13) || (unit >= 0x1c && unit <= 0x1f);
  if (unit < 0x2000) return unit === 0x85 || unit === 0xa0 || unit === 0x1680;
  return unit <= 0x200a || unit === 0x2028 || unit === 0x2029 || unit === 0x202f || unit === 0x205f || unit === 0x3000;
}

/** Where `str.splitlines` ends a line; CR LF is one end. */
export function isLineEnd(unit: number): boolean {
  return (
    (unit >= 10 && unit <= 13) || (unit >= 0x1c && unit <= 0x1e) || unit === 0x85 || unit === 0x2028 || unit === 0x2029
  );
}
