import { type Allowance, fault } from "./allowance.ts";
import { bind, toIndex, toOptionalIndex } from "./arguments.ts";
import { itemAt, iterate, lengthOf, toIterable } from "./iterate.ts";
import { countPoints } from "./points.ts";
import { represent } from "./printing.ts";
import { formatFields } from "./str-format.ts";
import { characters, pick, type Text } from "./text.ts";
import { callTextMethod, namedOf, refusedTextMethods, textMethods } from "./text-methods.ts";
import {
  type Args,
  type Dict,
  equals,
  getEntry,
  getNamed,
  type List,
  makeDict,
  makeFunction,
  makeInt,
  makeList,
  makeTuple,
  makeUndefined,
  none,
  toBool,
  typeName,
  type Value,
} from "./values.ts";

/** `value.name`: Python's attribute comes before an entry of that name. */
export function attribute(run: Allowance, value: Value, name: string): Value {
  if (value.kind === "undefined") return fault(value.message);
  return attributeOf(run, value, name) ?? entryNamed(value, name) ?? missing(run, value, name);
}

/** `value|attr(name)`: an attribute alone, and no entry of that name. */
export function attributeAlone(run: Allowance, value: Value, name: string): Value {
  if (value.kind === "undefined") return fault(value.message);
  return attributeOf(run, value, name) ?? missing(run, value, name);
}

/** `value[key]`: an entry comes before an attribute of that name. */
export function item(run: Allowance, value: Value, key: Value): Value {
  if (value.kind === "undefined") return fault(value.message);
  const found = entry(run, value, key);
  if (found !== undefined) return found;
  if (key.kind !== "str") return makeUndefined(`${typeName(value)} object has no element ${represent(run, key).value}`);
  return attributeOf(run, value, key.value) ?? missing(run, value, key.value);
}

function entryNamed(value: Value, name: string): Value | undefined {
  return value.kind === "dict" ? getNamed(value, name) : undefined;
}

function missing(run: Allowance, value: Value, name: string): Value {
  run.step();
  return makeUndefined(`'${typeName(value)} object' has no attribute '${name}'`);
}

function entry(run: Allowance, value: Value, key: Value): Value | undefined {
  switch (value.kind) {
    case "dict":
      return key.kind === "list" || key.kind === "dict" ? undefined : getEntry(run, value, key);
    case "list":
    case "tuple":
    case "range":
      return key.kind === "int" || key.kind === "bool" ? itemAt(run, value, toIndex(key)) : undefined;
    case "str": {
      if (key.kind !== "int" && key.kind !== "bool") return undefined;
      const length = countPoints(run, value.value);
      const place = toIndex(key) < 0 ? toIndex(key) + length : toIndex(key);
      return place >= 0 && place < length ? pick(run, value, place, 1, 1) : undefined;
    }
    default:
      return undefined;
  }
}

/** `value[start:stop:step]`. */
export function sliceOf(run: Allowance, value: Value, start: Value, stop: Value, step: Value): Value {
  if (value.kind === "undefined") return fault(value.message);
  if (value.kind !== "str" && value.kind !== "list" && value.kind !== "tuple" && value.kind !== "range") {
    return fault(
      value.kind === "dict" ? "unhashable type: 'slice'" : `'${typeName(value)}' object is not subscriptable`,
    );
  }
  const each = toOptionalIndex(step) ?? 1;
  if (each === 0) return fault("slice step cannot be zero");
  const length = value.kind === "str" ? countPoints(run, value.value) : lengthOf(run, value)!;
  const clamp = (index: number | undefined, otherwise: number): number => {
    if (index === undefined) return otherwise;
    const place = index < 0 ? index + length : index;
    return each > 0 ? Math.min(length, Math.max(0, place)) : Math.min(length - 1, Math.max(-1, place));
  };
  const from = clamp(toOptionalIndex(start), each > 0 ? 0 : length - 1);
  const to = clamp(toOptionalIndex(stop), each > 0 ? length : -1);
  const count = Math.max(0, Math.ceil((to - from) / each));
  run.step(count);
  if (value.kind === "str") return pick(run, value, count === 0 ? 0 : from, count, each);
  if (value.kind === "range") {
    const first = value.start + from * value.step;
    const by = value.step * each;
    return { kind: "range", start: first, stop: value.start + to * value.step, step: by, length: count };
  }
  run.take(4 * count);
  const items = Array.from({ length: count }, (_, index) => value.items[from + index * each]!);
  return value.kind === "list" ? makeList(run, items, value.fromCaller) : makeTuple(run, items, value.fromCaller);
}

/** Attributes that every Python object has, or its type; none is shown to a template. */
const hidden = /^__\w+__$/;
/** What would change a container that a template was given. */
const changing: Readonly<Record<string, ReadonlySet<string>>> = {
  dict: new Set(["clear", "pop", "popitem", "setdefault", "update"]),
  list: new Set(["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"]),
};

function attributeOf(run: Allowance, value: Value, name: string): Value | undefined {
  if (hidden.test(name) || changing[value.kind]?.has(name)) {
    return makeUndefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);
  }
  switch (value.kind) {
    case "str":
      return textMethod(run, value, name);
    case "dict":
      return name === "fromkeys" ? fault("dict.fromkeys is not supported") : methodOf(dictMethods, run, value, name);
    case "list":
    case "tuple": {
      const place = value.names?.indexOf(name) ?? -1;
      if (place >= 0) return value.items[place];
      return name === "copy" && value.kind === "tuple" ? undefined : methodOf(listMethods, run, value, name);
    }
    case "range":
      if (name === "start" || name === "stop" || name === "step") return makeInt(run, value[name]);
      return name === "count" || name === "index" ? fault(`range.${name} is not supported`) : undefined;
    case "view":
      return name === "mapping" || name === "isdisjoint"
        ? fault(`dict_${value.of}.${name} is not supported`)
        : undefined;
    case "int":
    case "bool":
    case "float":
      return numberAttribute(run, value, name);
    case "thing":
      return value.get?.(run, name);
    default:
      return undefined;
  }
}

