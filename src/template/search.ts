import { type Allowance, fault } from "./allowance.ts";
import { toOptionalIndex } from "./arguments.ts";
import { countPoints, isLineEnd, isSpace, isWide, pointOf, unitOf } from "./points.ts";
import { createBuilder, slice, type Text } from "./text.ts";
import type { Value } from "./values.ts";

/** Finding and cutting in texts. Places are in UTF-16 units but where a function says otherwise. */

/** Where `part` begins in [from, to), or -1. */
export function indexOf(run: Allowance, text: string, part: string, from = 0, to = text.length): number {
  const found = text.indexOf(part, from);
  run.step(((found < 0 ? text.length : found) - from) >> 4);
  return found >= 0 && found + part.length <= to ? found : -1;
}

export function lastIndexOf(run: Allowance, text: string, part: string, from = 0, to = text.length): number {
  run.step((to - from) >> 4);
  const found = to - part.length < 0 ? -1 : text.lastIndexOf(part, to - part.length);
  return found >= from ? found : -1;
}

/** A range of code points as `find(sub, start, end)` takes it, in units; undefined where it is empty by far. */
export function rangeOf(
  run: Allowance,
  text: string,
  start: Value | undefined,
  end: Value | undefined,
): readonly [number, number] | undefined {
  if (start === undefined && end === undefined) return [0, text.length];
  const length = countPoints(run, text);
  const place = (value: number) => Math.min(length, value < 0 ? Math.max(0, value + length) : value);
  const first = toOptionalIndex(start) ?? 0;
  const from = first > length ? undefined : place(first);
  const to = place(toOptionalIndex(end) ?? length);
  return from === undefined || from > to ? undefined : [unitOf(run, text, from), unitOf(run, text, to)];
}

/** `find`, `rfind`: the code point, or -1. */
export function find(run: Allowance, text: string, part: string, start?: Value, end?: Value, last = false): number {
  const range = rangeOf(run, text, start, end);
  if (!range) return -1;
  const found = (last ? lastIndexOf : indexOf)(run, text, part, ...range);
  return found <= 0 ? found : pointOf(run, text, found);
}

export function countOf(run: Allowance, text: string, part: string, start?: Value, end?: Value): number {
  const range = rangeOf(run, text, start, end);
  if (!range) return 0;
  const [from, to] = range;
  if (part === "") return countPoints(run, text.slice(from, to)) + 1;
  let count = 0;
  for (let at = indexOf(run, text, part, from, to); at >= 0; at = indexOf(run, text, part, at + part.length, to)) {
    run.step();
    count++;
  }
  return count;
}

export function replace(run: Allowance, text: Text, old: string, by: Text, most: number): Text {
  const out = createBuilder(run);
  const { value } = text;
  let left = most < 0 ? Number.POSITIVE_INFINITY : most;
  let from = 0;
  if (old === "") {
    for (; left > 0; left--) {
      run.step();
      out.add(by);
      if (from >= value.length) break;
      const size = value.codePointAt(from)! > 0xffff ? 2 : 1;
      out.addSlice(text, from, from + size);
      from += size;
    }
  } else {
    for (let at = 0; left > 0; left--) {
      at = indexOf(run, value, old, from);
      if (at < 0) break;
      run.step();
      out.addSlice(text, from, at);
      out.add(by);
      from = at + old.length;
    }
    if (from === 0) return text;
  }
  out.addSlice(text, from, value.length);
  return out.build(text.markup);
}

/** `strip` and its sides; without characters, of what Python calls space. */
export function strip(run: Allowance, text: Text, characters: string | undefined, start: boolean, end: boolean): Text {
  const { value } = text;
  const set = characters === undefined ? undefined : new Set(characters);
  const stripped = set
    ? (at: number) => set.has(String.fromCodePoint(value.codePointAt(at)!))
    : (at: number) => isSpace(value.charCodeAt(at));
  let from = 0;
  let to = value.length;
  while (start && from < to && stripped(from)) from += value.codePointAt(from)! > 0xffff ? 2 : 1;
  while (end && to > from) {
    const size = to - 2 >= from && isWide(value.slice(to - 2, to)) ? 2 : 1;
    if (!stripped(to - size)) break;
    to -= size;
  }
  run.step((from + value.length - to) >> 2);
  return slice(run, text, from, to);
}

/** `split`: at `separator`, or at spaces where that is undefined; at most `most` times where that is not negative. */
export function split(run: Allowance, text: Text, separator: string | undefined, most: number): Text[] {
  const { value } = text;
  const parts: Text[] = [];
  const cut = (from: number, to: number): void => {
    run.step();
    run.take(4);
    parts.push(slice(run, text, from, to));
  };
  let left = most < 0 ? Number.POSITIVE_INFINITY : most;
  let from = 0;
  if (separator === undefined) {
    run.step(value.length >> 2);
    for (; ; left--) {
      while (from < value.length && isSpace(value.charCodeAt(from))) from++;
      if (from >= value.length) return parts;
      let to = left > 0 ? from : value.length;
      while (to < value.length && !isSpace(value.charCodeAt(to))) to++;
      cut(from, to);
      if (left <= 0) return parts;
      from = to;
    }
  }
  if (separator === "") return fault("empty separator");
  for (; left > 0; left--) {
    const at = indexOf(run, value, separator, from);
    if (at < 0) break;
    cut(from, at);
    from = at + separator.length;
  }
  cut(from, value.length);
  return parts;
}

export function splitFromRight(run: Allowance, text: Text, separator: string | undefined, most: number): Text[] {
  if (most < 0) return split(run, text, separator, most);
  const { value } = text;
  const parts: Text[] = [];
  const cut = (from: number, to: number): void => {
    run.step();
    run.take(4);
    parts.push(slice(run, text, from, to));
  };
  let left = most;
  let to = value.length;
  if (separator === undefined) {
    run.step(value.length >> 2);
    for (; ; left--) {
      while (to > 0 && isSpace(value.charCodeAt(to - 1))) to--;
      if (to === 0) break;
      let from = left > 0 ? to : 0;
      while (from > 0 && !isSpace(value.charCodeAt(from - 1))) from--;
      cut(from, to);
      if (left <= 0) break;
      to = from;
    }
    return parts.reverse();
  }
  if (separator === "") return fault("empty separator");
  for (; left > 0; left--) {
    const at = lastIndexOf(run, value, separator, 0, to);
    if (at < 0) break;
    cut(at + separator.length, to);
    to = at;
  }
  cut(0, to);
  return parts.reverse();
}

export function splitLines(run: Allowance, text: Text, keepEnds: boolean): Text[] {
  const { value } = text;
  run.step(value.length >> 3);
  const lines: Text[] = [];
  for (let from = 0; from < value.length; ) {
    let end = from;
    while (end < value.length && !isLineEnd(value.charCodeAt(end))) end++;
    const next = value.startsWith("\r\n", end) ? end + 2 : Math.min(value.length, end + 1);
    run.step();
    run.take(4);
    lines.push(slice(run, text, from, keepEnds ? next : end));
    from = next;
  }
  return lines;
}
