import { GrokError } from "../../errors.ts";
import type { TensorType } from "../../tensor/types.ts";

/** Bits of one element of each dtype, after the reference implementation's list; and the tensor type it is, where there is one. */
const table = {
  BOOL: { bits: 8 },
  F4: { bits: 4 },
  F6_E2M3: { bits: 6 },
  F6_E3M2: { bits: 6 },
  U8: { bits: 8 },
  I8: { bits: 8, type: "i8" },
  F8_E5M2: { bits: 8 },
  F8_E4M3: { bits: 8 },
  F8_E8M0: { bits: 8 },
  F8_E4M3FNUZ: { bits: 8 },
  F8_E5M2FNUZ: { bits: 8 },
  I16: { bits: 16, type: "i16" },
  U16: { bits: 16 },
  F16: { bits: 16, type: "f16" },
  BF16: { bits: 16, type: "bf16" },
  I32: { bits: 32, type: "i32" },
  U32: { bits: 32 },
  F32: { bits: 32, type: "f32" },
  C64: { bits: 64 },
  F64: { bits: 64, type: "f64" },
  I64: { bits: 64, type: "i64" },
  U64: { bits: 64 },
} as const satisfies Record<string, { bits: number; type?: TensorType }>;

export type Dtype = keyof typeof table;

export const dtypes: Readonly<Record<Dtype, { readonly bits: number; readonly type?: TensorType }>> = table;

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(table, name);
}

export type Values =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/**
 * Elements decoded from the little-endian bytes that fill a buffer, which may go on in them. F16 and BF16 become float32, which holds them
 * exactly; BOOL becomes bytes of 0 and 1.
 *
 * @throws GrokError `unsupported` for 4-, 6- and 8-bit floats and complex numbers.
 */
export function decodeValues(dtype: Dtype, bytes: ArrayBuffer): Values {
  switch (dtype) {
    case "F32":
      return new Float32Array(bytes);
    case "F64":
      return new Float64Array(bytes);
    case "I8":
      return new Int8Array(bytes);
    case "U8":
    case "BOOL":
      return new Uint8Array(bytes);
    case "I16":
      return new Int16Array(bytes);
    case "U16":
      return new Uint16Array(bytes);
    case "I32":
      return new Int32Array(bytes);
    case "U32":
      return new Uint32Array(bytes);
    case "I64":
      return new BigInt64Array(bytes);
    case "U64":
      return new BigUint64Array(bytes);
    case "BF16":
      // The upper half of a float32.
      return new Float32Array(Uint32Array.from(new Uint16Array(bytes), (half) => half << 16).buffer);
    case "F16":
      return Float32Array.from(new Uint16Array(bytes), halfToFloat);
    default:
      throw new GrokError("unsupported", `values of dtype ${dtype} cannot be decoded`, { dtype });
  }
}

/** IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits. */
function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
