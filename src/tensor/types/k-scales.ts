/**
 * The eight 6-bit scales and eight 6-bit mins of a Q4_K or Q5_K block, in 12 bytes:
 *
 *     0..3   low six bits: scale j of 0..3;    top two: bits 4 and 5 of scale j + 4
 *     4..7   low six bits: min j of 0..3;      top two: bits 4 and 5 of min j + 4
 *     8..11  low nibble: bits 0..3 of scale j + 4;   high nibble: bits 0..3 of min j + 4
 */

/** Scale of sub-block `j`; `at` is where the 12 bytes start. */
export function readScale(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j]! & 63 : (bytes[at + 4 + j]! & 15) | ((bytes[at + j - 4]! >> 6) << 4);
}

/** Min of sub-block `j`. */
export function readMin(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + 4 + j]! & 63 : (bytes[at + 4 + j]! >> 4) | ((bytes[at + j]! >> 6) << 4);
}
