import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";

/**
 * TQ2_0: 256 elements in 66 bytes, 2.0625 bits each. x = d * (q - 1), q of 0 to 3.
 *
 *     0..63  q  of half h (128 elements): byte 32h + l holds elements l, l + 32, l + 64, l + 96, two bits each
 *     64     d  f16
 */
const size = 256;
const blockBytes = 66;

export const tq2_0: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at + 64);
      for (let i = 0; i < size; i++) {
        const q = (bytes[at + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
        out[o + i] = d * (q - 1);
      }
    }
  },
};
