import { type Allowance, fault } from "./allowance.ts";
import { toIndex } from "./arguments.ts";
import { printNumber, roundFloat } from "./float-format.ts";
import { iterate, listOf, toIterable } from "./iterate.ts";
import { attributeAlone, item, length, reversed } from "./lookup.ts";
import { binary, orderOf, sortBy } from "./operators.ts";
import { toText } from "./printing.ts";
import { mapLetters, plainText, type Text } from "./text.ts";
import { type Filter, filter } from "./text-filters.ts";
import { join } from "./text-methods.ts";
import {
  equals,
  hashKey,
  isTrue,
  makeFloat,
  makeInt,
  makeIter,
  makeList,
  makeTuple,
  makeUndefined,
  none,
  numberOf,
  toFloat,
  typeName,
  type Value,
} from "./values.ts";

export type Getter = (value: Value) => Value;

/** What `attribute="a.b.0"` reads of an item; names and places are looked up as with brackets. */
export function getterOf(
  run: Allowance,
  path: Value | undefined,
  post: Getter = (value) => value,
  fallback?: Value,
): Getter {
  if (path === undefined || path.kind === "none") return post;
  const parts: Value[] =
    path.kind === "str"
      ? path.value
          .split(".")
          .map((part) => (/^\d{1,15}$/.test(part) ? makeInt(run, BigInt(part)) : plainText(run, part)))
      : [path];
  return (value) => {
    let found = value;
    for (const part of parts) {
      run.step();
      found = item(run, found, part);
      if (fallback !== undefined && found.kind === "undefined") found = fallback;
    }
    return post(found);
  };
}

/** Strings count alike in capitals and small letters, unless `caseSensitive`. */
function caseOf(run: Allowance, caseSensitive: Value | undefined): Getter {
  if (caseSensitive !== undefined && isTrue(run, caseSensitive)) return (value) => value;
  return (value) => (value.kind === "str" ? mapLetters(run, value, (text) => text.toLowerCase()) : value);
}

const flag = (run: Allowance, value: Value | undefined): boolean => value !== undefined && isTrue(run, value);
const given = (value: Value | undefined): Value | undefined => (value?.kind === "none" ? undefined : value);

function sort(run: Allowance, value: Value, [reverse, caseSensitive, path]: readonly (Value | undefined)[]): Value {
  const post = caseOf(run, caseSensitive);
  const paths: (Value | undefined)[] =
    path?.kind === "str" ? path.value.split(",").map((part) => plainText(run, part)) : [path];
  const getters = paths.map((part) => getterOf(run, part, post));
  // Also one key stands in a list, as there: equal ones are then never asked which is less.
  const key = (value: Value): Value =>
    makeTuple(
      run,
      getters.map((get) => get(value)),
    );
  return makeList(run, sortBy(run, value, key, flag(run, reverse)));
}

function extreme(
  run: Allowance,
  value: Value,
  [caseSensitive, path]: readonly (Value | undefined)[],
  sign: number,
): Value {
  const get = getterOf(run, path, caseOf(run, caseSensitive));
  let best: { readonly item: Value; readonly key: Value } | undefined;
  for (const each of toIterable(iterate(run, value))) {
    const key = get(each);
    const better = best === undefined || sign * orderOf(run, sign < 0 ? "<" : ">", key, best.key) > 0;
    if (better) best = { item: each, key };
  }
  return best?.item ?? makeUndefined("No aggregated item, sequence was empty.");
}

function* unique(run: Allowance, value: Value, get: Getter): Generator<Value> {
  const seen = new Set<unknown>();
  for (const each of toIterable(iterate(run, value))) {
    const hash = hashKey(run, get(each));
    if (seen.has(hash)) continue;
    run.take(16);
    seen.add(hash);
    yield each;
  }
}

function groupBy(run: Allowance, value: Value, [path, fallback, caseSensitive]: readonly (Value | undefined)[]): Value {
  const key = getterOf(run, path, caseOf(run, caseSensitive), given(fallback));
  const shown = getterOf(run, path, undefined, given(fallback));
  const groups: { readonly key: Value; readonly items: Value[] }[] = [];
  for (const each of sortBy(run, value, key, false)) {
    const own = key(each);
    const last = groups[groups.length - 1];
    if (last !== undefined && equals(run, last.key, own)) last.items.push(each);
    else groups.push({ key: own, items: [each] });
  }
  const tuples = groups.map(({ items }): Value => {
    const places = [shown(items[0]!), makeList(run, items)];
    return { ...makeTuple(run, places), names: ["grouper", "list"] };
  });
  return makeList(run, tuples);
}

