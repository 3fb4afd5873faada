import type { TensorType } from "./types.ts";

/**
 * A named array of weights as it lies in a file (or in memory): typed, shaped, not decoded.
 *
 * `shape` is row-major, outermost axis first, so a GGUF tensor's dimensions appear reversed: a projection is
 * `[out, in]`, an expert stack `[experts, out, in]`, a norm `[width]`. The last axis is the contiguous one, the one that
 * quantization blocks run along.
 */
export interface Tensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  /** Where the bytes come from, for messages: a file's path, or "memory". */
  readonly source: string;
  /**
   * The encoded bytes of entries `[start, end)` of the outermost axis: a view, not a copy, when the file is mapped.
   * At most 4 GiB at a time (one ArrayBuffer on Node 20): ask for an expert, not for the stack.
   *
   * @throws GrokError `argument` when the range leaves the tensor.
   */
  slice(start: number, end: number): Uint8Array;
}

/** Number of elements of a shape; exact up to 2^53. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}
