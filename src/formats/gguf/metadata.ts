import { GrokError } from "../../errors.ts";
import { type Cursor, formatError, readName, u64At } from "./cursor.ts";
import {
  arrayHead,
  decodeArray,
  decodeByteStrings,
  decodeValue,
  type NumberArray,
  readValueType,
  skipValue,
  type Value,
  type ValueType,
} from "./values.ts";

/**
 * A GGUF file's metadata by key. Values are checked when the file is opened and decoded when they are asked for, each
 * time anew, so a large vocabulary costs nothing until it is used.
 *
 * The typed getters throw GrokError `format`, naming file and key, when the key is absent and no fallback is given
 * (`undefined` is one too), or when its value is of another kind.
 */
export interface GgufMetadata {
  readonly size: number;
  /** In the file's order. */
  keys(): IterableIterator<string>;
  has(key: string): boolean;
  /** The type in the file; for an array also its items' type and their number. Undefined when absent. */
  typeOf(key: string): { type: ValueType; items?: ValueType; count?: number } | undefined;
  /** Undefined when absent. */
  get(key: string): Value | undefined;
  /** The first `limit` values of an array, without decoding the rest. */
  head(key: string, limit: number): readonly Value[];
  string(key: string): string;
  string<F>(key: string, fallback: F): string | F;
  number(key: string): number;
  number<F>(key: string, fallback: F): number | F;
  boolean(key: string): boolean;
  boolean<F>(key: string, fallback: F): boolean | F;
  strings(key: string): readonly string[];
  strings<F>(key: string, fallback: F): readonly string[] | F;
  numbers(key: string): NumberArray;
  numbers<F>(key: string, fallback: F): NumberArray | F;
  /** A string as it lies in the file, UTF-8 or not: a view of the header. */
  bytes(key: string): Uint8Array;
  /** An array of strings as they lie in the file, UTF-8 or not: views of the header. */
  byteStrings(key: string): readonly Uint8Array[];
  /** The value as it lies in the file, for writing it into another one unchanged. */
  encoded(key: string): EncodedValue;
}

/** A metadata value in the file's own encoding, without the type that stands before it. */
export interface EncodedValue {
  readonly type: ValueType;
  readonly encoded: Uint8Array;
}

interface Place {
  readonly type: ValueType;
  readonly start: number;
  readonly end: number;
}

/** The specification's limit for a key; tensor names may be as long, though it names 64. */
export const maxNameBytes = 65_535;

/** Passes over `count` keys and values, and gives what makes the metadata of them once the header is whole. */
export function readMetadata(cursor: Cursor, count: number): (header: Uint8Array) => GgufMetadata {
  const { path } = cursor.file;
  const places = new Map<string, Place>();
  for (let i = 0; i < count; i++) {
    const at = cursor.at;
    const key = readName(cursor, `metadata key ${i} of ${count}`, maxNameBytes);
    if (places.has(key)) throw formatError(path, at, `metadata key ${key} is there twice`, { key });
    const type = readValueType(cursor);
    const start = cursor.at;
    skipValue(cursor, type);
    places.set(key, { type, start, end: cursor.at });
  }
  return (header) => metadataOver(path, header, places);
}

function metadataOver(path: string, header: Uint8Array, places: ReadonlyMap<string, Place>): GgufMetadata {
  const typeName = ({ type, start }: Place) => (type === "array" ? `array of ${arrayHead(header, start).items}` : type);

  const require = (key: string, expected: string, fits: (place: Place) => boolean): Place => {
    const place = places.get(key);
    if (!place)
      throw new GrokError("format", `${path}: metadata key ${key} is missing, expected ${expected}`, {
        path,
        key,
        expected,
      });
    if (!fits(place)) throw wrongKind(key, expected, typeName(place));
    return place;
  };
  const wrongKind = (key: string, expected: string, found: string) =>
    new GrokError("format", `${path}: metadata key ${key} is ${found}, expected ${expected}`, {
      path,
      key,
      expected,
      found,
    });

  const isString = ({ type }: Place) => type === "string";
  const isStrings = ({ type, start }: Place) => type === "array" && arrayHead(header, start).items === "string";
  const decode = ({ type, start }: Place) => decodeValue(header, type, start);

  const number = (key: string): number => {
    const value = decode(require(key, "a number", ({ type }) => !["string", "bool", "array"].includes(type)));
    if (typeof value !== "number") throw wrongKind(key, "a number below 2^53", String(value));
    return value;
  };
  const numbers = (key: string): NumberArray => {
    const expected = "an array of numbers";
    const value = decode(
      require(key, expected, (place) => {
        return place.type === "array" && !["string", "bool", "array"].includes(arrayHead(header, place.start).items);
      }),
    );
    if (value instanceof BigUint64Array || value instanceof BigInt64Array) {
      throw wrongKind(key, "an array of numbers below 2^53", "an array with larger ones");
    }
    return value as NumberArray;
  };
  const string = (key: string) => decode(require(key, "a string", isString)) as string;
  const boolean = (key: string) => decode(require(key, "a bool", ({ type }) => type === "bool")) as boolean;
  const strings = (key: string) => decode(require(key, "an array of strings", isStrings)) as string[];

  // Whether a fallback was given, not whether it is undefined, decides: `string(key, undefined)` asks for "if it is there".
  const orFallback =
    <T>(getter: (key: string) => T) =>
    <F>(...[key, ...fallback]: [key: string, fallback?: F]): T | F =>
      fallback.length > 0 && !places.has(key) ? (fallback[0] as F) : getter(key);

  return {
    size: places.size,
    keys: () => places.keys(),
    has: (key) => places.has(key),
    typeOf(key) {
      const place = places.get(key);
      if (place?.type !== "array") return place && { type: place.type };
      const { items, count } = arrayHead(header, place.start);
      return { type: "array", items, count };
    },
    get(key) {
      const place = places.get(key);
      return place && decode(place);
    },
    head(key, limit) {
      const { start } = require(key, "an array", ({ type }) => type === "array");
      return Array.from<Value>(decodeArray(header, start, limit).value as ArrayLike<Value>);
    },
    string: orFallback(string),
    number: orFallback(number),
    boolean: orFallback(boolean),
    strings: orFallback(strings),
    numbers: orFallback(numbers),
    bytes(key) {
      const { start } = require(key, "a string", isString);
      return header.subarray(start + 8, start + 8 + u64At(header, start));
    },
    byteStrings: (key) => decodeByteStrings(header, require(key, "an array of strings", isStrings).start),
    encoded(key) {
      const { type, start, end } = require(key, "a value", () => true);
      return { type, encoded: header.subarray(start, end) };
    },
  };
}
