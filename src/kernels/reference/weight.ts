import { GrokError } from "../../errors.ts";
import { canDecode, decodeRow } from "../../tensor/decode.ts";
import { elementCount, type Tensor } from "../../tensor/tensor.ts";
import { encodedBytes } from "../../tensor/types.ts";
import type { Weight } from "../ops.ts";

/**
 * A tensor that the reference backend can read as float32 rows. A stack of experts [experts, out, in] is `experts` matrices
 * of `out` rows; a matrix is one; a vector [n] is one matrix of one row.
 */
export interface ReferenceWeight extends Weight {
  readonly matrices: number;
  readonly rows: number;
  readonly cols: number;
  /**
   * Calls `use` once for every row of matrix `index`, in order, with the row's decoded values [cols]. The array is only
   * valid during the call.
   */
  eachRow(index: number, use: (values: Float32Array, row: number) => void): void;
  /** Row `row` of matrix 0, decoded; valid until the next call. */
  row(row: number): Float32Array;
}

/** Decoded weights, kept up to a number of bytes: first come, first kept. */
export interface DecodedCache {
  /** Reserves room for `bytes`; false when there is none. */
  reserve(bytes: number): boolean;
}

/**
 * Weights are used in the same order for every token, the one pattern under which dropping the least recently used would
 * drop everything just before its next use. So nothing is ever dropped.
 */
export function createDecodedCache(capacity: number): DecodedCache {
  let used = 0;
  return {
    reserve(bytes) {
      if (used + bytes > capacity) return false;
      used += bytes;
      return true;
    },
  };
}

/** @throws GrokError `unsupported` when the type cannot be decoded, `shape` when the tensor has no or over 3 axes. */
export function bindWeight(tensor: Tensor, cache: DecodedCache): ReferenceWeight {
  const { name, type, shape, source } = tensor;
  if (!canDecode(type)) {
    throw new GrokError(
      "unsupported",
      `${source}: tensor ${name} is of type ${type}, which grok1 cannot compute with`,
      {
        source,
        tensor: name,
        type,
      },
    );
  }
  if (shape.length < 1 || shape.length > 3) {
    throw new GrokError("shape", `${source}: tensor ${name} has ${shape.length} axes, expected 1 to 3`, {
      source,
      tensor: name,
      found: shape,
    });
  }
  const matrices = shape.length === 3 ? shape[0]! : 1;
  const rows = shape.length === 1 ? 1 : shape.at(-2)!;
  const cols = shape.at(-1)!;
  const rowBytes = encodedBytes(type, cols);
  const scratch = new Float32Array(cols);
  const kept = new Map<number, Float32Array>();

  const bytesOf = (index: number): Uint8Array => {
    if (shape.length === 3) return tensor.slice(index, index + 1);
    return tensor.slice(0, shape[0]!);
  };

  return {
    tensor,
    matrices,
    rows,
    cols,
    eachRow(index, use) {
      let decoded = kept.get(index);
      if (decoded === undefined) {
        const bytes = bytesOf(index);
        if (!cache.reserve(elementCount([rows, cols]) * Float32Array.BYTES_PER_ELEMENT)) {
          for (let row = 0; row < rows; row++) {
            decodeRow(type, bytes.subarray(row * rowBytes, (row + 1) * rowBytes), scratch);
            use(scratch, row);
          }
          return;
        }
        decoded = new Float32Array(rows * cols);
        for (let row = 0; row < rows; row++) {
          decodeRow(
            type,
            bytes.subarray(row * rowBytes, (row + 1) * rowBytes),
            decoded.subarray(row * cols, (row + 1) * cols),
          );
        }
        kept.set(index, decoded);
      }
      for (let row = 0; row < rows; row++) use(decoded.subarray(row * cols, (row + 1) * cols), row);
    },
    row(row) {
      const bytes = shape.length === 1 ? tensor.slice(0, cols) : tensor.slice(row, row + 1);
      decodeRow(type, bytes, scratch);
      return scratch;
    },
  };
}

/** The weight as this backend bound it. */
export function boundWeight(weight: Weight): ReferenceWeight {
  if (typeof (weight as Partial<ReferenceWeight>).eachRow !== "function") {
    const { name } = weight.tensor;
    throw new GrokError("argument", `weight ${name} was not bound by the reference backend`, { tensor: name });
  }
  return weight as ReferenceWeight;
}
