import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";

/**
 * Q2_K: 256 elements in 84 bytes, 2.625 bits each. Sixteen sub-blocks of 16: x = d * scale * q - dmin * min.
 *
 *     0..15   scales  byte j: scale of sub-block j in the low nibble, its min in the high one
 *     16..79  q       of half h (128 elements): byte 32h + l holds elements l, l + 32, l + 64, l + 96, two bits each
 *     80      d       f16
 *     82      dmin    f16
 */
const size = 256;
const blockBytes = 84;

export const q2_k: Codec = {
  // d * scale and dmin * min have 15 bits, times q 17: all exact in a double, rounded once when stored.
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at + 80);
      const dmin = readF16(bytes, at + 82);
      for (let j = 0; j < 16; j++) {
        const scales = bytes[at + j]!;
        const scale = d * (scales & 15);
        const min = dmin * (scales >> 4);
        const q = at + 16 + 32 * (j >> 3) + 16 * (j & 1);
        const shift = j & 6;
        for (let l = 0; l < 16; l++) out[o + 16 * j + l] = scale * ((bytes[q + l]! >> shift) & 3) - min;
      }
    }
  },
};
