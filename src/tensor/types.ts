import { GrokError } from "../errors.ts";

/**
 * The element and block types a tensor can have in a GGUF file. `ggml` is the number in the file; `blockSize` elements
 * are stored in `blockBytes` bytes, blocks run along the last (contiguous) axis. Sizes after the published GGUF
 * specification and the Python `gguf` package's constants.
 */
const table = {
  f32: { ggml: 0, blockSize: 1, blockBytes: 4 },
  f16: { ggml: 1, blockSize: 1, blockBytes: 2 },
  q4_0: { ggml: 2, blockSize: 32, blockBytes: 18 },
  q4_1: { ggml: 3, blockSize: 32, blockBytes: 20 },
  q5_0: { ggml: 6, blockSize: 32, blockBytes: 22 },
  q5_1: { ggml: 7, blockSize: 32, blockBytes: 24 },
  q8_0: { ggml: 8, blockSize: 32, blockBytes: 34 },
  q8_1: { ggml: 9, blockSize: 32, blockBytes: 36 },
  q2_k: { ggml: 10, blockSize: 256, blockBytes: 84 },
  q3_k: { ggml: 11, blockSize: 256, blockBytes: 110 },
  q4_k: { ggml: 12, blockSize: 256, blockBytes: 144 },
  q5_k: { ggml: 13, blockSize: 256, blockBytes: 176 },
  q6_k: { ggml: 14, blockSize: 256, blockBytes: 210 },
  q8_k: { ggml: 15, blockSize: 256, blockBytes: 292 },
  iq2_xxs: { ggml: 16, blockSize: 256, blockBytes: 66 },
  iq2_xs: { ggml: 17, blockSize: 256, blockBytes: 74 },
  iq3_xxs: { ggml: 18, blockSize: 256, blockBytes: 98 },
  iq1_s: { ggml: 19, blockSize: 256, blockBytes: 50 },
  iq4_nl: { ggml: 20, blockSize: 32, blockBytes: 18 },
  iq3_s: { ggml: 21, blockSize: 256, blockBytes: 110 },
  iq2_s: { ggml: 22, blockSize: 256, blockBytes: 82 },
  iq4_xs: { ggml: 23, blockSize: 256, blockBytes: 136 },
  i8: { ggml: 24, blockSize: 1, blockBytes: 1 },
  i16: { ggml: 25, blockSize: 1, blockBytes: 2 },
  i32: { ggml: 26, blockSize: 1, blockBytes: 4 },
  i64: { ggml: 27, blockSize: 1, blockBytes: 8 },
  f64: { ggml: 28, blockSize: 1, blockBytes: 8 },
  iq1_m: { ggml: 29, blockSize: 256, blockBytes: 56 },
  bf16: { ggml: 30, blockSize: 1, blockBytes: 2 },
  tq1_0: { ggml: 34, blockSize: 256, blockBytes: 54 },
  tq2_0: { ggml: 35, blockSize: 256, blockBytes: 66 },
  mxfp4: { ggml: 39, blockSize: 32, blockBytes: 17 },
  nvfp4: { ggml: 40, blockSize: 64, blockBytes: 36 },
} as const;

export type TensorType = keyof typeof table;

export interface TensorTypeInfo {
  readonly ggml: number;
  readonly blockSize: number;
  readonly blockBytes: number;
}

export const tensorTypes: Readonly<Record<TensorType, TensorTypeInfo>> = table;

const byNumber = new Map(Object.entries(table).map(([type, info]) => [info.ggml as number, type as TensorType]));

/** The type a GGUF file means by `ggml`; undefined for a number this table does not know. */
export function tensorTypeOf(ggml: number): TensorType | undefined {
  return byNumber.get(ggml);
}

/**
 * Bytes that `elements` contiguous elements of a type take.
 * @throws GrokError `format` when they do not fill whole blocks.
 */
export function encodedBytes(type: TensorType, elements: number): number {
  const { blockSize, blockBytes } = table[type];
  if (elements % blockSize !== 0) {
    throw new GrokError("format", `${elements} elements of type ${type} do not fill whole blocks of ${blockSize}`, {
      type,
      elements,
      blockSize,
    });
  }
  return (elements / blockSize) * blockBytes;
}
