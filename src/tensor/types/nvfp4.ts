import type { Codec } from "../codec.ts";
import { fp4Values } from "./mxfp4.ts";

/**
 * NVFP4: 64 elements in 36 bytes, 4.5 bits each. Four sub-blocks of 16: x = scale / 2 * fp4Values[q].
 *
 *     0..3    scales  one a sub-block: four bits of exponent, three of mantissa, no sign (E4M3); 127 stands for 0
 *     4 + 8j  q       of sub-block j: byte l holds element l in its low nibble, element l + 8 in its high one
 */
const size = 64;
const blockBytes = 36;

function scaleOf(byte: number): number {
  if (byte === 127) return 0;
  const exponent = (byte >> 3) & 15;
  const mantissa = byte & 7;
  return exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10);
}

export const nvfp4: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      for (let j = 0; j < 4; j++) {
        const scale = scaleOf(bytes[at + j]!) / 2;
        for (let l = 0; l < 8; l++) {
          const pair = bytes[at + 4 + 8 * j + l]!;
          out[o + 16 * j + l] = scale * fp4Values[pair & 15]!;
          out[o + 16 * j + 8 + l] = scale * fp4Values[pair >> 4]!;
        }
      }
    }
  },
};
