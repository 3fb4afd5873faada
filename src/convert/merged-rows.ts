import { GrokError } from "../errors.ts";
import type { LowRankTerm } from "../model/lora/adapter.ts";
import { decodeRow, encodeRow, largestOf } from "../tensor/decode.ts";
import { elementCount, matrixPlaces, readPlace, type Tensor } from "../tensor/tensor.ts";
import { encodedBytes, type TensorType } from "../tensor/types.ts";

/** A term of one matrix: of expert `expert` in a stack, of the only one elsewhere. */
export type ScaledTerm = Pick<LowRankTerm, "rank" | "scale" | "a" | "b"> & { readonly expert: number };

/** The rows of a matrix, or of a stack of them, with low-rank terms beside. */
export interface MergedRows {
  readonly tensor: Tensor;
  readonly matrices: number;
  readonly rows: number;
  readonly cols: number;
  /** Whether any term is of this matrix. */
  isChanged(matrix: number): boolean;
  /** Rows' bytes as they lie in the file. */
  bytes(matrix: number, row: number, count: number): Uint8Array;
  /** Decodes a row's bytes into `base` and computes what the terms add to it, Σ scale B A, into `update`. */
  decode(bytes: Uint8Array, matrix: number, row: number, base: Float32Array, update: Float64Array): void;
  /** A bound on |update| of any element. */
  largestUpdate(): number;
}

export function openMergedRows(tensor: Tensor, terms: readonly ScaledTerm[]): MergedRows {
  const places = matrixPlaces(tensor);
  const matrices = places.length;
  const cols = tensor.shape.at(-1)!;
  const rows = elementCount(tensor.shape) / cols / matrices;
  const rowBytes = encodedBytes(tensor.type, cols);
  const byMatrix = Array.from({ length: matrices }, (_, matrix) => terms.filter(({ expert }) => expert === matrix));
  return {
    ...{ tensor, matrices, rows, cols },
    bytes: (matrix, row, count) => readPlace(places[matrix]!, row * rowBytes, (row + count) * rowBytes),
    isChanged: (matrix) => byMatrix[matrix]!.length > 0,
    decode(bytes, matrix, row, base, update) {
      decodeRow(tensor.type, bytes, base);
      update.fill(0);
      for (const { rank, scale, a, b } of byMatrix[matrix]!) {
        for (let r = 0; r < rank; r++) {
          const factor = scale * b[row * rank + r]!;
          for (let col = 0, from = r * cols; col < cols; col++, from++) update[col] = update[col]! + factor * a[from]!;
        }
      }
    },
    largestUpdate() {
      const bounds = byMatrix.map((own) => own.reduce((sum, term) => sum + boundOf(term, rows, cols), 0));
      return Math.max(...bounds);
    },
  };
}

/** Σ_r max |a_r| · max |b_r|, times the scale. */
function boundOf({ rank, scale, a, b }: ScaledTerm, rows: number, cols: number): number {
  let bound = 0;
  for (let r = 0; r < rank; r++) {
    let [most, most2] = [0, 0];
    for (let col = 0; col < cols; col++) most = Math.max(most, Math.abs(a[r * cols + col]!));
    for (let row = 0; row < rows; row++) most2 = Math.max(most2, Math.abs(b[row * rank + r]!));
    bound += most * most2;
  }
  return Math.abs(scale) * bound;
}

/** Encoded rows in chunks of about this size. */
const chunkBytes = 1 << 20;

/**
 * All rows in another type, or the same. Matrices without a term that keep their type are copied as they are.
 * @throws GrokError `argument` naming the tensor for a sum that the type cannot hold, or that is no number.
 */
export function* encodeMerged(merged: MergedRows, type: TensorType): Generator<Uint8Array> {
  const { tensor, matrices, rows, cols } = merged;
  const [inBytes, outBytes] = [encodedBytes(tensor.type, cols), encodedBytes(type, cols)];
  const most = Math.max(1, Math.floor(chunkBytes / Math.max(inBytes, outBytes)));
  const base = new Float32Array(cols);
  const update = new Float64Array(cols);
  for (let matrix = 0; matrix < matrices; matrix++) {
    const copied = type === tensor.type && !merged.isChanged(matrix);
    for (let start = 0; start < rows; start += most) {
      const count = Math.min(most, rows - start);
      const bytes = merged.bytes(matrix, start, count);
      if (copied) {
        yield bytes;
        continue;
      }
      const chunk = new Uint8Array(count * outBytes);
      for (let i = 0; i < count; i++) {
        merged.decode(bytes.subarray(i * inBytes, (i + 1) * inBytes), matrix, start + i, base, update);
        for (let col = 0; col < cols; col++) base[col] = base[col]! + update[col]!;
        checkRange(tensor, type, base, matrix, start + i);
        encodeRow(type, base, chunk.subarray(i * outBytes, (i + 1) * outBytes));
      }
      yield chunk;
    }
  }
}

function checkRange(
  { name, source, shape }: Tensor,
  type: TensorType,
  values: Float32Array,
  matrix: number,
  row: number,
): void {
  const largest = largestOf(type);
  for (let col = 0; col < values.length; col++) {
    if (Math.abs(values[col]!) <= largest) continue;
    const place = [...(shape.length === 3 ? [matrix] : []), row, col];
    throw new GrokError(
      "argument",
      `${source}: tensor ${name}: the merged value at [${place.join(", ")}] is ${values[col]}, and type ${type} holds numbers up to ${largest}: choose another type, or a smaller scale`,
      { path: source, tensor: name, type, place },
    );
  }
}
