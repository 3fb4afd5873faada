import { GrokError } from "../../errors.ts";
import { canDecode, decodeRow } from "../../tensor/decode.ts";
import { matrixPlaces, readPlace, type Tensor } from "../../tensor/tensor.ts";
import { encodedBytes } from "../../tensor/types.ts";
import { checkAxes } from "../checks.ts";
import type { Weight } from "../ops.ts";

/**
 * A tensor that the reference backend can read as rows: float32 for a file's tensors, float64 for what training changes. A stack of experts [experts, out, in] is `experts` matrices
 * of `out` rows; a matrix is one; a vector [n] is one matrix of one row.
 */
export interface ReferenceWeight extends Weight {
  readonly matrices: number;
  readonly rows: number;
  readonly cols: number;
  /**
   * Calls `use` with decoded rows of matrix `index`, in order: `count` rows from `row` on, as values [count, cols]. The array
   * is only valid during the call.
   */
  eachBlock(index: number, use: (values: Float32Array | Float64Array, row: number, count: number) => void): void;
  /** Row `row` of matrix 0, decoded; valid until anything else is decoded. */
  row(row: number): Float32Array | Float64Array;
}

/** Rows decoded at a time where a matrix is not kept. */
const blockRows = 16;

/** Decoded weights, kept up to a number of bytes: first come, first kept. */
export interface DecodedCache {
  /** Reserves room for `bytes`; false when there is none. */
  reserve(bytes: number): boolean;
  /** Room for `size` values that are not kept, the same for all weights. */
  scratch(size: number): Float32Array;
}

/**
 * Weights are used in the same order for every token, the one pattern under which dropping the least recently used would
 * drop everything just before its next use. So nothing is ever dropped.
 */
export function createDecodedCache(capacity: number): DecodedCache {
  let used = 0;
  let scratch = new Float32Array(0);
  return {
    reserve(bytes) {
      if (used + bytes > capacity) return false;
      used += bytes;
      return true;
    },
    scratch(size) {
      if (scratch.length < size) scratch = new Float32Array(size);
      return scratch.subarray(0, size);
    },
  };
}

/** @throws GrokError `unsupported` when the type cannot be decoded, `shape` when the tensor has no or over 3 axes. */
export function bindWeight(tensor: Tensor, cache: DecodedCache): ReferenceWeight {
  const { name, type, shape, source } = tensor;
  if (!canDecode(type)) {
    const message = `${source}: tensor ${name} is of type ${type}, which grok1 cannot compute with`;
    throw new GrokError("unsupported", message, { source, tensor: name, type });
  }
  checkAxes(`${source}: tensor ${name}`, shape, { source, tensor: name });
  const places = matrixPlaces(tensor);
  const rows = shape.length === 1 ? 1 : shape.at(-2)!;
  const cols = shape.at(-1)!;
  const rowBytes = encodedBytes(type, cols);
  const kept = new Map<number, Float32Array>();

  const decode = (index: number, row: number, count: number, out: Float32Array) => {
    decodeRow(type, readPlace(places[index]!, row * rowBytes, (row + count) * rowBytes), out);
  };

  return {
    tensor,
    matrices: places.length,
    rows,
    cols,
    eachBlock(index, use) {
      let decoded = kept.get(index);
      if (decoded === undefined) {
        if (!cache.reserve(rows * cols * Float32Array.BYTES_PER_ELEMENT)) {
          for (let row = 0; row < rows; row += blockRows) {
            const count = Math.min(blockRows, rows - row);
            const values = cache.scratch(count * cols);
            decode(index, row, count, values);
            use(values, row, count);
          }
          return;
        }
        decoded = new Float32Array(rows * cols);
        decode(index, 0, rows, decoded);
        kept.set(index, decoded);
      }
      use(decoded, 0, rows);
    },
    row(row) {
      const values = cache.scratch(cols);
      decode(0, row, 1, values);
      return values;
    },
  };
}

/** The weight as this backend bound it. */
export function boundWeight(weight: Weight): ReferenceWeight {
  if (typeof (weight as Partial<ReferenceWeight>).eachBlock !== "function") {
    const { name } = weight.tensor;
    throw new GrokError("argument", `weight ${name} was not bound by the reference backend`, { tensor: name });
  }
  return weight as ReferenceWeight;
}
