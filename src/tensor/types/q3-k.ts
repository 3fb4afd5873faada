import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";

/**
 * Q3_K: 256 elements in 110 bytes, 3.4375 bits each. Sixteen sub-blocks of 16: x = d * (scale - 32) * (q - 4).
 *
 *     0..31    high    bit b of byte l is the third bit of element 32b + l
 *     32..95   low     two bits an element, as q of Q2_K
 *     96..107  scales  6 bits each: of byte i < 8 the low nibble belongs to scale i, the high one to scale i + 8;
 *                      byte 8 + i holds the upper two bits of scales i, i + 4, i + 8, i + 12
 *     108      d       f16
 */
const size = 256;
const blockBytes = 110;

export const q3_k: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at + 108);
      for (let j = 0; j < 16; j++) {
        const low = (bytes[at + 96 + (j & 7)]! >> (4 * (j >> 3))) & 15;
        const high = (bytes[at + 104 + (j & 3)]! >> (2 * (j >> 2))) & 3;
        const scale = d * ((low | (high << 4)) - 32);
        const half = 16 * (j & 1);
        const q = at + 32 + 32 * (j >> 3) + half;
        const shift = j & 6;
        const bit = j >> 1;
        for (let l = 0; l < 16; l++) {
          const third = (bytes[at + half + l]! >> bit) & 1;
          out[o + 16 * j + l] = scale * (((bytes[q + l]! >> shift) & 3) + 4 * third - 4);
        }
      }
    }
  },
};
