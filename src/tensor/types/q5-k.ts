import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";
import { readMin, readScale } from "./k-scales.ts";

/**
 * Q5_K: 256 elements in 176 bytes, 5.5 bits each. Eight sub-blocks of 32: x = d * scale * q - dmin * min.
 *
 *     0        d       f16
 *     2        dmin    f16
 *     4..15    scales  see k-scales.ts
 *     16..47   high    bit j of byte l is the fifth bit of element 32j + l
 *     48..175  low     four bits an element, as q of Q4_K
 */
const size = 256;
const blockBytes = 176;

export const q5_k: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      const dmin = readF16(bytes, at + 2);
      for (let j = 0; j < 8; j++) {
        const scale = d * readScale(bytes, at + 4, j);
        const min = dmin * readMin(bytes, at + 4, j);
        const low = at + 48 + 32 * (j >> 1);
        const shift = 4 * (j & 1);
        for (let l = 0; l < 32; l++) {
          const fifth = (bytes[at + 16 + l]! >> j) & 1;
          out[o + 32 * j + l] = scale * (((bytes[low + l]! >> shift) & 15) | (fifth << 4)) - min;
        }
      }
    }
  },
};