function dictSort(run: Allowance, value: Value, [caseSensitive, by, reverse]: readonly (Value | undefined)[]): Value {
  if (value.kind !== "dict") return fault(`'${typeName(value)}' object has no attribute 'items'`);
  const name = by === undefined ? "key" : toText(run, by).value;
  if (name !== "key" && name !== "value") return fault('You can only sort by either "key" or "value"');
  const post = caseOf(run, caseSensitive);
  const place = name === "key" ? 0 : 1;
  const key = (pair: Value): Value => post(pair.kind === "tuple" ? pair.items[place]! : pair);
  return makeList(run, sortBy(run, { kind: "view", of: "items", dict: value }, key, flag(run, reverse)));
}

function* batch(run: Allowance, value: Value, size: number, fill: Value | undefined): Generator<Value> {
  let row: Value[] = [];
  for (const each of toIterable(iterate(run, value))) {
    if (row.length === size) {
      yield makeList(run, row);
      row = [];
    }
    row.push(each);
  }
  if (row.length === 0) return;
  if (fill !== undefined && row.length < size) {
    run.take(4 * (size - row.length));
    row.push(...new Array<Value>(size - row.length).fill(fill));
  }
  yield makeList(run, row);
}

function* slices(run: Allowance, value: Value, count: number, fill: Value | undefined): Generator<Value> {
  const items = listOf(run, value);
  if (count === 0) fault("integer division or modulo by zero");
  const size = Math.floor(items.length / count);
  const longer = items.length - size * count;
  let from = 0;
  for (let index = 0; index < count; index++) {
    const to = from + size + (index < longer ? 1 : 0);
    const part = items.slice(from, to);
    if (fill !== undefined && index >= longer) part.push(fill);
    run.step();
    yield makeList(run, part);
    from = to;
  }
}

function sum(run: Allowance, value: Value, [path, start]: readonly (Value | undefined)[]): Value {
  const get = getterOf(run, path);
  let total: Value = start ?? makeInt(run, 0);
  if (total.kind === "str") return fault("sum() can't sum strings [use ''.join(seq) instead]");
  for (const each of toIterable(iterate(run, value))) total = binary(run, "+", total, get(each));
  return total;
}

function toInteger(run: Allowance, value: Value, [fallback, base]: readonly (Value | undefined)[]): Value {
  const ofCaller = isCallers(value);
  const radix = base === undefined ? 10 : toIndex(base);
  const number = numberOf(value);
  if (number !== undefined) {
    if (typeof number === "bigint") return makeInt(run, number, ofCaller);
    return Number.isFinite(number) ? makeInt(run, BigInt(Math.trunc(number)), ofCaller) : (fallback ?? makeInt(run, 0));
  }
  if (value.kind === "undefined") return fault(value.message);
  const otherwise = fallback ?? makeInt(run, 0);
  if (value.kind !== "str") return otherwise;
  const whole = parseInteger(value.value, radix);
  if (whole !== undefined) return makeInt(run, whole, ofCaller);
  const float = parseFloat_(value.value);
  return float !== undefined && Number.isFinite(float) ? makeInt(run, BigInt(Math.trunc(float)), ofCaller) : otherwise;
}

const isCallers = (value: Value): boolean =>
  value.kind === "str" ? value.caller.length > 0 : "fromCaller" in value && value.fromCaller;

const space = String.raw`[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*`;
const integerForm = new RegExp(`^${space}([-+]?)(0[xX]_?|0[oO]_?|0[bB]_?)?([0-9a-zA-Z]+(?:_[0-9a-zA-Z]+)*)${space}$`);
const floatForm = new RegExp(
  `^${space}([-+]?(?:(?:[0-9]+(?:_[0-9]+)*)?\\.?(?:[0-9]+(?:_[0-9]+)*)?(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?|inf|infinity|nan))${space}$`,
  "i",
);

