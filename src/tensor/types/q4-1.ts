import type { Codec } from "../codec.ts";
import { readF16, writeF16 } from "../f16.ts";
import { inverse, range } from "./rounding.ts";

/**
 * Q4_1: 32 elements in 20 bytes, 5 bits each. x = d * q + m.
 *
 *     0      d      f16
 *     2      m      f16, the block's smallest element
 *     4..19  q      byte l holds element l in its low nibble, element l + 16 in its high one
 */
const size = 32;
const blockBytes = 20;
const { fround } = Math;

export const q4_1: Codec = {
  // d * q (15 bits) plus m spans under 53 bits: exact in a double, so storing rounds once, as float32 arithmetic does.
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      const m = readF16(bytes, at + 2);
      for (let l = 0; l < 16; l++) {
        const pair = bytes[at + 4 + l]!;
        out[o + l] = d * (pair & 15) + m;
        out[o + 16 + l] = d * (pair >> 4) + m;
      }
    }
  },
  encode(values, out) {
    for (let at = 0, v = 0; v < values.length; at += blockBytes, v += size) {
      const { low, high } = range(values, v, size);
      const d = fround(fround(high - low) / 15);
      const id = inverse(d);
      writeF16(out, at, d);
      writeF16(out, at + 2, low);
      for (let l = 0; l < 16; l++) {
        const first = Math.min(15, fround(fround(fround(values[v + l]! - low) * id) + 0.5)) & 15;
        const second = Math.min(15, fround(fround(fround(values[v + 16 + l]! - low) * id) + 0.5)) & 15;
        out[at + 4 + l] = first | (second << 4);
      }
    }
  },
};
