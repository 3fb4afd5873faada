import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";
import { iq2xxsGrid } from "./grids.ts";
import { evenSigns, signOf } from "./signs.ts";

/**
 * IQ2_XXS: 256 elements in 66 bytes, 2.0625 bits each. Eight sub-blocks of 32, each four entries of the grid with signs:
 * x = d * (2 scale + 1) / 8 * sign * grid.
 *
 *     0          d      f16
 *     2 + 8j     grid   of sub-block j: four bytes, an entry each
 *     6 + 8j     signs  32 bits, little-endian: bits 7i to 7i + 6 are the signs of entry i, the upper four bits the scale
 */
const size = 256;
const blockBytes = 66;

export const iq2_xxs: Codec = {
  // 11 bits of d, 5 of the scale, 6 of the grid: exact in 24.
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at) / 8;
      for (let j = 0; j < 8; j++) {
        const sub = at + 2 + 8 * j;
        const packed = bytes[sub + 4]! | (bytes[sub + 5]! << 8) | (bytes[sub + 6]! << 16) | (bytes[sub + 7]! << 24);
        const scale = d * (2 * (packed >>> 28) + 1);
        for (let i = 0; i < 4; i++) {
          const signs = evenSigns((packed >>> (7 * i)) & 127);
          const entry = 8 * bytes[sub + i]!;
          const first = o + 32 * j + 8 * i;
          for (let l = 0; l < 8; l++) out[first + l] = scale * signOf(signs, l) * iq2xxsGrid[entry + l]!;
        }
      }
    }
  },
};