/** `int(text, base)`; undefined where Python has none. */
function parseInteger(text: string, base: number): bigint | undefined {
  if (base !== 0 && (base < 2 || base > 36)) return undefined;
  const match = text.length <= 5000 ? integerForm.exec(text) : null;
  if (!match) return undefined;
  let [, sign, prefix = "", digits = ""] = match;
  const marked = { x: 16, o: 8, b: 2 }[prefix[1]?.toLowerCase() ?? ""];
  let radix = base;
  if (marked !== undefined && (base === 0 || base === marked)) radix = marked;
  else {
    digits = prefix + digits;
    if (base === 0) {
      if (/^0+[1-9]/.test(digits)) return undefined;
      radix = 10;
    }
  }
  let value = 0n;
  for (const digit of digits.replaceAll("_", "").toLowerCase()) {
    const amount = Number.parseInt(digit, 36);
    if (!(amount < radix)) return undefined;
    value = value * BigInt(radix) + BigInt(amount);
  }
  return sign === "-" ? -value : value;
}

/** `float(text)`; undefined where Python has none. */
function parseFloat_(text: string): number | undefined {
  const form = text.length <= 5000 ? floatForm.exec(text)?.[1]?.toLowerCase() : undefined;
  if (form === undefined) return undefined;
  if (form.endsWith("nan")) return Number.NaN;
  if (form.includes("inf")) return form.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return /\d/.test(form.split("e")[0]!) ? Number(form.replaceAll("_", "")) : undefined;
}

function toFloatValue(run: Allowance, value: Value, [fallback]: readonly (Value | undefined)[]): Value {
  const number = numberOf(value);
  if (number !== undefined) return makeFloat(run, toFloat(number), isCallers(value));
  if (value.kind === "undefined") return fault(value.message);
  const float = value.kind === "str" ? parseFloat_(value.value) : undefined;
  return float === undefined ? (fallback ?? makeFloat(run, 0)) : makeFloat(run, float, isCallers(value));
}

function round(run: Allowance, value: Value, [precision, method]: readonly (Value | undefined)[]): Value {
  const name = method === undefined ? "common" : toText(run, method).value;
  if (!["common", "ceil", "floor"].includes(name)) return fault("method must be common, ceil or floor");
  const digits = precision === undefined ? 0 : toIndex(precision);
  const number = numberOf(value);
  if (value.kind === "undefined") return fault(value.message);
  if (number === undefined) return fault(`type ${typeName(value)} doesn't define __round__ method`);
  if (Math.abs(digits) > 400) return fault(`cannot round to ${digits} digits`);
  const ofCaller = isCallers(value);
  if (name === "common") {
    if (typeof number !== "bigint") return makeFloat(run, roundFloat(number, digits), ofCaller);
    return makeInt(run, digits >= 0 ? number : roundInteger(number, 10n ** BigInt(-digits)), ofCaller);
  }
  const factor = 10 ** digits;
  const scaled = toFloat(number) * factor;
  if (!Number.isFinite(scaled)) return fault("cannot convert float infinity to integer");
  const rounded = name === "ceil" ? Math.ceil(scaled) : Math.floor(scaled);
  // Python's 10 ** digits is a whole number or a float, and the division gives a float.
  return makeFloat(run, rounded / factor, ofCaller);
}

function roundInteger(value: bigint, unit: bigint): bigint {
  const rest = ((value % unit) + unit) % unit;
  const down = value - rest;
  const twice = 2n * rest;
  return twice > unit || (twice === unit && (down / unit) % 2n !== 0n) ? down + unit : down;
}

function fileSize(run: Allowance, value: Value, [binarySizes]: readonly (Value | undefined)[]): Value {
  const float = toFloatValue(run, value, [none]);
  if (float.kind !== "float") return fault(`could not convert ${typeName(value)} to float`);
  const size = float.value;
  const isBinary = flag(run, binarySizes);
  const base = isBinary ? 1024 : 1000;
  const ofCaller = isCallers(value);
  if (size === 1) return plainText(run, "1 Byte", ofCaller);
  if (size < base) return plainText(run, `${Math.trunc(size)} Bytes`, ofCaller);
  const prefixes = [..."kMGTPEZY"].map((sign) => (isBinary ? `${sign.toUpperCase()}iB` : `${sign}B`));
  const at = prefixes.findIndex((_, index) => size < base ** (index + 2));
  const index = at < 0 ? prefixes.length - 1 : at;
  const number = printNumber((base * size) / base ** (index + 2), "f", 1, false);
  return plainText(run, `${size < 0 ? "-" : ""}${number} ${prefixes[index]}`, ofCaller);
}

