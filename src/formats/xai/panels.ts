import type { DataFile } from "../../bytes/data-file.ts";
import { readLater } from "../../bytes/read-later.ts";
import { readTyped } from "./elements.ts";
import { elementBytes, type PickledArray } from "./pickle-values.ts";

/** Some columns of one matrix [K, N] of an array, all K rows of them: what as many rows of a GGUF tensor are made of. */
export interface Panel {
  readonly matrix: number;
  /** The first column. */
  readonly first: number;
  readonly count: number;
  /** Whether elements lie column by column; else row by row. */
  readonly columnMajor: boolean;
  readonly bytes: Uint8Array;
}

/** Bytes of a panel, at most. One expert of Grok-1 in int8, 201 MB, is one panel, read in one piece. Two are in memory at a time. */
const panelBytes = 2 ** 28;

/**
 * All columns of an array's matrices in order, each byte read once, the next panel while the last is worked on. An array [K, N] is one
 * matrix, [E, K, N] has E of them. Only an array of several matrices in Fortran's order, which numpy writes of nothing that the release
 * has, is read once for each matrix.
 */
export async function* readPanels(file: DataFile, array: PickledArray, most = panelBytes): AsyncGenerator<Panel> {
  const { shape, fortran, type } = array;
  const [K, N] = [shape.at(-2)!, shape.at(-1)!];
  const matrices = shape.length > 2 ? shape[0]! : 1;
  const columnBytes = K * elementBytes[type] * (fortran ? matrices : 1);
  const step = Math.max(1, Math.min(N, Math.floor(most / Math.max(1, columnBytes))));
  const places = Array.from({ length: matrices * Math.ceil(N / step) }, (_, i) => {
    const [matrix, first] = [Math.floor(i / Math.ceil(N / step)), (i % Math.ceil(N / step)) * step];
    return { matrix, first, count: Math.min(step, N - first) };
  });
  let coming: Promise<Panel> | undefined;
  try {
    for (let i = 0; i < places.length; i++) {
      const panel = await (coming ?? readPanel(file, array, places[i]!));
      coming = i + 1 < places.length ? readPanel(file, array, places[i + 1]!) : undefined;
      // Waited for above or below; until then its failure is nobody's.
      coming?.catch(() => undefined);
      yield panel;
    }
  } finally {
    // The file may be closed behind this.
    await coming?.catch(() => undefined);
  }
}

async function readPanel(
  file: DataFile,
  { shape, fortran, type, offset }: PickledArray,
  { matrix, first, count }: Pick<Panel, "matrix" | "first" | "count">,
): Promise<Panel> {
  const [K, N] = [shape.at(-2)!, shape.at(-1)!];
  const size = elementBytes[type];
  const panel = (bytes: Uint8Array): Panel => ({ matrix, first, count, columnMajor: fortran, bytes });
  if (fortran) {
    // Element (e, k, n) is the one at e + E (k + K n).
    const matrices = shape.length > 2 ? shape[0]! : 1;
    const columnBytes = matrices * K * size;
    const columns = await readLater(file, offset + first * columnBytes, count * columnBytes);
    return panel(matrices === 1 ? columns : pickMatrix(columns, matrices, matrix, size));
  }
  const start = offset + matrix * K * N * size;
  if (count === N) return panel(await readLater(file, start, K * N * size));
  const bytes = new Uint8Array(K * count * size);
  for (let k = 0; k < K; k++) bytes.set(file.read(start + (k * N + first) * size, count * size), k * count * size);
  return panel(bytes);
}

function pickMatrix(bytes: Uint8Array, matrices: number, matrix: number, size: number): Uint8Array {
  const picked = new Uint8Array(bytes.length / matrices);
  for (let to = 0, from = matrix * size; to < picked.length; to += size, from += matrices * size) {
    for (let i = 0; i < size; i++) picked[to + i] = bytes[from + i]!;
  }
  return picked;
}

/** Scales of a weight as float32: of matrix m, group g and column n at (m G + g) N + n. Empty where there are none. */
export function readScales(file: DataFile, scales: PickledArray | undefined): Float32Array {
  if (scales === undefined) return new Float32Array(0);
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
