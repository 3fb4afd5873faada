import type { Codec } from "../codec.ts";
import { readF16, writeF16 } from "../f16.ts";
import { inverse, range } from "./rounding.ts";

/**
 * Q5_1: 32 elements in 24 bytes, 6 bits each. x = d * q + m.
 *
 *     0      d      f16
 *     2      m      f16, the block's smallest element
 *     4..7   high   bit i (little-endian) is the fifth bit of element i
 *     8..23  low    byte l holds four bits of element l in its low nibble, of element l + 16 in its high one
 */
const size = 32;
const blockBytes = 24;
const { fround } = Math;

export const q5_1: Codec = {
  // Exact in a double until stored, as for Q4_1.
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      const m = readF16(bytes, at + 2);
      for (let l = 0; l < 16; l++) {
        const pair = bytes[at + 8 + l]!;
        const high = bytes[at + 4 + (l >> 3)]! >> (l & 7);
        const highSecond = bytes[at + 6 + (l >> 3)]! >> (l & 7);
        out[o + l] = d * ((pair & 15) | ((high & 1) << 4)) + m;
        out[o + 16 + l] = d * ((pair >> 4) | ((highSecond & 1) << 4)) + m;
      }
    }
  },
  encode(values, out) {
    for (let at = 0, v = 0; v < values.length; at += blockBytes, v += size) {
      const { low, high } = range(values, v, size);
      const d = fround(fround(high - low) / 31);
      const id = inverse(d);
      writeF16(out, at, d);
      writeF16(out, at + 2, low);
      out.fill(0, at + 4, at + 8);
      for (let l = 0; l < 16; l++) {
        const first = Math.min(31, fround(fround(fround(values[v + l]! - low) * id) + 0.5)) & 31;
        const second = Math.min(31, fround(fround(fround(values[v + 16 + l]! - low) * id) + 0.5)) & 31;
        out[at + 4 + (l >> 3)]! |= (first >> 4) << (l & 7);
        out[at + 6 + (l >> 3)]! |= (second >> 4) << (l & 7);
        out[at + 8 + l] = (first & 15) | (second << 4);
      }
    }
  },
};
