import type { DataFile } from "../../bytes/data-file.ts";
import { readTyped } from "./elements.ts";
import { elementBytes, type PickledArray } from "./pickle-values.ts";

/**
 * Some columns of one matrix [K, N] of an array, all K rows of them: what as many rows of a GGUF tensor are made of. Elements lie
 * row by row, or, where `columnMajor`, column by column.
 */
export interface Panel {
  readonly matrix: number;
  /** The first column. */
  readonly first: number;
  readonly count: number;
  readonly columnMajor: boolean;
  readonly bytes: Uint8Array;
}

/** Bytes of a panel, at most. One expert of Grok-1 in int8, 201 MB, is one panel, read in one piece. */
const panelBytes = 2 ** 28;

/**
 * All columns of an array's matrices in order, each byte read once. An array [K, N] is one matrix, [E, K, N] has E of them.
 * Only an array of several matrices in Fortran's order that is larger than a panel, which numpy writes of nothing that the release
 * has, is read once for each matrix.
 */
export function* readPanels(file: DataFile, array: PickledArray, most = panelBytes): Generator<Panel> {
  const { shape, fortran, type, offset } = array;
  const [K, N] = [shape.at(-2)!, shape.at(-1)!];
  const matrices = shape.length > 2 ? shape[0]! : 1;
  const size = elementBytes[type];
  const step = Math.max(1, Math.min(N, Math.floor(most / Math.max(1, K * size))));
  for (let matrix = 0; matrix < matrices; matrix++) {
    for (let first = 0; first < N; first += step) {
      const count = Math.min(step, N - first);
      const place = { matrix, first, count, columnMajor: fortran };
      if (fortran) {
        const columns = readColumns(file, array, matrices, first, count);
        yield { ...place, bytes: matrices === 1 ? columns : pickMatrix(columns, matrices, matrix, size) };
      } else if (count === N) {
        yield { ...place, bytes: file.read(offset + matrix * K * N * size, K * N * size) };
      } else {
        const bytes = new Uint8Array(K * count * size);
        for (let k = 0; k < K; k++) {
          const from = offset + ((matrix * K + k) * N + first) * size;
          bytes.set(file.read(from, count * size), k * count * size);
        }
        yield { ...place, bytes };
      }
    }
  }
}

/** Columns in Fortran's order, of all matrices: element (e, k, n) is the one at e + E (k + K n). */
function readColumns(
  file: DataFile,
  { shape, type, offset }: PickledArray,
  matrices: number,
  first: number,
  count: number,
) {
  const columnBytes = matrices * shape.at(-2)! * elementBytes[type];
  return file.read(offset + first * columnBytes, count * columnBytes);
}

function pickMatrix(bytes: Uint8Array, matrices: number, matrix: number, size: number): Uint8Array {
  const picked = new Uint8Array(bytes.length / matrices);
  for (let to = 0, from = matrix * size; to < picked.length; to += size, from += matrices * size) {
    for (let i = 0; i < size; i++) picked[to + i] = bytes[from + i]!;
  }
  return picked;
}

/** Scales of a weight as float32: of matrix m, group g and column n at (m G + g) N + n. Undefined where there are none. */
export function readScales(file: DataFile, scales: PickledArray | undefined): Float32Array | undefined {
  if (scales === undefined) return undefined;
  const { shape, fortran, type, offset, bytes } = scales;
  const values = readTyped(type, file.read(offset, bytes));
  if (!fortran) return values;
  const [E, G, N] = [shape.length > 2 ? shape[0]! : 1, shape.at(-2)!, shape.at(-1)!];
  return Float32Array.from(values, (_, i) => {
    const [n, group] = [i % N, Math.floor(i / N)];
    const [g, e] = [group % G, Math.floor(group / G)];
    return values[e + E * (g + G * n)]!;
  });
}