function absolute(run: Allowance, value: Value): Value {
  const number = numberOf(value);
  if (value.kind === "undefined") return fault(value.message);
  if (number === undefined) return fault(`bad operand type for abs(): '${typeName(value)}'`);
  if (typeof number === "bigint") return makeInt(run, number < 0n ? -number : number, isCallers(value));
  return makeFloat(run, Math.abs(number), isCallers(value));
}

function joinAll(run: Allowance, value: Value, [separator, path]: readonly (Value | undefined)[]): Value {
  const get = getterOf(run, path);
  const by: Text = separator === undefined ? plainText(run, "") : toText(run, separator);
  function* texts(): Generator<Value> {
    for (const each of toIterable(iterate(run, value))) yield toText(run, get(each));
  }
  return join(run, by, texts());
}

export const listFilters: Readonly<Record<string, Filter>> = {
  default: filter("default_value? boolean?", (run, value, [otherwise, boolean]) => {
    const missing = value.kind === "undefined" || (flag(run, boolean) && !isTrue(run, value));
    return missing ? (otherwise ?? plainText(run, "")) : value;
  }),
  length: filter("", (run, value) => makeInt(run, length(run, value))),
  list: filter("", (run, value) => makeList(run, listOf(run, value))),
  first: filter("", (run, value) => {
    const next = iterate(run, value).next();
    return next.done ? makeUndefined("No first item, sequence was empty.") : next.value;
  }),
  last: filter("", (run, value) => {
    if (value.kind === "undefined") return makeUndefined("No last item, sequence was empty.");
    const items = reversed(run, value) ?? fault(`'${typeName(value)}' object is not reversible`);
    return items[0] ?? makeUndefined("No last item, sequence was empty.");
  }),
  reverse: filter("", (run, value) => {
    if (value.kind === "str") {
      const out = reversed(run, value)!;
      return join(run, plainText(run, "", false, value.markup), out);
    }
    const items = reversed(run, value) ?? listOf(run, value).reverse();
    const isList = value.kind === "iterator" || value.kind === "undefined";
    return isList
      ? makeList(run, items)
      : makeIter(run, items[Symbol.iterator](), `${typeName(value)}_reverseiterator`);
  }),
  items: filter("", (run, value) => {
    if (value.kind === "undefined") return makeIter(run, [][Symbol.iterator]());
    if (value.kind !== "dict") return fault("Can only get item pairs from a mapping.");
    return makeIter(run, iterate(run, { kind: "view", of: "items", dict: value }));
  }),
  sort: filter("reverse? case_sensitive? attribute?", sort),
  min: filter("case_sensitive? attribute?", (run, value, options) => extreme(run, value, options, -1)),
  max: filter("case_sensitive? attribute?", (run, value, options) => extreme(run, value, options, 1)),
  unique: filter("case_sensitive? attribute?", (run, value, [caseSensitive, path]) =>
    makeIter(run, unique(run, value, getterOf(run, path, caseOf(run, caseSensitive)))),
  ),
  groupby: filter("attribute default? case_sensitive?", groupBy),
  dictsort: filter("case_sensitive? by? reverse?", dictSort),
  batch: filter("linecount fill_with?", (run, value, [size, fill]) =>
    makeIter(run, batch(run, value, toIndex(size!), given(fill))),
  ),
  slice: filter("slices fill_with?", (run, value, [count, fill]) =>
    makeIter(run, slices(run, value, toIndex(count!), given(fill))),
  ),
  sum: filter("attribute? start?", sum),
  join: filter("d? attribute?", joinAll),
  abs: filter("", absolute),
  int: filter("default? base?", toInteger),
  float: filter("default?", toFloatValue),
  round: filter("precision? method?", round),
  filesizeformat: filter("binary?", fileSize),
  attr: filter("name", (run, value, [name]) =>
    name!.kind === "str"
      ? attributeAlone(run, value, name!.value)
      : fault(`attribute name must be string, not '${typeName(name!)}'`),
  ),
};
