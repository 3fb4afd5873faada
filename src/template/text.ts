import type { Allowance } from "./allowance.ts";
import { isWide, unitOf } from "./points.ts";

/**
 * A string that knows where each of its characters came from: from the template, or from its caller. Every operation keeps
 * that, so what a caller wrote is told apart in the finished prompt, whatever the template did to it.
 */
export interface Text {
  readonly kind: "str";
  readonly value: string;
  /** Ranges [from, to) of `value`, in UTF-16 units, that came from the caller: flat, ascending, never touching or empty. */
  readonly caller: readonly number[];
  /** Marked safe for HTML, as `escape` and `safe` do: what is added to it is escaped. */
  readonly markup: boolean;
}

const none: readonly number[] = [];

export function makeText(run: Allowance, value: string, caller: readonly number[], markup = false): Text {
  run.take(24 + value.length + 4 * caller.length);
  return { kind: "str", value, caller, markup };
}

/** A text of one origin. */
export function plainText(run: Allowance, value: string, fromCaller = false, markup = false): Text {
  return makeText(run, value, fromCaller && value !== "" ? [0, value.length] : none, markup);
}

export function withMarkup(run: Allowance, text: Text, markup: boolean): Text {
  return text.markup === markup ? text : makeText(run, text.value, text.caller, markup);
}

/** Whether any character came from the caller. */
export const fromCaller = (text: Text): boolean => text.caller.length > 0;

/** The part [from, to), in UTF-16 units. */
export function slice(run: Allowance, text: Text, from: number, to: number): Text {
  if (from === 0 && to >= text.value.length) return text;
  return makeText(run, text.value.slice(from, to), rangesWithin(text.caller, from, to), text.markup);
}

/** The ranges that lie in [from, to), counted from `from`. */
function rangesWithin(ranges: readonly number[], from: number, to: number): readonly number[] {
  if (ranges.length === 0) return none;
  // The first pair that ends behind `from`.
  let low = 0;
  for (let high = ranges.length / 2; low < high; ) {
    const middle = (low + high) >> 1;
    if (ranges[2 * middle + 1]! > from) high = middle;
    else low = middle + 1;
  }
  const within: number[] = [];
  for (let i = 2 * low; i < ranges.length && ranges[i]! < to; i += 2) {
    within.push(Math.max(ranges[i]!, from) - from, Math.min(ranges[i + 1]!, to) - from);
  }
  return within;
}

/** Puts a text together from parts; each is counted before the whole is made. */
export interface TextBuilder {
  add(text: Text): void;
  /** The part [from, to) of a text, in UTF-16 units. */
  addSlice(text: Text, from: number, to: number): void;
  addPlain(value: string, fromCaller?: boolean): void;
  readonly length: number;
  build(markup?: boolean): Text;
}

export function createBuilder(run: Allowance): TextBuilder {
  const parts: string[] = [];
  const caller: number[] = [];
  let length = 0;
  const addRanges = (ranges: readonly number[]): void => {
    for (let i = 0; i < ranges.length; i += 2) {
      const from = ranges[i]! + length;
      const to = ranges[i + 1]! + length;
      if (caller.length > 0 && caller[caller.length - 1] === from) caller[caller.length - 1] = to;
      else caller.push(from, to);
    }
  };
  const addParts = (value: string, ranges: readonly number[]): void => {
    if (value === "") return;
    run.take(24 + value.length + 4 * ranges.length);
    addRanges(ranges);
    parts.push(value);
    length += value.length;
  };
  return {
    add: (text) => addParts(text.value, text.caller),
    addSlice(text, from, to) {
      if (from < to) addParts(text.value.slice(from, to), rangesWithin(text.caller, from, to));
    },
    addPlain: (value, fromCaller = false) => addParts(value, fromCaller ? [0, value.length] : none),
    get length() {
      return length;
    },
    build(markup = false) {
      run.take(24);
      return { kind: "str", value: parts.join(""), caller, markup };
    },
  };
}

export function concat(run: Allowance, parts: readonly Text[], markup = false): Text {
  const builder = createBuilder(run);
  for (const part of parts) builder.add(part);
  return builder.build(markup);
}

export function repeat(run: Allowance, text: Text, count: number): Text {
  if (count <= 0 || text.value === "") return makeText(run, "", none, text.markup);
  run.take(24 + count * (text.value.length + 4 * text.caller.length));
  const caller: number[] = [];
  if (text.caller[0] === 0 && text.caller[1] === text.value.length) caller.push(0, count * text.value.length);
  else {
    for (let i = 0; i < count; i++) {
      const start = i * text.value.length;
      for (let at = 0; at < text.caller.length; at++) {
        const place = text.caller[at]! + start;
        if (at % 2 === 0 && caller.length > 0 && caller[caller.length - 1] === place) caller.pop();
        else caller.push(place);
      }
    }
  }
  return { kind: "str", value: text.value.repeat(count), caller, markup: text.markup };
}

/** The single characters, which are code points as in Python. */
export function* characters(run: Allowance, text: Text): Generator<Text> {
  const { value } = text;
  for (let at = 0; at < value.length; ) {
    const size = value.codePointAt(at)! > 0xffff ? 2 : 1;
    yield slice(run, text, at, at + size);
    at += size;
  }
}

/** Characters at `start`, `start + step` and so on, `count` of them, all counted in code points. */
export function pick(run: Allowance, text: Text, start: number, count: number, step: number): Text {
  if (step === 1) {
    const from = unitOf(run, text.value, start);
    return slice(run, text, from, isWide(text.value) ? unitOf(run, text.value, start + count) : from + count);
  }
  const builder = createBuilder(run);
  const starts = isWide(text.value) ? startsOf(run, text.value) : undefined;
  for (let i = 0, at = start; i < count; i++, at += step) {
    const from = starts ? starts[at]! : at;
    builder.addSlice(text, from, starts ? (starts[at + 1] ?? text.value.length) : at + 1);
  }
  return builder.build(text.markup);
}

/** Where each code point begins, in UTF-16 units. */
function startsOf(run: Allowance, value: string): Uint32Array {
  run.take(2 * value.length);
  const starts = new Uint32Array(value.length);
  let count = 0;
  for (let at = 0; at < value.length; at += value.codePointAt(at)! > 0xffff ? 2 : 1) starts[count++] = at;
  return starts.subarray(0, count);
}

/**
 * A change of letters (`toUpperCase` and the like) that may make a text longer: `ß` becomes `SS`. It is made on the whole, as
 * some letters look at their neighbours. Where it adds characters to a text of both origins, each is followed to its place; where
 * `single` says that a letter alone may change otherwise than among others, all counts as the caller's.
 */
export function mapLetters(run: Allowance, text: Text, map: (value: string) => string, single = true): Text {
  run.step(text.value.length >> (single ? 4 : 1));
  const value = map(text.value);
  const { caller, markup } = text;
  if (caller.length === 0 || value.length === text.value.length) return makeText(run, value, caller, markup);
  if (!single || (caller[0] === 0 && caller[1] === text.value.length)) return plainText(run, value, true, markup);
  const moved: number[] = [];
  let length = 0;
  let next = 0;
  for (let at = 0; at < text.value.length; ) {
    if (caller[next] === at) {
      moved.push(length);
      next++;
    }
    const size = text.value.codePointAt(at)! > 0xffff ? 2 : 1;
    length += map(text.value.slice(at, at + size)).length;
    at += size;
  }
  if (next < caller.length) moved.push(length);
  return makeText(run, value, moved, markup);
}
