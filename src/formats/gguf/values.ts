import { type Cursor, formatError, need, readU32, readU64, u32At, u64At } from "./cursor.ts";

/** The types of metadata values, after the GGUF specification's `gguf_metadata_value_type`; the index is the number in the file. */
export const valueTypes = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;

export type ValueType = (typeof valueTypes)[number];
export type NumberType = Exclude<ValueType, "bool" | "string" | "array">;

/** Bytes of one value of each type of fixed size. */
export const valueBytes: Readonly<Record<Exclude<ValueType, "string" | "array">, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  u64: 8,
  i64: 8,
  f64: 8,
};

export type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

/**
 * A decoded value. 64-bit integers are numbers where exact, bigint otherwise; an array of them is a Float64Array where
 * all are exact. Bytes of a string that are not UTF-8 read as U+FFFD: `byteStrings` has them as they are.
 */
export type Value = number | bigint | boolean | string | ArrayValue;
export type ArrayValue = NumberArray | BigUint64Array | BigInt64Array | readonly Value[];

/** How deep arrays may lie in arrays. Files in use have none in another. */
export const maxArrayDepth = 8;

/** Passes over one value, checking every count against the bytes that are left. Takes no memory beyond the header's own. */
export function skipValue(cursor: Cursor, type: ValueType, depth = 0): void {
  const { path } = cursor.file;
  if (type === "string") {
    skipString(cursor);
    return;
  }
  if (type !== "array") {
    need(cursor, valueBytes[type], `a value of type ${type}`);
    if (type === "bool") checkBooleans(cursor, 1);
    cursor.at += valueBytes[type];
    return;
  }
  const start = cursor.at;
  if (depth === maxArrayDepth) throw formatError(path, start, `arrays are nested more than ${maxArrayDepth} deep`);
  const items = readValueType(cursor);
  const count = readU64(cursor, "an array's length");
  // The shortest string is its length, the shortest array its type and length.
  const least = items === "string" ? 8 : items === "array" ? 12 : valueBytes[items];
  if (count * least > cursor.file.size - cursor.at) {
    const left = cursor.file.size - cursor.at;
    throw formatError(
      path,
      start,
      `an array of ${count} values of type ${items} does not fit in the ${left} bytes left`,
      { count, left },
    );
  }
  if (items === "string") {
    skipStrings(cursor, count);
  } else if (items === "array") {
    for (let i = 0; i < count; i++) skipValue(cursor, "array", depth + 1);
  } else {
    need(cursor, count * least, `an array of ${count} values of type ${items}`);
    if (items === "bool") checkBooleans(cursor, count);
    cursor.at += count * least;
  }
}

/** A vocabulary has a hundred thousand: those that are read already are passed over in one loop without calls. */
function skipStrings(cursor: Cursor, count: number): void {
  for (let left = count; left > 0; ) {
    const { bytes } = cursor;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let { at } = cursor;
    for (; left > 0 && at + 8 <= bytes.length && view.getUint32(at + 4, true) === 0; left--) {
      const next = at + 8 + view.getUint32(at, true);
      if (next > bytes.length) break;
      at = next;
    }
    cursor.at = at;
    if (left-- > 0) skipString(cursor);
  }
}

function skipString(cursor: Cursor): void {
  const length = readU64(cursor, "a string's length");
  need(cursor, length, "a string");
  cursor.at += length;
}

function checkBooleans(cursor: Cursor, count: number): void {
  for (let at = cursor.at; at < cursor.at + count; at++) {
    if (cursor.bytes[at]! > 1)
      throw formatError(cursor.file.path, at, `a bool is ${cursor.bytes[at]}, expected 0 or 1`);
  }
}

export function readValueType(cursor: Cursor): ValueType {
  const at = cursor.at;
  const number = readU32(cursor, "a value's type");
  const type = valueTypes[number];
  if (!type)
    throw formatError(cursor.file.path, at, `value type ${number} is not one of 0 to ${valueTypes.length - 1}`);
  return type;
}

