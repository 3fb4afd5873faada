import type { Codec } from "../codec.ts";
import { readF16, writeF16 } from "../f16.ts";
import { fitScale } from "./fit.ts";

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

const fits = new Float64Array(16);

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
  // The sub-block with the largest scale takes -128, the one value int8 has more on that side.
  encode(values, out) {
    for (let at = 0, v = 0; v < values.length; at += blockBytes, v += size) {
      let largest = 0;
      for (let j = 0; j < 16; j++) {
        fits[j] = fitScale(values, v + 16 * j, 16, 32);
        if (Math.abs(fits[j]!) > Math.abs(largest)) largest = fits[j]!;
      }
      out.fill(0, at, at + blockBytes);
      writeF16(out, at + 208, largest / -128);
      const d = readF16(out, at + 208);
      for (let j = 0; j < 16; j++) {
        const stored = d === 0 ? 0 : Math.max(-128, Math.min(127, Math.round(fits[j]! / d)));
        out[at + 192 + j] = stored;
        const scale = d * stored;
        const half = j >> 3;
        const low = at + 64 * half + 16 * (j & 3);
        const high = at + 128 + 32 * half + 16 * (j & 1);
        for (let l = 0; l < 16; l++) {
          const quant = scale === 0 ? 0 : Math.round(values[v + 16 * j + l]! / scale);
          const q = Math.max(-32, Math.min(31, quant)) + 32;
          out[low + l]! |= (q & 15) << (j & 4);
          out[high + l]! |= (q >> 4) << (j & 6);
        }
      }
    }
  },
};
