import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";
import { readMin, readScale } from "./k-scales.ts";

/**
 * Q4_K: 256 elements in 144 bytes, 4.5 bits each. Eight sub-blocks of 32: x = d * scale * q - dmin * min.
 *
 *     0        d       f16
 *     2        dmin    f16
 *     4..15    scales  see k-scales.ts
 *     16..143  q       of pair c (64 elements): byte 32c + l holds elements l (low nibble) and l + 32 (high nibble)
 */
const size = 256;
const blockBytes = 144;

export const q4_k: Codec = {
  // d * scale and dmin * min have 17 bits, times q 21: all exact in a double, rounded once when stored.
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      const dmin = readF16(bytes, at + 2);
      for (let j = 0; j < 8; j++) {
        const scale = d * readScale(bytes, at + 4, j);
        const min = dmin * readMin(bytes, at + 4, j);
        const q = at + 16 + 32 * (j >> 1);
        const shift = 4 * (j & 1);
        for (let l = 0; l < 32; l++) out[o + 32 * j + l] = scale * ((bytes[q + l]! >> shift) & 15) - min;
      }
    }
  },
};
