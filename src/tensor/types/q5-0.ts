import type { Codec } from "../codec.ts";
import { readF16, writeF16 } from "../f16.ts";
import { extreme, inverse } from "./rounding.ts";

/**
 * Q5_0: 32 elements in 22 bytes, 5.5 bits each. x = d * (q - 16).
 *
 *     0      d      f16
 *     2..5   high   bit i (little-endian) is the fifth bit of element i
 *     6..21  low    byte l holds four bits of element l in its low nibble, of element l + 16 in its high one
 */
const size = 32;
const blockBytes = 22;
const { fround } = Math;

export const q5_0: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      for (let l = 0; l < 16; l++) {
        const pair = bytes[at + 6 + l]!;
        const high = bytes[at + 2 + (l >> 3)]! >> (l & 7);
        const highSecond = bytes[at + 4 + (l >> 3)]! >> (l & 7);
        out[o + l] = d * (((pair & 15) | ((high & 1) << 4)) - 16);
        out[o + 16 + l] = d * (((pair >> 4) | ((highSecond & 1) << 4)) - 16);
      }
    }
  },
  encode(values, out) {
    for (let at = 0, v = 0; v < values.length; at += blockBytes, v += size) {
      const d = fround(extreme(values, v, size) / -16);
      const id = inverse(d);
      writeF16(out, at, d);
      out.fill(0, at + 2, at + 6);
      for (let l = 0; l < 16; l++) {
        const first = Math.min(31, fround(fround(values[v + l]! * id) + 16.5)) & 31;
        const second = Math.min(31, fround(fround(values[v + 16 + l]! * id) + 16.5)) & 31;
        out[at + 2 + (l >> 3)]! |= (first >> 4) << (l & 7);
        out[at + 4 + (l >> 3)]! |= (second >> 4) << (l & 7);
        out[at + 6 + l] = (first & 15) | (second << 4);
      }
    }
  },
};
