import type { Codec } from "../codec.ts";
import { bf16FromF32Bits } from "../f16.ts";

/** BF16: the upper half of a float32, little-endian, two bytes an element. */
export const bf16: Codec = {
  decode(bytes, out) {
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
    for (let i = 0, at = 0; i < bits.length; i++, at += 2) bits[i] = (bytes[at]! << 16) | (bytes[at + 1]! << 24);
  },
  encode(values, out) {
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let i = 0, at = 0; i < bits.length; i++, at += 2) {
      const half = bf16FromF32Bits(bits[i]!);
      out[at] = half;
      out[at + 1] = half >>> 8;
    }
  },
};
