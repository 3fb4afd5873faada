import { GrokError } from "../../errors.ts";
import { dtypes } from "../../formats/safetensors/dtypes.ts";
import type { SafetensorsEntry } from "../../formats/safetensors/file.ts";
import { permutedRow } from "../../model/tensors.ts";
import { decodeRow } from "../../tensor/decode.ts";
import { encodedBytes, type TensorType } from "../../tensor/types.ts";

/** A matrix as it is stored; a vector is one of a single row. */
export interface StoredMatrix {
  readonly rows: number;
  readonly columns: number;
  /** What it is stored as, in words. */
  readonly stored: string;
  readonly storedBytes: number;
  /** Types that hold it without loss, or nearly so where none does, the smallest first; the last one is f32. */
  exact(): readonly TensorType[];
  /** Reads what is needed beside the rows. */
  open(): MatrixRows;
}

export interface MatrixRows {
  /** Float32 values of rows [from, to), row-major. */
  decode(from: number, to: number): Float32Array;
  /** Their bytes in one of the types that hold them, but for f32. */
  encode(type: TensorType, from: number, to: number): Uint8Array;
}

/** A matrix of floating-point numbers. @throws GrokError `unsupported` for a dtype that is none. */
export function denseMatrix(entry: SafetensorsEntry, rows: number, columns: number): StoredMatrix {
  const { type } = dtypes[entry.dtype];
  if (type !== "f32" && type !== "f16" && type !== "bf16" && type !== "f64")
    throw wrongDtype(entry, "F32, F16, BF16 or F64");
  const rowBytes = encodedBytes(type, columns);
  const bytes = (from: number, to: number) => entry.read(from * rowBytes, to * rowBytes);
  return {
    ...{ rows, columns, stored: type, storedBytes: entry.byteLength },
    exact: () => (type === "f32" || type === "f64" ? ["f32"] : [type, "f32"]),
    open: () => ({
      decode(from, to) {
        const values = new Float32Array((to - from) * columns);
        decodeRow(type, bytes(from, to), values);
        return values;
      },
      encode: (_, from, to) => bytes(from, to),
    }),
  };
}

export function wrongDtype({ name, source, dtype }: SafetensorsEntry, expected: string): GrokError {
  return new GrokError("unsupported", `${source}: tensor ${name} is of dtype ${dtype}, expected ${expected}`, {
    ...{ path: source, tensor: name, dtype },
  });
}

/** Whether float16 keeps a number to its last digit but for rounding: an error of at most 2^-11 of it. */
export const isNearHalf = (value: number): boolean => 2 ** -14 <= Math.abs(value) && Math.abs(value) <= 65504;

/** The rows of a query or key projection in the order that GGUF files of the `llama` architecture have. */
export function permuteHeads(matrix: StoredMatrix, headSize: number): StoredMatrix {
  return {
    ...matrix,
    open() {
      const rows = matrix.open();
      /** Whole heads around the rows [from, to), and where each of these rows is among them. */
      const gather = <T extends Float32Array | Uint8Array>(
        from: number,
        to: number,
        read: (from: number, to: number) => T,
        make: (length: number) => T,
      ): T => {
        const first = from - (from % headSize);
        const last = Math.ceil(to / headSize) * headSize;
        const heads = read(first, last);
        const length = heads.length / (last - first);
        const out = make(length * (to - from));
        for (let row = from; row < to; row++) {
          const at = (permutedRow(row, headSize) - first) * length;
          out.set(heads.subarray(at, at + length), (row - from) * length);
        }
        return out;
      };
      return {
        decode: (from, to) => gather(from, to, rows.decode, (length) => new Float32Array(length)),
        encode: (type, from, to) =>
          gather(
            from,
            to,
            (a, b) => rows.encode(type, a, b),
            (length) => new Uint8Array(length),
          ),
      };
    },
  };
}

/** Matrices of the same columns, one below the other. */
export function stackRows(parts: readonly StoredMatrix[]): StoredMatrix {
  const starts = [0];
  for (const { rows } of parts) starts.push(starts.at(-1)! + rows);
  return {
    ...joined(parts),
    rows: starts.at(-1)!,
    columns: parts[0]!.columns,
    open() {
      const opened = parts.map((part) => part.open());
      const pieces = <T>(from: number, to: number, read: (rows: MatrixRows, from: number, to: number) => T): T[] =>
        opened.flatMap((rows, i) => {
          const [start, end] = [Math.max(from, starts[i]!), Math.min(to, starts[i + 1]!)];
          return start < end ? [read(rows, start - starts[i]!, end - starts[i]!)] : [];
        });
      return {
        decode(from, to) {
          const values = new Float32Array((to - from) * parts[0]!.columns);
          let at = 0;
          for (const piece of pieces(from, to, (rows, a, b) => rows.decode(a, b))) {
            values.set(piece, at);
            at += piece.length;
          }
          return values;
        },
        encode: (type, from, to) =>
          new Uint8Array(Buffer.concat(pieces(from, to, (rows, a, b) => rows.encode(type, a, b)))),
      };
    },
  };
}

/** Matrices of the same rows, one beside the other. Blocks end where the columns of a part do. */
export function joinColumns(parts: readonly StoredMatrix[]): StoredMatrix {
  const columns = parts.reduce((sum, part) => sum + part.columns, 0);
  return {
    ...joined(parts),
    rows: parts[0]!.rows,
    columns,
    open() {
      const opened = parts.map((part) => part.open());
      const interleave = <T extends Float32Array | Uint8Array>(count: number, pieces: readonly T[], out: T): T => {
        let start = 0;
        const width = out.length / count;
        for (const piece of pieces) {
          const own = piece.length / count;
          for (let row = 0; row < count; row++)
            out.set(piece.subarray(row * own, (row + 1) * own), row * width + start);
          start += own;
        }
        return out;
      };
      return {
        decode: (from, to) =>
          interleave(
            to - from,
            opened.map((rows) => rows.decode(from, to)),
            new Float32Array((to - from) * columns),
          ),
        encode: (type, from, to) =>
          interleave(
            to - from,
            opened.map((rows) => rows.encode(type, from, to)),
            new Uint8Array(encodedBytes(type, (to - from) * columns)),
          ),
      };
    },
  };
}

function joined(parts: readonly StoredMatrix[]) {
  return {
    stored: [...new Set(parts.map(({ stored }) => stored))].join(", "),
    storedBytes: parts.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    exact: () => commonTypes(parts),
  };
}

/** Types that hold all of some matrices, the smallest first. */
export function commonTypes(matrices: readonly StoredMatrix[]): readonly TensorType[] {
  const [first, ...others] = matrices.map((matrix) => matrix.exact());
  return first!.filter((type) => others.every((types) => types.includes(type)));
}
