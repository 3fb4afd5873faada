import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";
import { iq2xsGrid } from "./grids.ts";
import { evenSigns, signOf } from "./signs.ts";

/**
 * IQ2_XS: 256 elements in 74 bytes, 2.3125 bits each. Sixteen sub-blocks of 16, each two entries of the grid with signs:
 * x = d * (2 scale + 1) / 8 * sign * grid.
 *
 *     0       d       f16
 *     2..65   grid    16 bits for eight elements, little-endian: nine of the entry, above them seven of signs
 *     66..73  scales  byte i: scale of sub-block 2i in its low nibble, of 2i + 1 in its high one
 */
const size = 256;
const blockBytes = 74;

export const iq2_xs: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at) / 8;
      for (let i = 0; i < 32; i++) {
        const packed = bytes[at + 2 + 2 * i]! | (bytes[at + 3 + 2 * i]! << 8);
        const scale = d * (2 * ((bytes[at + 66 + (i >> 2)]! >> (2 * (i & 2))) & 15) + 1);
        const signs = evenSigns(packed >> 9);
        const entry = 8 * (packed & 511);
        for (let l = 0; l < 8; l++) out[o + 8 * i + l] = scale * signOf(signs, l) * iq2xsGrid[entry + l]!;
      }
    }
  },
};