function numberAttribute(
  run: Allowance,
  value: Extract<Value, { kind: "int" | "bool" | "float" }>,
  name: string,
): Value | undefined {
  if (name === "real") return value.kind === "bool" ? makeInt(run, Number(value.value)) : value;
  if (name === "is_integer" && value.kind === "float") {
    return makeFunction(name, () => toBool(Number.isInteger(value.value)));
  }
  const known =
    /^(imag|numerator|denominator|conjugate|as_integer_ratio|bit_length|bit_count|to_bytes|from_bytes|hex|fromhex)$/;
  return known.test(name) ? fault(`${typeName(value)}.${name} is not supported`) : undefined;
}

const built = "builtin_function_or_method";

function textMethod(run: Allowance, text: Text, name: string): Value | undefined {
  if (refusedTextMethods.has(name)) return fault(`str.${name} is not supported`);
  run.take(24);
  if (name === "format" || name === "format_map") {
    return makeFunction(name, (run, args) =>
      formatFields(run, text, name === "format" ? args : mapArgs(args), (run, value, key, byAttribute) => {
        if (typeof key === "number") return item(run, value, makeInt(run, key));
        return byAttribute ? attribute(run, value, key) : item(run, value, keyText(key));
      }),
    );
  }
  if (!Object.hasOwn(textMethods, name)) return undefined;
  return makeFunction(name, (run, args) => callTextMethod(run, text, name, args), built);
}

const keyText = (value: string): Text => ({ kind: "str", value, caller: [], markup: false });

function mapArgs(args: Args): Args {
  const [mapping] = bind("format_map", "/ mapping", args);
  return { positional: [], named: namedOf(mapping!) };
}

interface Method<T> {
  readonly parameters: string;
  call(run: Allowance, value: T, ...given: (Value | undefined)[]): Value;
}

function methodOf<T>(
  methods: Readonly<Record<string, Method<T>>>,
  run: Allowance,
  value: T,
  name: string,
): Value | undefined {
  if (!Object.hasOwn(methods, name)) return undefined;
  const { parameters, call } = methods[name]!;
  run.take(24);
  return makeFunction(name, (run, args) => call(run, value, ...bind(name, parameters, args)), built);
}

const dictMethods: Readonly<Record<string, Method<Dict>>> = {
  get: {
    parameters: "/ key default?",
    call: (run, dict, key, otherwise) => getEntry(run, dict, key!) ?? otherwise ?? none,
  },
  items: { parameters: "", call: (_, dict) => ({ kind: "view", of: "items", dict }) },
  keys: { parameters: "", call: (_, dict) => ({ kind: "view", of: "keys", dict }) },
  values: { parameters: "", call: (_, dict) => ({ kind: "view", of: "values", dict }) },
  copy: { parameters: "", call: (run, dict) => makeDict(run, dict.entries.values(), dict.fromCaller) },
};

const listMethods: Readonly<Record<string, Method<List>>> = {
  index: {
    parameters: "/ value start? stop?",
    call(run, list, value, start, stop) {
      const { length } = list.items;
      const place = (index: number) => (index < 0 ? Math.max(0, index + length) : Math.min(length, index));
      const to = place(toOptionalIndex(stop) ?? length);
      for (let at = place(toOptionalIndex(start) ?? 0); at < to; at++) {
        if (equals(run, list.items[at]!, value!)) return makeInt(run, at);
      }
      return fault(`${represent(run, value!).value} is not in ${list.kind}`);
    },
  },
  count: {
    parameters: "/ value",
    call: (run, list, value) => makeInt(run, list.items.filter((each) => equals(run, each, value!)).length),
  },
  copy: { parameters: "", call: (run, list) => makeList(run, [...list.items], list.fromCaller) },
};

/** `len(value)`. @throws GrokError for what has no length. */
export function length(run: Allowance, value: Value): number {
  if (value.kind === "str") return countPoints(run, value.value);
  return lengthOf(run, value) ?? fault(`object of type '${typeName(value)}' has no len()`);
}

/** `reversed(value)`, where Python has an order to reverse. */
export function reversed(run: Allowance, value: Value): Value[] | undefined {
  switch (value.kind) {
    case "str":
      return [...characters(run, value)].reverse();
    case "list":
    case "tuple":
    case "range":
    case "dict":
    case "view":
      return [...toIterable(iterate(run, value))].reverse();
    default:
      return undefined;
  }
}

/** `dict(...)`: of a mapping or of pairs, and of what is given by name. */
export function toDict(run: Allowance, { positional, named, keywords }: Args): Dict {
  if (positional.length > 1) return fault(`dict expected at most 1 argument, got ${positional.length}`);
  const pairs: (readonly [Value, Value])[] = [];
  const [first] = positional;
  if (first?.kind === "dict") pairs.push(...first.entries.values());
  else if (first !== undefined) {
    for (const pair of toIterable(iterate(run, first))) {
      const two = [...toIterable(iterate(run, pair))];
      if (two.length !== 2) return fault(`dictionary update sequence element has length ${two.length}; 2 is required`);
      pairs.push([two[0]!, two[1]!]);
    }
  }
  for (const [name, value] of named) pairs.push([keywords?.get(name) ?? keyText(name), value]);
  return makeDict(run, pairs);
}
