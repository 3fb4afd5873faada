import type { Codec } from "../codec.ts";

/** Twice what the sixteen quants of MXFP4 and NVFP4 stand for: numbers of one sign, two exponent bits and one of mantissa (E2M1). */
export const fp4Values: Int8Array = new Int8Array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]);

/**
 * MXFP4 of the Open Compute Project's microscaling formats: 32 elements in 17 bytes, 4.25 bits each.
 * x = 2^(e - 128) * fp4Values[q].
 *
 *     0      e  exponent, 127 for 1
 *     1..16  q  byte l holds element l in its low nibble, element l + 16 in its high one
 */
const size = 32;
const blockBytes = 17;

export const mxfp4: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const scale = 2 ** (bytes[at]! - 128);
      for (let l = 0; l < 16; l++) {
        const pair = bytes[at + 1 + l]!;
        out[o + l] = scale * fp4Values[pair & 15]!;
        out[o + 16 + l] = scale * fp4Values[pair >> 4]!;
      }
    }
  },
};
