import type { Codec } from "../codec.ts";

/**
 * Plain little-endian numbers that weights seldom come in: I8, I16, I32, I64 and F64, each rounded once to float32.
 */
function numberCodec(size: number, read: (view: DataView, at: number) => number): Codec {
  return {
    decode(bytes, out) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let i = 0; i < out.length; i++) out[i] = read(view, i * size);
    },
  };
}

export const i8 = numberCodec(1, (view, at) => view.getInt8(at));
export const i16 = numberCodec(2, (view, at) => view.getInt16(at, true));
export const i32 = numberCodec(4, (view, at) => view.getInt32(at, true));
export const f64 = numberCodec(8, (view, at) => view.getFloat64(at, true));
/** Through a double, so a value past 2^53 may be rounded twice. */
export const i64 = numberCodec(8, (view, at) => Number(view.getBigInt64(at, true)));
