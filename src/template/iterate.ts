import { type Allowance, fault } from "./allowance.ts";
import { characters, plainText, withMarkup } from "./text.ts";
import { makeInt, makeTuple, none, sizeOf, typeName, type Value } from "./values.ts";

/** The items of a value, each counted as a step. @throws GrokError for what cannot be iterated. */
export function iterate(run: Allowance, value: Value): Iterator<Value> {
  switch (value.kind) {
    case "str":
      return counted(run, characters(run, withMarkup(run, value, false)));
    case "list":
    case "tuple":
      return counted(run, value.items[Symbol.iterator]());
    case "dict":
      return counted(run, keysOf(value.entries));
    case "view":
      return counted(run, viewItems(run, value));
    case "range":
      return counted(run, rangeItems(run, value));
    case "iterator":
      return counted(run, value.items);
    case "undefined":
      return run.strict ? fault(value.message) : [][Symbol.iterator]();
    case "thing":
      if (value.items) return counted(run, value.items(run));
  }
  return fault(`'${typeName(value)}' object is not iterable`);
}

function* counted(run: Allowance, items: Iterator<Value>): Generator<Value> {
  for (let next = items.next(); !next.done; next = items.next()) {
    run.step();
    yield next.value;
  }
}

function* keysOf(entries: ReadonlyMap<unknown, readonly [Value, Value]>): Generator<Value> {
  for (const [key] of entries.values()) yield key;
}

function* viewItems(run: Allowance, { of, dict }: Extract<Value, { kind: "view" }>): Generator<Value> {
  for (const pair of dict.entries.values()) {
    yield of === "keys" ? pair[0] : of === "values" ? pair[1] : makeTuple(run, pair, dict.fromCaller);
  }
}

function* rangeItems(run: Allowance, { start, step, length }: Extract<Value, { kind: "range" }>): Generator<Value> {
  for (let i = 0; i < length; i++) yield makeInt(run, start + i * step);
}

export function toIterable(items: Iterator<Value>): Iterable<Value> {
  return { [Symbol.iterator]: () => items };
}

/** All items, as `list(value)`. */
export function listOf(run: Allowance, value: Value): Value[] {
  if (value.kind === "list" || value.kind === "tuple") {
    run.step(value.items.length);
    run.take(4 * value.items.length);
    return [...value.items];
  }
  const items: Value[] = [];
  for (const item of toIterable(iterate(run, value))) {
    run.take(4);
    items.push(item);
  }
  return items;
}

/** `len(value)` of what has one; text is counted by its own module. */
export function lengthOf(run: Allowance, value: Value): number | undefined {
  switch (value.kind) {
    case "list":
    case "tuple":
    case "dict":
    case "view":
    case "range":
      return sizeOf(value);
    case "undefined":
      return 0;
    case "thing":
      return value.length?.(run);
    default:
      return undefined;
  }
}

/** `value.items[index]` of a list, a tuple or a range; negative ones count from the end. */
export function itemAt(run: Allowance, value: Extract<Value, { kind: "list" | "tuple" | "range" }>, index: number) {
  const place = index < 0 ? index + sizeOf(value) : index;
  if (!(place >= 0 && place < sizeOf(value))) return undefined;
  return value.kind === "range" ? makeInt(run, value.start + place * value.step) : value.items[place];
}

/** Nested deeper than this, a caller's data is no message but a mistake. */
const deepest = 200;

/** Where data comes from. */
export interface Origin {
  readonly fromCaller: boolean;
  /** Texts that are the template's own all the same where an entry called `role` has them. */
  readonly roles: ReadonlySet<string>;
}

/** Data as template values. It widens the rendering's bounds by its size. */
export function fromData(run: Allowance, data: unknown, origin: Origin, depth = 0): Value {
  const { fromCaller, roles } = origin;
  if (depth > deepest) fault(`what it is given nests deeper than ${deepest} levels`);
  run.admit(typeof data === "string" ? 4 + data.length : 4);
  if (data === null) return fromCaller ? { kind: "none", fromCaller } : none;
  switch (typeof data) {
    case "string":
      return plainText(run, data, fromCaller);
    case "boolean":
      return { kind: "bool", value: data, fromCaller };
    case "bigint":
      return { kind: "int", value: data, fromCaller };
    case "number":
      // JSON does not tell 1 from 1.0: a whole number is an int, as it nearly always was.
      return Number.isSafeInteger(data) && !Object.is(data, -0)
        ? { kind: "int", value: BigInt(data), fromCaller }
        : { kind: "float", value: data, fromCaller };
    case "object": {
      if (Array.isArray(data)) {
        return { kind: "list", items: data.map((item) => fromData(run, item, origin, depth + 1)), fromCaller };
      }
      const entries = new Map<unknown, readonly [Value, Value]>();
      for (const [name, item] of Object.entries(data)) {
        if (item === undefined) continue;
        const own = name === "role" && typeof item === "string" && roles.has(item);
        const value = fromData(run, item, own ? { fromCaller: false, roles } : origin, depth + 1);
        entries.set(name.startsWith("\0") ? `\0${name}` : name, [plainText(run, name, fromCaller), value]);
      }
      return { kind: "dict", entries, fromCaller };
    }
  }
  return fault(`what it is given has a ${typeof data} in it`);
}
