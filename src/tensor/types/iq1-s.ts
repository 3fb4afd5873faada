import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";
import { iq1Grid } from "./grids.ts";

/** How far the values of IQ1_S and IQ1_M lie beside -1, 0 and 1. */
export const iq1Shift = 1 / 8;

/**
 * IQ1_S: 256 elements in 50 bytes, 1.5625 bits each. Eight sub-blocks of 32, each four entries of the grid, all shifted to one
 * side: x = d * (2 scale + 1) * (grid ± 1/8).
 *
 *     0       d     f16
 *     2..33   grid  lower eight bits of the entry of elements 8i to 8i + 7 in byte i
 *     34..49  high  16 bits for sub-block j, little-endian: upper three bits of each entry, then three of the scale, then whether
 *                   values are shifted down
 */
const size = 256;
const blockBytes = 50;

export const iq1_s: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      for (let i = 0; i < 32; i++) {
        const sub = at + 34 + 2 * (i >> 2);
        const high = bytes[sub]! | (bytes[sub + 1]! << 8);
        const scale = d * (2 * ((high >> 12) & 7) + 1);
        const shift = high & 0x8000 ? -iq1Shift : iq1Shift;
        const entry = 8 * (bytes[at + 2 + i]! | (((high >> (3 * (i & 3))) & 7) << 8));
        for (let l = 0; l < 8; l++) out[o + 8 * i + l] = scale * (iq1Grid[entry + l]! + shift);
      }
    }
  },
};
