import type { Codec } from "../codec.ts";
import { readF16 } from "../f16.ts";

/** What the sixteen quants of IQ4_NL and IQ4_XS stand for: finer near zero, where weights crowd. */
export const iq4Values: Int8Array = new Int8Array([
  -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
]);

/**
 * IQ4_NL: 32 elements in 18 bytes, 4.5 bits each. x = d * iq4Values[q].
 *
 *     0      d      f16
 *     2..17  q      byte l holds element l in its low nibble, element l + 16 in its high one
 */
const size = 32;
const blockBytes = 18;

export const iq4_nl: Codec = {
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      for (let l = 0; l < 16; l++) {
        const pair = bytes[at + 2 + l]!;
        out[o + l] = d * iq4Values[pair & 15]!;
        out[o + 16 + l] = d * iq4Values[pair >> 4]!;
      }
    }
  },
};
