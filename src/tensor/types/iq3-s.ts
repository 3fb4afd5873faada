import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";
import { iq3sGrid } from "./grids.ts";
import { signOf } from "./signs.ts";

/**
 * IQ3_S: 256 elements in 110 bytes, 3.4375 bits each. Eight sub-blocks of 32, each eight entries of the grid with signs:
 * x = d * (2 scale + 1) * sign * grid.
 *
 *     0         d       f16
 *     2..65     grid    lower eight bits of the entry of elements 4i to 4i + 3 in byte i
 *     66..73    high    bit i of byte j: ninth bit of entry 8j + i
 *     74..105   signs   of elements 8i to 8i + 7 in byte i
 *     106..109  scales  byte i: scale of sub-block 2i in its low nibble, of 2i + 1 in its high one
 */
const size = 256;
const blockBytes = 110;

export const iq3_s: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      for (let i = 0; i < 64; i++) {
        const scale = d * (2 * ((bytes[at + 106 + (i >> 4)]! >> (4 * ((i >> 3) & 1))) & 15) + 1);
        const signs = bytes[at + 74 + (i >> 1)]!;
        const high = (bytes[at + 66 + (i >> 3)]! >> (i & 7)) & 1;
        const entry = 4 * (bytes[at + 2 + i]! | (high << 8));
        for (let l = 0; l < 4; l++) out[o + 4 * i + l] = scale * signOf(signs, 4 * (i & 1) + l) * iq3sGrid[entry + l]!;
      }
    }
  },
};
