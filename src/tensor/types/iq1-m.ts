import type { Codec } from "../codec.ts";
import { f16Values } from "../f16.ts";
import { iq1Grid } from "./grids.ts";
import { iq1Shift } from "./iq1-s.ts";

/**
 * IQ1_M: 256 elements in 56 bytes, 1.75 bits each. Sixteen sub-blocks of 16, each two entries of the grid, every entry shifted to
 * a side of its own: x = d * (2 scale + 1) * (grid ± 1/8).
 *
 *     0..31   grid    lower eight bits of the entry of elements 8i to 8i + 7 in byte i
 *     32..47  high    byte j: of entries 2j and 2j + 1, a nibble each, the upper three bits, then whether it is shifted down
 *     48..55  scales  four times 16 bits, little-endian: three bits for each of four sub-blocks, then four of d, an f16, from the lowest
 *                     on
 */
const size = 256;
const blockBytes = 56;

export const iq1_m: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const word = (i: number) => bytes[at + 48 + 2 * i]! | (bytes[at + 49 + 2 * i]! << 8);
      const d = f16Values[(word(0) >> 12) | ((word(1) >> 12) << 4) | ((word(2) >> 12) << 8) | ((word(3) >> 12) << 12)]!;
      for (let i = 0; i < 32; i++) {
        const scale = d * (2 * ((word(i >> 3) >> (3 * ((i >> 1) & 3))) & 7) + 1);
        const high = (bytes[at + 32 + (i >> 1)]! >> (4 * (i & 1))) & 15;
        const shift = high & 8 ? -iq1Shift : iq1Shift;
        const entry = 8 * (bytes[at + i]! | ((high & 7) << 8));
        for (let l = 0; l < 8; l++) out[o + 8 * i + l] = scale * (iq1Grid[entry + l]! + shift);
      }
    }
  },
};
