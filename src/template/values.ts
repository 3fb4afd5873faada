import { type Allowance, fault } from "./allowance.ts";
import { plainText, type Text } from "./text.ts";

/** The values of a template: Python's, as far as templates meet them. Numbers and containers know whether a caller made them. */
export type Value =
  | { readonly kind: "none"; readonly fromCaller: boolean }
  | { readonly kind: "bool"; readonly value: boolean; readonly fromCaller: boolean }
  | Int
  | Float
  | Text
  | List
  | Dict
  | View
  | Range
  | Iter
  | Undefined
  | Thing;

export interface Int {
  readonly kind: "int";
  readonly value: bigint;
  readonly fromCaller: boolean;
}

export interface Float {
  readonly kind: "float";
  readonly value: number;
  readonly fromCaller: boolean;
}

export interface List {
  readonly kind: "list" | "tuple";
  readonly items: readonly Value[];
  readonly fromCaller: boolean;
  /** Names of the places, for the groups of `groupby`. */
  readonly names?: readonly string[];
}

export interface Dict {
  readonly kind: "dict";
  /** By {@link hashKey}, in the order of insertion. */
  readonly entries: ReadonlyMap<unknown, readonly [key: Value, value: Value]>;
  readonly fromCaller: boolean;
}

/** What `keys`, `values` and `items` of a dictionary give. */
export interface View {
  readonly kind: "view";
  readonly of: "keys" | "values" | "items";
  readonly dict: Dict;
}

export interface Range {
  readonly kind: "range";
  readonly start: number;
  readonly stop: number;
  readonly step: number;
  readonly length: number;
}

/** A generator: gives its items once, and has no length. */
export interface Iter {
  readonly kind: "iterator";
  readonly type: string;
  readonly items: Iterator<Value>;
}

/** What is not there: prints as nothing, is false and empty; all else fails with `message`. */
export interface Undefined {
  readonly kind: "undefined";
  readonly message: string;
}

/** Functions, macros, namespaces and the variable `loop`. */
export interface Thing {
  readonly kind: "thing";
  /** Python's name of its type. */
  readonly type: string;
  print(run: Allowance): Text;
  call?(run: Allowance, args: Args): Value;
  get?(run: Allowance, name: string): Value | undefined;
  set?(run: Allowance, name: string, value: Value): void;
  items?(run: Allowance): Iterator<Value>;
  length?(run: Allowance): number;
}

/** What a call gives to a function. */
export interface Args {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
  /** The names that came by `**`, with the origin of each; all others stand in the template. */
  readonly keywords?: ReadonlyMap<string, Text>;
}

export const none: Value = { kind: "none", fromCaller: false };
export const yes: Value = { kind: "bool", value: true, fromCaller: false };
export const no: Value = { kind: "bool", value: false, fromCaller: false };
export const toBool = (value: boolean): Value => (value ? yes : no);

export function makeInt(run: Allowance, value: bigint | number, fromCaller = false): Int {
  run.take(16);
  return { kind: "int", value: BigInt(value), fromCaller };
}

export function makeFloat(run: Allowance, value: number, fromCaller = false): Float {
  run.take(16);
  return { kind: "float", value, fromCaller };
}

export function makeList(run: Allowance, items: readonly Value[], fromCaller = false): List {
  run.take(24 + 4 * items.length);
  return { kind: "list", items, fromCaller };
}

export function makeTuple(run: Allowance, items: readonly Value[], fromCaller = false): List {
  run.take(24 + 4 * items.length);
  return { kind: "tuple", items, fromCaller };
}

export function makeDict(run: Allowance, pairs: Iterable<readonly [Value, Value]>, fromCaller = false): Dict {
  run.take(24);
  const entries = new Map<unknown, readonly [Value, Value]>();
  for (const [key, value] of pairs) {
    run.take(48);
    const hash = hashKey(run, key);
    // As in Python, the first of equal keys stays and the last of their values.
    entries.set(hash, [entries.get(hash)?.[0] ?? key, value]);
  }
  return { kind: "dict", entries, fromCaller };
}

export function makeIter(run: Allowance, items: Iterator<Value>, type = "generator"): Iter {
  run.take(24);
  return { kind: "iterator", type, items };
}

export const makeUndefined = (message: string): Undefined => ({ kind: "undefined", message });

export function makeFunction(name: string, call: NonNullable<Thing["call"]>, type = "function"): Thing {
  return { kind: "thing", type, print: (run) => plainText(run, `<${type} ${name}>`), call };
}

/** Python's name of a value's type. */
export function typeName(value: Value): string {
  switch (value.kind) {
    case "none":
      return "NoneType";
    case "undefined":
      return "Undefined";
    case "view":
      return `dict_${value.of}`;
    case "str":
      return value.markup ? "Markup" : "str";
    case "iterator":
    case "thing":
      return value.type;
    default:
      return value.kind;
  }
}

