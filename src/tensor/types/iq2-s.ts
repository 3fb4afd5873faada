import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";
import { iq2sGrid } from "./grids.ts";
import { signOf } from "./signs.ts";

/**
 * IQ2_S: 256 elements in 82 bytes, 2.5625 bits each. Sixteen sub-blocks of 16, each two entries of the grid with signs:
 * x = d * (2 scale + 1) / 8 * sign * grid.
 *
 *     0       d       f16
 *     2..33   grid    lower eight bits of the entry of elements 8i to 8i + 7 in byte i
 *     34..65  signs   of the same in byte i
 *     66..73  high    byte j: upper two bits of entries 4j to 4j + 3, from the lowest on
 *     74..81  scales  byte i: scale of sub-block 2i in its low nibble, of 2i + 1 in its high one
 */
const size = 256;
const blockBytes = 82;

export const iq2_s: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at) / 8;
      for (let i = 0; i < 32; i++) {
        const scale = d * (2 * ((bytes[at + 74 + (i >> 2)]! >> (2 * (i & 2))) & 15) + 1);
        const signs = bytes[at + 34 + i]!;
        const high = (bytes[at + 66 + (i >> 2)]! >> (2 * (i & 3))) & 3;
        const entry = 8 * (bytes[at + 2 + i]! | (high << 8));
        for (let l = 0; l < 8; l++) out[o + 8 * i + l] = scale * signOf(signs, l) * iq2sGrid[entry + l]!;
      }
    }
  },
};
