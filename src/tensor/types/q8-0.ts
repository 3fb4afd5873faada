import type { Codec } from "../codec.ts";
import { readF16, writeF16 } from "../f16.ts";
import { extreme, inverse, roundAway } from "./rounding.ts";

/**
 * Q8_0: 32 elements in 34 bytes, 8.5 bits each. x = d * q.
 *
 *     0      d      f16
 *     2..33  q      int8, element l in byte l
 */
const size = 32;
const blockBytes = 34;
const { fround } = Math;

export const q8_0: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      for (let l = 0; l < size; l++) out[o + l] = d * ((bytes[at + 2 + l]! << 24) >> 24);
    }
  },
  encode(values, out) {
    for (let at = 0, v = 0; v < values.length; at += blockBytes, v += size) {
      const d = fround(Math.abs(extreme(values, v, size)) / 127);
      const id = inverse(d);
      writeF16(out, at, d);
      for (let l = 0; l < size; l++) out[at + 2 + l] = roundAway(fround(values[v + l]! * id));
    }
  },
};
