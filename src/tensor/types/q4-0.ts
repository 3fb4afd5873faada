import type { Codec } from "../codec.ts";
import { readF16, writeF16 } from "../f16.ts";
import { extreme, inverse } from "./rounding.ts";

/**
 * Q4_0: 32 elements in 18 bytes, 4.5 bits each. x = d * (q - 8).
 *
 *     0      d      f16
 *     2..17  q      byte l holds element l in its low nibble, element l + 16 in its high one
 */
const size = 32;
const blockBytes = 18;
const { fround } = Math;

export const q4_0: Codec = {
  // d has 11 significant bits and q - 8 has 4: the product is exact, and stored with at most one rounding.
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      for (let l = 0; l < 16; l++) {
        const pair = bytes[at + 2 + l]!;
        out[o + l] = d * ((pair & 15) - 8);
        out[o + 16 + l] = d * ((pair >> 4) - 8);
      }
    }
  },
  // The element of largest magnitude maps to q = 0, so its sign decides that of d.
  encode(values, out) {
    for (let at = 0, v = 0; v < values.length; at += blockBytes, v += size) {
      const d = fround(extreme(values, v, size) / -8);
      const id = inverse(d);
      writeF16(out, at, d);
      for (let l = 0; l < 16; l++) {
        const low = Math.min(15, fround(fround(values[v + l]! * id) + 8.5)) & 15;
        const high = Math.min(15, fround(fround(values[v + 16 + l]! * id) + 8.5)) & 15;
        out[at + 2 + l] = low | (high << 4);
      }
    }
  },
};
