import { type Allowance, fault } from "./allowance.ts";
import { bind, toIndex, toOptionalIndex, toStr } from "./arguments.ts";
import { escapeHtml } from "./escape.ts";
import { pad } from "./format-spec.ts";
import { iterate, toIterable } from "./iterate.ts";
import { capitalize, foldCase, letterTests, swapCase, titleCase } from "./letters.ts";
import { countPoints } from "./points.ts";
import {
  countOf,
  find,
  indexOf,
  lastIndexOf,
  rangeOf,
  replace,
  split,
  splitFromRight,
  splitLines,
  strip,
} from "./search.ts";
import { createBuilder, mapLetters, plainText, slice, type Text, withMarkup } from "./text.ts";
import { type Args, getNamed, isTrue, makeInt, makeList, makeTuple, toBool, typeName, type Value } from "./values.ts";

export interface TextMethod {
  /** As {@link bind} takes them. */
  readonly parameters: string;
  call(run: Allowance, text: Text, ...given: (Value | undefined)[]): Value;
}

const method = (parameters: string, call: TextMethod["call"]): TextMethod => ({ parameters, call });

const letters = (map: (value: string) => string, single = true): TextMethod =>
  method("", (run, text) => mapLetters(run, text, map, single));

const stripper = (start: boolean, end: boolean): TextMethod =>
  method("/ chars?", (run, text, chars) =>
    strip(run, text, optionalText(chars, "strip arg must be None or str")?.value, start, end),
  );

function optionalText(value: Value | undefined, otherwise: string): Text | undefined {
  if (value === undefined || value.kind === "none") return undefined;
  return value.kind === "str" ? value : fault(otherwise);
}

const splitter = (cut: typeof split): TextMethod =>
  method("sep? maxsplit?", (run, text, sep, most) => {
    const separator = optionalText(sep, `must be str or None, not ${sep && typeName(sep)}`)?.value;
    return makeList(run, cut(run, text, separator, most === undefined ? -1 : toIndex(most)));
  });

const finder = (last: boolean, strict: boolean): TextMethod =>
  method("/ sub start? end?", (run, text, sub, start, end) => {
    const found = find(run, text.value, toStr(sub!, "sub").value, start, end, last);
    return found < 0 && strict ? fault("substring not found") : makeInt(run, found);
  });

const padder = (align: "<" | ">"): TextMethod =>
  method("/ width fillchar?", (run, text, width, fill) => pad(run, text, fillOf(run, fill), align, toIndex(width!)));

function fillOf(run: Allowance, fill: Value | undefined): string {
  if (fill === undefined) return " ";
  const { value } = toStr(fill, "The fill character");
  return countPoints(run, value) === 1 ? value : fault("The fill character must be exactly one character long");
}

/** Python's `center` puts the odd space in front where the width is odd. */
export function center(run: Allowance, text: Text, width: number, fill = " "): Text {
  const length = countPoints(run, text.value);
  const missing = width - length;
  if (missing <= 0) return text;
  const before = (missing >> 1) + (missing & width & 1);
  return pad(run, pad(run, text, fill, ">", length + before), fill, "<", width);
}

const sideTest = (atEnd: boolean): TextMethod =>
  method("/ prefix start? end?", (run, text, prefix, start, end) => {
    const range = rangeOf(run, text.value, start, end);
    const parts = prefix!.kind === "tuple" ? prefix!.items : [prefix!];
    for (const part of parts) {
      const name = atEnd ? "endswith" : "startswith";
      if (part.kind !== "str") {
        return fault(`${name} first arg must be str or a tuple of str, not ${typeName(part)}`);
      }
      run.step(1 + (part.value.length >> 4));
      if (!range || part.value.length > range[1] - range[0]) continue;
      const at = atEnd ? range[1] - part.value.length : range[0];
      if (text.value.startsWith(part.value, at)) return toBool(true);
    }
    return toBool(false);
  });

const remover = (atEnd: boolean): TextMethod =>
  method("/ affix", (run, text, affix) => {
    const { value } = toStr(affix!, "argument");
    const { length } = text.value;
    if (atEnd) return value !== "" && text.value.endsWith(value) ? slice(run, text, 0, length - value.length) : text;
    return text.value.startsWith(value) ? slice(run, text, value.length, length) : text;
  });

const partitioner = (last: boolean): TextMethod =>
  method("/ sep", (run, text, sep) => {
    const { value } = toStr(sep!, "sep");
    if (value === "") return fault("empty separator");
    const at = (last ? lastIndexOf : indexOf)(run, text.value, value);
    const empty = plainText(run, "", false, text.markup);
    if (at < 0) return makeTuple(run, last ? [empty, empty, text] : [text, empty, empty]);
    const end = at + value.length;
    return makeTuple(run, [
      slice(run, text, 0, at),
      slice(run, text, at, end),
      slice(run, text, end, text.value.length),
    ]);
  });

