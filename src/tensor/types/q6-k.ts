import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";

/**
 * Q6_K: 256 elements in 210 bytes, 6.5625 bits each. Sixteen sub-blocks of 16: x = d * scale * (q - 32).
 *
 *     0..127    low     of half h (128 elements): byte 64h + l holds elements l (low nibble) and l + 64 (high nibble)
 *     128..191  high    of half h: byte 32h + l holds the upper two bits of elements l, l + 32, l + 64, l + 96
 *     192..207  scales  int8, one a sub-block
 *     208       d       f16
 */
const size = 256;
const blockBytes = 210;

export const q6_k: Codec = {
  // 11 bits of d, 7 of the scale, 5 of q - 32: exact in 24.
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at + 208);
      for (let j = 0; j < 16; j++) {
        const scale = d * ((bytes[at + 192 + j]! << 24) >> 24);
        const half = j >> 3;
        const low = at + 64 * half + 16 * (j & 3);
        const lowShift = j & 4;
        const high = at + 128 + 32 * half + 16 * (j & 1);
        const highShift = j & 6;
        for (let l = 0; l < 16; l++) {
          const q = ((bytes[low + l]! >> lowShift) & 15) | (((bytes[high + l]! >> highShift) & 3) << 4);
          out[o + 16 * j + l] = scale * (q - 32);
        }
      }
    }
  },
};
