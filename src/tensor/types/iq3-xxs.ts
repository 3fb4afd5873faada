import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";
import { iq3xxsGrid } from "./grids.ts";
import { evenSigns, signOf } from "./signs.ts";

/**
 * IQ3_XXS: 256 elements in 98 bytes, 3.0625 bits each. Eight sub-blocks of 32, each eight entries of the grid with signs:
 * x = d * (2 scale + 1) / 4 * sign * grid.
 *
 *     0           d      f16
 *     2..65       grid   an entry for four elements
 *     66 + 4j     signs  of sub-block j, 32 bits, little-endian: bits 7i to 7i + 6 are the signs of elements 8i to 8i + 7, the
 *                        upper four bits the scale
 */
const size = 256;
const blockBytes = 98;

export const iq3_xxs: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at) / 4;
      for (let j = 0; j < 8; j++) {
        const sub = at + 66 + 4 * j;
        const packed = bytes[sub]! | (bytes[sub + 1]! << 8) | (bytes[sub + 2]! << 16) | (bytes[sub + 3]! << 24);
        const scale = d * (2 * (packed >>> 28) + 1);
        for (let i = 0; i < 8; i++) {
          const signs = evenSigns((packed >>> (7 * (i >> 1))) & 127);
          const entry = 4 * bytes[at + 2 + 8 * j + i]!;
          const first = o + 32 * j + 4 * i;
          for (let l = 0; l < 4; l++) {
            out[first + l] = scale * signOf(signs, 4 * (i & 1) + l) * iq3xxsGrid[entry + l]!;
          }
        }
      }
    }
  },
};
