import type { Codec } from "../codec.ts";

/**
 * F32: IEEE 754 binary32, little-endian, four bytes an element. Bits are copied, never computed with. (Little-endian is
 * also what every processor that Node supports is, IBM Z excepted.)
 */
export const f32: Codec = {
  decode(bytes, out) {
    new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
  },
  encode(values, out) {
    out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  },
};
