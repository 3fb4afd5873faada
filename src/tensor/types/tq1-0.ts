import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";

/**
 * TQ1_0: 256 elements in 54 bytes, 1.6875 bits each. x = d * (q - 1), q of 0 to 2.
 *
 *     0..31   q  of elements 0 to 159: byte l holds elements l, l + 32, ..., l + 128
 *     32..47  q  of elements 160 to 239: byte l holds elements l, l + 16, ..., l + 64 of them
 *     48..51  q  of elements 240 to 255: byte l holds elements l, l + 4, ..., l + 12 of them
 *     52      d  f16
 *
 * A byte is a fraction of 256, and its elements are the fraction's digits in base 3, the first one first.
 */
const blockBytes = 54;

/** Bytes, and digits of each, of the three parts. */
const parts = [
  { first: 0, count: 32, digits: 5 },
  { first: 32, count: 16, digits: 5 },
  { first: 48, count: 4, digits: 4 },
] as const;

export const tq1_0: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes) {
      const d = readF16(bytes, at + 52);
      for (const { first, count, digits } of parts) {
        for (let n = 0, power = 1; n < digits; n++, power *= 3) {
          for (let l = 0; l < count; l++) {
            const rest = (bytes[at + first + l]! * power) & 255;
            out[o++] = d * (((rest * 3) >> 8) - 1);
          }
        }
      }
    }
  },
};