export function join(run: Allowance, separator: Text, items: Iterable<Value>): Text {
  const out = createBuilder(run);
  let index = 0;
  for (const item of items) {
    if (item.kind !== "str") return fault(`sequence item ${index}: expected str instance, ${typeName(item)} found`);
    if (index++ > 0) out.add(separator);
    out.add(separator.markup ? escapeHtml(run, item) : item);
  }
  return out.build(separator.markup);
}

function zeroFill(run: Allowance, text: Text, width: number): Text {
  const missing = width - countPoints(run, text.value);
  if (missing <= 0) return text;
  run.take(missing);
  const sign = /^[-+]/.test(text.value) ? 1 : 0;
  const out = createBuilder(run);
  out.addSlice(text, 0, sign);
  out.addPlain("0".repeat(missing));
  out.addSlice(text, sign, text.value.length);
  return out.build(text.markup);
}

function expandTabs(run: Allowance, text: Text, size: number): Text {
  const out = createBuilder(run);
  let column = 0;
  let from = 0;
  for (let at = 0; at < text.value.length; at++) {
    const unit = text.value.charCodeAt(at);
    if (unit === 10 || unit === 13) column = 0;
    else if (unit !== 9) column += unit >= 0xdc00 && unit <= 0xdfff ? 0 : 1;
    else {
      out.addSlice(text, from, at);
      from = at + 1;
      const spaces = size > 0 ? size - (column % size) : 0;
      run.take(spaces);
      out.addPlain(" ".repeat(spaces), text.caller.length > 0);
      column += spaces;
    }
  }
  out.addSlice(text, from, text.value.length);
  return out.build(text.markup);
}

export const textMethods: Readonly<Record<string, TextMethod>> = {
  upper: letters((value) => value.toUpperCase()),
  lower: letters((value) => value.toLowerCase()),
  title: letters(titleCase, false),
  capitalize: letters(capitalize, false),
  swapcase: letters(swapCase, false),
  casefold: letters(foldCase),
  strip: stripper(true, true),
  lstrip: stripper(true, false),
  rstrip: stripper(false, true),
  split: splitter(split),
  rsplit: splitter(splitFromRight),
  splitlines: method("keepends?", (run, text, keep) =>
    makeList(run, splitLines(run, text, keep !== undefined && isTrue(run, keep))),
  ),
  partition: partitioner(false),
  rpartition: partitioner(true),
  replace: method("/ old new count?", (run, text, old, by, count) => {
    const [from, to] = [toStr(old!, "replace() argument 1"), toStr(by!, "replace() argument 2")];
    return replace(run, text, from.value, text.markup ? escapeHtml(run, to) : to, toOptionalIndex(count) ?? -1);
  }),
  join: method("/ iterable", (run, text, items) => join(run, text, toIterable(iterate(run, items!)))),
  find: finder(false, false),
  rfind: finder(true, false),
  index: finder(false, true),
  rindex: finder(true, true),
  count: method("/ sub start? end?", (run, text, sub, start, end) =>
    makeInt(run, countOf(run, text.value, toStr(sub!, "sub").value, start, end)),
  ),
  startswith: sideTest(false),
  endswith: sideTest(true),
  removeprefix: remover(false),
  removesuffix: remover(true),
  center: method("/ width fillchar?", (run, text, width, fill) =>
    center(run, text, toIndex(width!), fillOf(run, fill)),
  ),
  ljust: padder("<"),
  rjust: padder(">"),
  zfill: method("/ width", (run, text, width) => zeroFill(run, text, toIndex(width!))),
  expandtabs: method("tabsize?", (run, text, size) => expandTabs(run, text, toOptionalIndex(size) ?? 8)),
  ...Object.fromEntries(
    Object.entries(letterTests).map(([name, test]) => [
      name,
      method("", (run, text) => {
        run.step(text.value.length >> 3);
        return toBool(test(text.value));
      }),
    ]),
  ),
};

/** Methods that Python's strings have and templates do not get here. */
export const refusedTextMethods: ReadonlySet<string> = new Set(["encode", "translate", "maketrans"]);

/** Calls a method of a string that is not `format`. */
export function callTextMethod(run: Allowance, text: Text, name: string, args: Args): Value {
  const { parameters, call } = textMethods[name]!;
  const result = call(run, text, ...bind(name, parameters, args));
  return result.kind === "str" && text.markup ? withMarkup(run, result, true) : result;
}

/** `format_map(mapping)` as `format` takes it. */
export function namedOf(mapping: Value): ReadonlyMap<string, Value> {
  if (mapping.kind !== "dict") return fault("format_map() argument must be a mapping");
  const named = new Map<string, Value>();
  for (const [key] of mapping.entries.values()) {
    if (key.kind === "str") named.set(key.value, getNamed(mapping, key.value)!);
  }
  return named;
}
