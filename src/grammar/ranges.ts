import type { Ranges } from "./expression.ts";

/** Sets of numbers as {@link Ranges}. */

/** @param pairs ranges in any order, which may overlap */
export function unite(...pairs: readonly Ranges[]): Ranges {
  const all: [number, number][] = [];
  for (const ranges of pairs) for (let i = 0; i < ranges.length; i += 2) all.push([ranges[i]!, ranges[i + 1]!]);
  all.sort((a, b) => a[0] - b[0]);
  const united: number[] = [];
  for (const [from, to] of all) {
    if (united.length > 0 && from <= united.at(-1)! + 1) united[united.length - 1] = Math.max(united.at(-1)!, to);
    else united.push(from, to);
  }
  return united;
}

/** What of 0 ... `most` is not in the set. */
export function complement(ranges: Ranges, most: number): Ranges {
  const rest: number[] = [];
  let from = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    if (ranges[i]! > from) rest.push(from, ranges[i]! - 1);
    from = ranges[i + 1]! + 1;
  }
  if (from <= most) rest.push(from, most);
  return rest;
}

export function intersect(a: Ranges, b: Ranges): Ranges {
  const common: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const from = Math.max(a[i]!, b[j]!);
    const to = Math.min(a[i + 1]!, b[j + 1]!);
    if (from <= to) common.push(from, to);
    if (a[i + 1]! < b[j + 1]!) i += 2;
    else j += 2;
  }
  return common;
}

export const subtract = (a: Ranges, b: Ranges) => intersect(a, complement(b, lastCodePoint));

export function includes(ranges: Ranges, value: number): boolean {
  for (let i = 0; i < ranges.length; i += 2) if (value >= ranges[i]! && value <= ranges[i + 1]!) return true;
  return false;
}

export const lastCodePoint = 0x10ffff;

/** All code points that text can have: none that is half of another in UTF-16. */
export const allCharacters: Ranges = [0, 0xd7ff, 0xe000, lastCodePoint];