export function isTrue(run: Allowance, value: Value): boolean {
  switch (value.kind) {
    case "none":
      return false;
    case "undefined":
      return run.strict && fault(value.message);
    case "bool":
      return value.value;
    case "int":
      return value.value !== 0n;
    case "float":
      return value.value !== 0;
    case "iterator":
      return true;
    case "thing":
      return value.length === undefined || value.length(run) > 0;
    case "str":
      return value.value !== "";
    default:
      return sizeOf(value) > 0;
  }
}

export function sizeOf(value: List | Dict | View | Range): number {
  if (value.kind === "range") return value.length;
  if (value.kind === "dict") return value.entries.size;
  return value.kind === "view" ? value.dict.entries.size : value.items.length;
}

/** A number's value, where booleans count as numbers. */
export function numberOf(value: Value): bigint | number | undefined {
  if (value.kind === "int" || value.kind === "float") return value.value;
  return value.kind === "bool" ? (value.value ? 1n : 0n) : undefined;
}

/** @throws GrokError for an integer beyond all floats. */
export function toFloat(value: bigint | number): number {
  const float = Number(value);
  if (typeof value === "bigint" && !Number.isFinite(float)) fault("int too large to convert to float");
  return float;
}

/** Numbers of two types, compared exactly: negative, 0, positive, or NaN. */
export function compareNumbers(a: bigint | number, b: bigint | number): number {
  return a < b ? -1 : a > b ? 1 : a >= b ? 0 : Number.NaN;
}

export function equals(run: Allowance, a: Value, b: Value): boolean {
  run.step();
  if (a === b) return a.kind !== "float" || !Number.isNaN(a.value);
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== undefined || right !== undefined) {
    return left !== undefined && right !== undefined && compareNumbers(left, right) === 0;
  }
  if (a.kind === "str" && b.kind === "str") {
    run.step(Math.min(a.value.length, b.value.length) >> 5);
    return a.value === b.value;
  }
  if (a.kind === "none" || a.kind === "undefined") return a.kind === b.kind;
  if (a.kind === "range" && b.kind === "range") {
    if (a.length !== b.length || a.length === 0) return a.length === b.length;
    return a.start === b.start && (a.length === 1 || a.step === b.step);
  }
  run.enter();
  const same = (x: Value, y: Value) => x === y || equals(run, x, y);
  let result = false;
  if ((a.kind === "list" || a.kind === "tuple") && a.kind === b.kind) {
    result = a.items.length === b.items.length && a.items.every((item, index) => same(item, b.items[index]!));
  } else if (a.kind === "dict" && b.kind === "dict") {
    result =
      a.entries.size === b.entries.size &&
      [...a.entries].every(([hash, [, value]]) => {
        const other = b.entries.get(hash);
        return other !== undefined && same(value, other[1]);
      });
  } else if (a.kind === "view" && b.kind === "view" && a.of === b.of && a.of !== "values") {
    const { of, dict } = a;
    result =
      dict.entries.size === b.dict.entries.size &&
      [...dict.entries].every(([hash, [, value]]) => {
        const other = b.dict.entries.get(hash);
        return other !== undefined && (of === "keys" || same(value, other[1]));
      });
  }
  run.leave();
  return result;
}

/** What a dictionary finds a key by: equal for equal values, 1, 1.0 and true among them. */
export function hashKey(run: Allowance, value: Value): unknown {
  const number = numberOf(value);
  if (number !== undefined) return typeof number === "number" && Number.isInteger(number) ? BigInt(number) : number;
  switch (value.kind) {
    case "none":
      return null;
    case "str":
      run.step(1 + (value.value.length >> 5));
      // Strings that begin with \0 stand apart from what tuples become.
      return value.value.startsWith("\0") ? `\0${value.value}` : value.value;
    case "undefined":
      return undefined;
    case "tuple": {
      run.enter();
      const parts = value.items.map((item) => {
        const hash = hashKey(run, item);
        return typeof hash === "object" && hash !== null ? fault("a tuple with such items cannot be a key") : hash;
      });
      run.leave();
      const text = parts.map((hash) => `${typeof hash} ${String(hash).length} ${String(hash)}`).join(",");
      run.take(text.length);
      return `\0tuple ${text}`;
    }
    case "list":
    case "dict":
    case "view":
      return fault(`unhashable type: '${typeName(value)}'`);
    case "range":
      return `\0range ${value.length && value.start} ${value.length > 1 && value.step} ${value.length}`;
    default:
      return value;
  }
}

export function getEntry(run: Allowance, dict: Dict, key: Value): Value | undefined {
  return dict.entries.get(hashKey(run, key))?.[1];
}

/** An entry by a name that the template or this program wrote. */
export const getNamed = (dict: Dict, name: string): Value | undefined => dict.entries.get(name)?.[1];
