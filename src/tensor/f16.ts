/**
 * The two 16-bit float formats, exactly.
 *
 * - f16, IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits; subnormals down to 2^-24, largest 65504.
 * - bf16: the upper half of a float32: 1 sign, 8 exponent, 7 fraction bits.
 *
 * Narrowing rounds to nearest, ties to even. A NaN stays a (quiet) NaN of the same sign.
 */
const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The float32 value of every f16 bit pattern: `f16Values[bits]`. 256 KB, since scales are looked up once a block. */
export const f16Values: Float32Array = new Float32Array(65536);
/** The float32 bit patterns of {@link f16Values}: NaN payloads survive where they are copied as integers. */
export const f16AsF32Bits: Uint32Array = new Uint32Array(f16Values.buffer);

for (let half = 0; half < 65536; half++) {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 0) {
    f16Values[half] = fraction * 2 ** -24;
    f16AsF32Bits[half]! |= sign;
  } else {
    f16AsF32Bits[half] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
  }
}

/** f16 bits of the float32 with bit pattern `pattern`. */
export function f16FromF32Bits(pattern: number): number {
  const sign = (pattern >>> 16) & 0x8000;
  const magnitude = pattern & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 1023);
  // From 65520 up, half a step above the largest number, it rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13);
  }
  // Up to and with 2^-25, half the smallest subnormal, it rounds to zero (zero is even).
  if (magnitude <= 0x33000000) return sign;
  const shift = 126 - (magnitude >>> 23);
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const quotient = significand >>> shift;
  const rest = significand & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (quotient + (rest > half || (rest === half && (quotient & 1) === 1) ? 1 : 0));
}

/** bf16 bits of the float32 with bit pattern `pattern`. */
export function bf16FromF32Bits(pattern: number): number {
  if ((pattern & 0x7fffffff) > 0x7f800000) return (pattern >>> 16) | 0x40;
  return ((pattern >>> 0) + 0x7fff + ((pattern >>> 16) & 1)) >>> 16;
}

/** f16 bits nearest to `value`, which is first rounded to float32. */
export function toF16(value: number): number {
  float[0] = value;
  return f16FromF32Bits(bits[0]!);
}

/** The f16 value stored little-endian at `bytes[at]`. */
export function readF16(bytes: Uint8Array, at: number): number {
  return f16Values[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** Stores `value` as little-endian f16 at `bytes[at]`. */
export function writeF16(bytes: Uint8Array, at: number, value: number): void {
  const half = toF16(value);
  bytes[at] = half;
  bytes[at + 1] = half >>> 8;
}
