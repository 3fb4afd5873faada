import { GrokError } from "../../errors.ts";
import type { EncodedValue } from "./metadata.ts";
import { maxArrayDepth, type NumberType, type ValueType, valueBytes, valueTypes } from "./values.ts";

/** A metadata value to be written, with the type it is to have in the file. A string may be given as bytes. */
export type GgufValue =
  | { readonly type: Exclude<NumberType, "u64" | "i64">; readonly value: number }
  | { readonly type: "u64" | "i64"; readonly value: number | bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string | Uint8Array }
  | GgufArray
  | EncodedValue;

export type GgufArray =
  | { readonly type: "array"; readonly items: NumberType; readonly value: ArrayLike<number | bigint> }
  | { readonly type: "array"; readonly items: "bool"; readonly value: ArrayLike<boolean> }
  | { readonly type: "array"; readonly items: "string"; readonly value: ArrayLike<string | Uint8Array> }
  | { readonly type: "array"; readonly items: "array"; readonly value: ArrayLike<GgufArray> };

/** Bytes appended one after the other. */
export interface ByteSink {
  u32(value: number): void;
  u64(value: number | bigint): void;
  string(value: string | Uint8Array): void;
  bytes(value: Uint8Array): void;
  /** What was appended so far: a view. */
  done(): Uint8Array;
}

export function createSink(): ByteSink {
  let buffer = Buffer.alloc(1 << 16);
  let length = 0;
  /** Makes room for `bytes` more; they begin at the offset given back, in what `buffer` is from now on. */
  const grow = (bytes: number) => {
    if (length + bytes > buffer.length) {
      const grown = Buffer.alloc(Math.max(2 * buffer.length, length + bytes));
      grown.set(buffer.subarray(0, length));
      buffer = grown;
    }
    length += bytes;
    return length - bytes;
  };
  const sink: ByteSink = {
    u32(value) {
      const at = grow(4);
      buffer.writeUInt32LE(value, at);
    },
    u64(value) {
      const at = grow(8);
      buffer.writeBigUInt64LE(BigInt(value), at);
    },
    bytes(value) {
      const at = grow(value.length);
      buffer.set(value, at);
    },
    string(value) {
      const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
      sink.u64(bytes.length);
      sink.bytes(bytes);
    },
    done: () => buffer.subarray(0, length),
  };
  return sink;
}

/** Appends a value's type and the value. @throws GrokError `argument` when the value is not one of its type. */
export function appendValue(sink: ByteSink, key: string, value: GgufValue): void {
  sink.u32(valueTypes.indexOf(value.type));
  if ("encoded" in value) sink.bytes(value.encoded);
  else if (value.type === "array") appendArray(sink, key, value, 1);
  else if (value.type === "string") sink.string(value.value);
  else sink.bytes(encodeScalars(key, value.type, [value.value]));
}

function appendArray(sink: ByteSink, key: string, array: GgufArray, depth: number): void {
  if (depth > maxArrayDepth)
    throw new GrokError("argument", `metadata key ${key}: arrays are nested more than ${maxArrayDepth} deep`, { key });
  sink.u32(valueTypes.indexOf(array.items));
  sink.u64(array.value.length);
  if (array.items === "array") {
    for (let i = 0; i < array.value.length; i++) appendArray(sink, key, array.value[i]!, depth + 1);
  } else if (array.items === "string") {
    for (let i = 0; i < array.value.length; i++) sink.string(array.value[i]!);
  } else {
    sink.bytes(encodeScalars(key, array.items, array.value));
  }
}

type ScalarType = Exclude<ValueType, "string" | "array">;

function encodeScalars(key: string, type: ScalarType, values: ArrayLike<number | bigint | boolean>): Uint8Array {
  const width = valueBytes[type];
  const bytes = new Uint8Array(values.length * width);
  const view = new DataView(bytes.buffer);
  const put = encoders[type];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!fits(type, value)) {
      throw new GrokError("argument", `metadata key ${key}: ${String(value)} is not a value of type ${type}`, {
        key,
        type,
      });
    }
    put(view, i * width, value as never);
  }
  return bytes;
}

const encoders: Readonly<Record<ScalarType, (view: DataView, at: number, value: never) => void>> = {
  u8: (view, at, value) => view.setUint8(at, value),
  i8: (view, at, value) => view.setInt8(at, value),
  u16: (view, at, value) => view.setUint16(at, value, true),
  i16: (view, at, value) => view.setInt16(at, value, true),
  u32: (view, at, value) => view.setUint32(at, value, true),
  i32: (view, at, value) => view.setInt32(at, value, true),
  f32: (view, at, value) => view.setFloat32(at, value, true),
  f64: (view, at, value) => view.setFloat64(at, value, true),
  bool: (view, at, value) => view.setUint8(at, value ? 1 : 0),
  u64: (view, at, value) => view.setBigUint64(at, BigInt(value), true),
  i64: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
};

function fits(type: ScalarType, value: number | bigint | boolean): boolean {
  if (type === "bool") return typeof value === "boolean";
  if (type === "f32" || type === "f64") return typeof value === "number";
  if (typeof value === "boolean" || (typeof value === "number" && !Number.isSafeInteger(value))) return false;
  const bits = 8n * BigInt(valueBytes[type]);
  const [low, high] = type.startsWith("u") ? [0n, 1n << bits] : [-(1n << (bits - 1n)), 1n << (bits - 1n)];
  return low <= BigInt(value) && BigInt(value) < high;
}
