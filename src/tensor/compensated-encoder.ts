import { type AddonEncoder, loadAddon } from "../addon.ts";
import { GrokError } from "../errors.ts";
import { coreLimit } from "../machine/limits.ts";
import { refuseValue } from "./decode.ts";
import { encodedBytes, type TensorType, tensorTypes } from "./types.ts";

/** What a matrix's inputs x say of it: Σ x xᵀ over them, [columns, columns]. */
export interface Gram {
  readonly columns: number;
  readonly sums: Float32Array;
}

/** By what errors are compensated: U, upper triangular, with UᵀU the inverse of a damped Gram matrix, in an order of columns. */
export interface Compensation {
  readonly columns: number;
  readonly factor: Float32Array;
  readonly order: Int32Array;
}

/** Rows as bytes of a type, and what that costs: Σ E H Eᵀ over rows' errors E, with H as it was damped. */
export interface CompensatedRows {
  readonly bytes: Uint8Array;
  readonly loss: number;
}

/**
 * Encodes rows so that what rounding a column does to products is made up for by the columns rounded after it (GPTQ, Frantar et al. 2022),
 * onto the grids that the types have: the bytes are those of any file of the type.
 */
export interface CompensatedEncoder {
  canEncode(type: TensorType): boolean;
  /** Types with the same word for it are compensated by the same: their blocks, and what of them is rounded together, are of one size. */
  orderOf(type: TensorType): string;
  /** Adds inputs [n, columns], one a row, to a Gram matrix. */
  add(gram: Gram, inputs: Float32Array): void;
  /**
   * What rows of a type's blocks are compensated by. Blocks, and columns in them (of types of a grid for eight at a time, such eights), come
   * by how strong their inputs are, strongest first: those have most columns behind them that can make up for their errors. `damping`, a share of the mean of the diagonal, is added to it:
   * what calibration saw too little of is not trusted.
   * @throws GrokError `argument` where `gram` is no sum of inputs.
   */
  compensationOf(gram: Gram, type: TensorType, damping: number): Compensation;
  /** @throws GrokError as `RowEncoder.encode`. */
  encode(type: TensorType, rows: Float32Array, columns: number, by: Compensation): CompensatedRows;
  /** Ends the threads. */
  close(): void;
}

export function emptyGram(columns: number): Gram {
  return { columns, sums: new Float32Array(columns * columns) };
}

/** @throws GrokError `unsupported` without the addon: it is arithmetic that TypeScript would take days for. */
export function createCompensatedEncoder({
  threads = coreLimit(),
}: {
  readonly threads?: number;
} = {}): CompensatedEncoder {
  const state = loadAddon();
  if (state.addon === undefined) {
    throw new GrokError("unsupported", `compensated rounding needs the native addon: ${state.reason}`, {});
  }
  const encoder: AddonEncoder = state.addon.createEncoder(threads, "best");
  const groupOf = (type: TensorType) => encoder.compensatedGroup(tensorTypes[type].ggml);
  return {
    canEncode: (type) => groupOf(type) > 0,
    orderOf: (type) => `${tensorTypes[type].blockSize} by ${groupOf(type)}`,
    add({ columns, sums }, inputs) {
      encoder.gram(inputs, inputs.length / columns, columns, sums);
    },
    compensationOf(gram, type, damping) {
      const { columns, sums } = gram;
      const order = orderByStrength(gram, tensorTypes[type].blockSize, groupOf(type));
      const factor = new Float32Array(columns * columns);
      if (encoder.factor(sums, order, columns, damping, factor)) return { columns, factor, order };
      throw new GrokError("argument", "a Gram matrix that no inputs have: it is not positive definite", { columns });
    },
    encode(type, rows, columns, { factor, order }) {
      const bytes = new Uint8Array((rows.length / columns) * encodedBytes(type, columns));
      const losses = new Float64Array(rows.length / columns);
      const [from, to] = [tensorTypes.f32.ggml, tensorTypes[type].ggml];
      const given = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
      const bad = encoder.compensate(from, given, to, losses.length, columns, factor, order, bytes, losses);
      if (bad >= 0) refuseValue(type, rows, bad);
      return { bytes, loss: losses.reduce((sum, loss) => sum + loss, 0) };
    },
    close: encoder.close,
  };
}

/**
 * Columns by the sum of their squared inputs, strongest first; blocks, and groups in them, stay together and come by what their columns have
 * in all.
 */
function orderByStrength({ columns, sums }: Gram, blockSize: number, group: number): Int32Array {
  const sorted = (parts: { columns: number[]; total: number }[]) => {
    parts.sort((a, b) => b.total - a.total || a.columns[0]! - b.columns[0]!);
    const total = parts.reduce((sum, part) => sum + part.total, 0);
    return { columns: parts.flatMap((part) => part.columns), total };
  };
  const groups = (from: number) =>
    Array.from({ length: blockSize / group }, (_, i) => {
      const own = Array.from({ length: group }, (_, c) => from + i * group + c);
      return { columns: own, total: own.reduce((sum, j) => sum + sums[j * columns + j]!, 0) };
    });
  const blocks = Array.from({ length: columns / blockSize }, (_, block) => sorted(groups(block * blockSize)));
  return Int32Array.from(sorted(blocks).columns);
}
