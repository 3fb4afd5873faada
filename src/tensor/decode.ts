import { type AddonEncoder, loadAddon } from "../addon.ts";
import { GrokError } from "../errors.ts";
import type { Codec } from "./codec.ts";
import { bf16 } from "./types/bf16.ts";
import { f16 } from "./types/f16.ts";
import { f32 } from "./types/f32.ts";
import { iq1_m } from "./types/iq1-m.ts";
import { iq1_s } from "./types/iq1-s.ts";
import { iq2_s } from "./types/iq2-s.ts";
import { iq2_xs } from "./types/iq2-xs.ts";
import { iq2_xxs } from "./types/iq2-xxs.ts";
import { iq3_s } from "./types/iq3-s.ts";
import { iq3_xxs } from "./types/iq3-xxs.ts";
import { iq4_nl } from "./types/iq4-nl.ts";
import { iq4_xs } from "./types/iq4-xs.ts";
import { mxfp4 } from "./types/mxfp4.ts";
import { f64, i8, i16, i32, i64 } from "./types/numbers.ts";
import { nvfp4 } from "./types/nvfp4.ts";
import { q2_k } from "./types/q2-k.ts";
import { q3_k } from "./types/q3-k.ts";
import { q4_0 } from "./types/q4-0.ts";
import { q4_1 } from "./types/q4-1.ts";
import { q4_k } from "./types/q4-k.ts";
import { q5_0 } from "./types/q5-0.ts";
import { q5_1 } from "./types/q5-1.ts";
import { q5_k } from "./types/q5-k.ts";
import { q6_k } from "./types/q6-k.ts";
import { q8_0 } from "./types/q8-0.ts";
import { tq1_0 } from "./types/tq1-0.ts";
import { tq2_0 } from "./types/tq2-0.ts";
import { encodedBytes, type TensorType, tensorTypes } from "./types.ts";

/** Every type that grok1 computes with. Types missing here can be inspected and copied, not run. */
const codecs: Partial<Record<TensorType, Codec>> = {
  f32,
  f16,
  bf16,
  f64,
  i8,
  i16,
  i32,
  i64,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq1_s,
  iq1_m,
  iq2_xxs,
  iq2_xs,
  iq2_s,
  iq3_xxs,
  iq3_s,
  iq4_nl,
  iq4_xs,
  tq1_0,
  tq2_0,
  mxfp4,
  nvfp4,
};

/** The largest magnitude that a type rounds to a number: past it f16's scales, or the format's own numbers, end. */
export function largestOf(type: TensorType): number {
  if (type === "f32") return 3.4028235e38;
  return type === "bf16" ? 3.3895e38 : 65504;
}

/** Whether {@link decodeRow} knows a type. */
export function canDecode(type: TensorType): boolean {
  return codecs[type] !== undefined;
}

/** Whether {@link encodeRow} knows a type. */
export function canEncode(type: TensorType): boolean {
  return codecs[type]?.encode !== undefined || loadAddon().addon?.canEncode(tensorTypes[type].ggml) === true;
}

/**
 * Decodes whole blocks to float32: `out.length` elements from the bytes that hold just those. Values are the format's
 * definition evaluated in float32, bit for bit (a NaN scale gives NaN elements, of whatever payload).
 *
 * @throws GrokError `unsupported` for a type without a decoder; `argument` when bytes and elements do not match.
 */
export function decodeRow(type: TensorType, bytes: Uint8Array, out: Float32Array): void {
  const codec = codecs[type];
  if (codec === undefined) {
    throw new GrokError("unsupported", `tensor type ${type} cannot be decoded; known are ${known(canDecode)}`, {
      type,
    });
  }
  checkLengths(type, bytes.length, out.length);
  codec.decode(bytes, out);
}

/**
 * Encodes a row of float32 values, whole blocks of them. Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 round to nearest, with the same
 * bytes as ggml's reference. For the other block types scales are searched for, which only the addon does.
 *
 * @param out where to write, `encodedBytes(type, values.length)` bytes; a new array when left out.
 * @throws GrokError `unsupported` for a type without an encoder; `argument` when values do not fill whole blocks, when
 * `out` has the wrong length, or when a block type is given a value that is not finite or past 65504,
 * f16's largest: it would spoil its whole block.
 */
export function encodeRow(type: TensorType, values: Float32Array, out?: Uint8Array): Uint8Array {
  if (!canEncode(type)) refuseEncoding(type);
  const { blockSize } = tensorTypes[type];
  if (blockSize > 1) {
    const bad = values.findIndex((value) => !(Math.abs(value) <= largestOf(type)));
    if (bad >= 0) refuseValue(type, values, bad);
  }
  const bytes = out ?? new Uint8Array(Math.ceil(values.length / blockSize) * tensorTypes[type].blockBytes);
  checkLengths(type, bytes.length, values.length);
  const { encode } = codecs[type] ?? {};
  if (encode !== undefined) encode(values, bytes);
  else if (values.length > 0) encodeNatively(oneThread(), type, values, values.length, nothingKnown, bytes);
  return bytes;
}

/** No column's importance. */
export const nothingKnown = new Float32Array(0);

/** Rows as bytes of a type. */
export interface EncodedRows {
  readonly type: TensorType;
  readonly bytes: Uint8Array;
}

/** Rows of `columns` values in another type, by the addon. @throws GrokError `argument` for a value that the type cannot hold. */
export function encodeNatively(
  encoder: AddonEncoder,
  type: TensorType,
  rows: Float32Array | EncodedRows,
  columns: number,
  importance: Float32Array,
  out: Uint8Array,
): void {
  const { type: from, bytes } =
    rows instanceof Float32Array
      ? { type: "f32" as const, bytes: new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength) }
      : rows;
  const { blockSize, blockBytes, ggml } = tensorTypes[type];
  const count = ((out.length / blockBytes) * blockSize) / columns;
  const bad = encoder.encode(tensorTypes[from].ggml, bytes, ggml, count, columns, importance, out);
  if (bad < 0) return;
  const values = rows instanceof Float32Array ? rows : new Float32Array(count * columns);
  if (values !== rows) decodeRow(from, bytes, values);
  refuseValue(type, values, bad);
}

let single: AddonEncoder | undefined;
function oneThread(): AddonEncoder {
  single ??= loadAddon().addon!.createEncoder(1, "best");
  return single;
}

export function refuseEncoding(type: TensorType): never {
  const state = loadAddon();
  const without = state.addon === undefined ? ` without the native addon (${state.reason})` : "";
  throw new GrokError("unsupported", `tensor type ${type} cannot be encoded${without}; known are ${known(canEncode)}`, {
    type,
  });
}

export function refuseValue(type: TensorType, values: Float32Array, index: number): never {
  throw new GrokError(
    "argument",
    `value ${index} is ${values[index]}: type ${type} holds numbers up to ${largestOf(type)}`,
    { type, index },
  );
}

function checkLengths(type: TensorType, bytes: number, elements: number): void {
  const { blockSize } = tensorTypes[type];
  if (elements % blockSize !== 0 || bytes !== encodedBytes(type, elements)) {
    const expected = (elements / blockSize) * tensorTypes[type].blockBytes;
    throw new GrokError(
      "argument",
      `${elements} elements of type ${type} (blocks of ${blockSize}) take ${expected} bytes, not ${bytes}`,
      { type, elements, bytes },
    );
  }
}

function known(can: (type: TensorType) => boolean): string {
  return (Object.keys(tensorTypes) as TensorType[]).filter(can).join(", ");
}
