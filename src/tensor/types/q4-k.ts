import type { Codec } from "../codec.ts";
import { readF16, writeF16 } from "../f16.ts";
import { type AffineFit, fitAffine } from "./fit.ts";
import { readMin, readScale, writeScales } from "./k-scales.ts";

/**
 * Q4_K: 256 elements in 144 bytes, 4.5 bits each. Eight sub-blocks of 32: x = d * scale * q - dmin * min.
 *
 *     0        d       f16
 *     2        dmin    f16
 *     4..15    scales  see k-scales.ts
 *     16..143  q       of pair c (64 elements): byte 32c + l holds elements l (low nibble) and l + 32 (high nibble)
 */
const size = 256;
const blockBytes = 144;

const fit: AffineFit = { scale: 0, min: 0 };
const fits = { scale: new Float64Array(8), min: new Float64Array(8) };
const scales = new Uint8Array(8);
const mins = new Uint8Array(8);

export const q4_k: Codec = {
  // d * scale and dmin * min have 17 bits, times q 21: all exact in a double, rounded once when stored.
  decode(bytes, out) {
    for (let at = 0, o = 0; o < out.length; at += blockBytes, o += size) {
      const d = readF16(bytes, at);
      const dmin = readF16(bytes, at + 2);
      for (let j = 0; j < 8; j++) {
        const scale = d * readScale(bytes, at + 4, j);
        const min = dmin * readMin(bytes, at + 4, j);
        const q = at + 16 + 32 * (j >> 1);
        const shift = 4 * (j & 1);
        for (let l = 0; l < 32; l++) out[o + 32 * j + l] = scale * ((bytes[q + l]! >> shift) & 15) - min;
      }
    }
  },
  // Each sub-block is fitted by itself, its scale and min are rounded to 6 bits, then elements to what these allow.
  encode(values, out) {
    for (let at = 0, v = 0; v < values.length; at += blockBytes, v += size) {
      let largestScale = 0;
      let largestMin = 0;
      for (let j = 0; j < 8; j++) {
        fitAffine(values, v + 32 * j, 32, 15, fit);
        fits.scale[j] = fit.scale;
        fits.min[j] = fit.min;
        largestScale = Math.max(largestScale, fit.scale);
        largestMin = Math.max(largestMin, fit.min);
      }
      writeF16(out, at, largestScale / 63);
      writeF16(out, at + 2, largestMin / 63);
      const d = readF16(out, at);
      const dmin = readF16(out, at + 2);
      for (let j = 0; j < 8; j++) {
        scales[j] = d === 0 ? 0 : Math.min(63, Math.round(fits.scale[j]! / d));
        mins[j] = dmin === 0 ? 0 : Math.min(63, Math.round(fits.min[j]! / dmin));
      }
      writeScales(out, at + 4, scales, mins);
      out.fill(0, at + 16, at + blockBytes);
      for (let j = 0; j < 8; j++) {
        const scale = d * scales[j]!;
        if (scale === 0) continue;
        const min = dmin * mins[j]!;
        const q = at + 16 + 32 * (j >> 1);
        const shift = 4 * (j & 1);
        for (let l = 0; l < 32; l++) {
          const quant = Math.round((values[v + 32 * j + l]! + min) / scale);
          out[q + l]! |= Math.max(0, Math.min(15, quant)) << shift;
        }
      }
    }
  },
};