/** Decodes the checked value at `at`. */
export function decodeValue(bytes: Uint8Array, type: ValueType, at: number): Value {
  if (type === "array") return decodeArray(bytes, at).value;
  if (type === "string") return decodeText(bytes, at + 8, at + 8 + u64At(bytes, at));
  return decodeScalar(new DataView(bytes.buffer, bytes.byteOffset), type, at);
}

function decodeScalar(
  view: DataView,
  type: Exclude<ValueType, "string" | "array">,
  at: number,
): number | bigint | boolean {
  switch (type) {
    case "u8":
      return view.getUint8(at);
    case "i8":
      return view.getInt8(at);
    case "u16":
      return view.getUint16(at, true);
    case "i16":
      return view.getInt16(at, true);
    case "u32":
      return view.getUint32(at, true);
    case "i32":
      return view.getInt32(at, true);
    case "f32":
      return view.getFloat32(at, true);
    case "f64":
      return view.getFloat64(at, true);
    case "bool":
      return view.getUint8(at) === 1;
    case "u64":
      return exactNumber(view.getBigUint64(at, true));
    case "i64":
      return exactNumber(view.getBigInt64(at, true));
  }
}

function exactNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function decodeText(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8", start, end);
}

/** What stands before an array's values: their type and count. */
export function arrayHead(bytes: Uint8Array, at: number): { items: ValueType; count: number; at: number } {
  return { items: valueTypes[u32At(bytes, at)]!, count: u64At(bytes, at + 4), at: at + 12 };
}

/** Decodes the first `limit` values of the checked array at `at`; `end` is where the decoded part ends. */
export function decodeArray(
  bytes: Uint8Array,
  at: number,
  limit = Number.POSITIVE_INFINITY,
): { value: ArrayValue; end: number } {
  const head = arrayHead(bytes, at);
  const { items } = head;
  const count = Math.min(head.count, limit);
  if (items === "string") {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const value = new Array<string>(count);
    let place = head.at;
    for (let i = 0; i < count; i++) {
      const end = place + 8 + u64At(bytes, place);
      value[i] = buffer.toString("utf8", place + 8, end);
      place = end;
    }
    return { value, end: place };
  }
  if (items === "array") {
    const value: Value[] = [];
    let place = head.at;
    for (let i = 0; i < count; i++) {
      const inner = decodeArray(bytes, place);
      value.push(inner.value);
      place = inner.end;
    }
    return { value, end: place };
  }
  const end = head.at + count * valueBytes[items];
  if (items === "bool") return { value: Array.from(bytes.subarray(head.at, end), (b) => b === 1), end };
  return { value: decodeNumbers(bytes, items, head.at, end), end };
}

function decodeNumbers(
  bytes: Uint8Array,
  type: NumberType,
  start: number,
  end: number,
): NumberArray | BigUint64Array | BigInt64Array {
  // Copied, because typed arrays ask for aligned places and values in the file lie anywhere.
  const buffer = bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + end) as ArrayBuffer;
  switch (type) {
    case "u8":
      return new Uint8Array(buffer);
    case "i8":
      return new Int8Array(buffer);
    case "u16":
      return new Uint16Array(buffer);
    case "i16":
      return new Int16Array(buffer);
    case "u32":
      return new Uint32Array(buffer);
    case "i32":
      return new Int32Array(buffer);
    case "f32":
      return new Float32Array(buffer);
    case "f64":
      return new Float64Array(buffer);
    case "u64":
      return exactNumbers(new BigUint64Array(buffer));
    case "i64":
      return exactNumbers(new BigInt64Array(buffer));
  }
}

function exactNumbers<T extends BigUint64Array | BigInt64Array>(values: T): T | Float64Array {
  const numbers = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    numbers[i] = Number(values[i]);
    if (!Number.isSafeInteger(numbers[i])) return values;
  }
  return numbers;
}

/** Views of the checked string array at `at`, byte for byte. */
export function decodeByteStrings(bytes: Uint8Array, at: number): Uint8Array[] {
  const head = arrayHead(bytes, at);
  const strings = new Array<Uint8Array>(head.count);
  let place = head.at;
  for (let i = 0; i < head.count; i++) {
    const end = place + 8 + u64At(bytes, place);
    strings[i] = bytes.subarray(place + 8, end);
    place = end;
  }
  return strings;
}
