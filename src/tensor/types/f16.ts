import type { Codec } from "../codec.ts";
import { f16AsF32Bits, f16FromF32Bits } from "../f16.ts";

/** F16: IEEE 754 binary16, little-endian, two bytes an element. */
export const f16: Codec = {
  decode(bytes, out) {
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
    for (let i = 0, at = 0; i < bits.length; i++, at += 2) bits[i] = f16AsF32Bits[bytes[at]! | (bytes[at + 1]! << 8)]!;
  },
  encode(values, out) {
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let i = 0, at = 0; i < bits.length; i++, at += 2) {
      const half = f16FromF32Bits(bits[i]!);
      out[at] = half;
      out[at + 1] = half >>> 8;
    }
  },
};
