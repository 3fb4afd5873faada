import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";
import { iq4Values } from "./iq4-nl.ts";

/**
 * IQ4_XS: 256 elements in 136 bytes, 4.25 bits each. Eight sub-blocks of 32: x = d * (scale - 32) * iq4Values[q].
 *
 *     0       d       f16
 *     2..3    high    bits 2j and 2j + 1 (little-endian) are the upper two bits of scale j
 *     4..7    low     byte i: lower four bits of scale 2i in its low nibble, of scale 2i + 1 in its high one
 *     8..135  q       of sub-block j: byte 16j + l holds elements l (low nibble) and l + 16 (high nibble)
 */
const size = 256;
const blockBytes = 136;

export const iq4_xs: Codec = {
  // 11 bits of d, 6 of the scale, 7 of the value: exact in 24.
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      const highs = bytes[at + 2]! | (bytes[at + 3]! << 8);
      for (let j = 0; j < 8; j++) {
        const low = (bytes[at + 4 + (j >> 1)]! >> (4 * (j & 1))) & 15;
        const scale = d * ((low | (((highs >> (2 * j)) & 3) << 4)) - 32);
        const q = at + 8 + 16 * j;
        const first = o + 32 * j;
        for (let l = 0; l < 16; l++) {
          const pair = bytes[q + l]!;
          out[first + l] = scale * iq4Values[pair & 15]!;
          out[first + 16 + l] = scale * iq4Values[pair >> 4]!;
        }
      }
    }
  },
};
