import { GrokError } from "../../errors.ts";
import type { SafetensorsEntry } from "../../formats/safetensors/file.ts";
import type { ModelTensor } from "../../model/tensors.ts";
import type { TensorType } from "../../tensor/types.ts";
import { pieceElements, type SourceTensor } from "../source.ts";
import { commonTypes, denseMatrix, joinColumns, permuteHeads, type StoredMatrix, stackRows } from "./matrix.ts";
import { openQuantized, type Quantization } from "./quantization.ts";
import type { TensorStore } from "./store.ts";

export interface TensorNames {
  /** A tensor's name in the folder, by the one in the architecture's table. */
  readonly rename: (name: string) => string;
  /** A tensor's name in the file, by the one in the table. */
  readonly spell: (tensor: string) => string;
  readonly quantization: Quantization | undefined;
  /** Whether tensors may be cut into parts. */
  readonly cut: boolean;
}

/** The tensors of a file, in the order in which a model's table has them. */
export function sourceTensors(store: TensorStore, planned: readonly ModelTensor[], names: TensorNames): SourceTensor[] {
  const byName = new Map<string, ModelTensor[]>();
  for (const each of planned) {
    const group = byName.get(each.tensor);
    if (group === undefined) byName.set(each.tensor, [each]);
    else group.push(each);
  }
  return [...byName].map(([name, parts]) => {
    const { shape, experts } = parts[0]!;
    const matrices = parts.map((part) => openMatrix(store, part, names));
    return sourceTensor(names.spell(name), experts === undefined ? shape : [experts, ...shape], matrices);
  });
}

/** A tensor of one matrix, or a stack of several. */
export function sourceTensor(name: string, shape: readonly number[], matrices: readonly StoredMatrix[]): SourceTensor {
  /** A band of rows at a time; whole heads of any usual size in it. */
  function* bands<T>(read: (matrix: StoredMatrix) => (from: number, to: number) => T): Generator<T> {
    for (const matrix of matrices) {
      const rows = read(matrix);
      const most = Math.max(1, Math.floor(pieceElements / matrix.columns));
      const step = most > 256 ? most - (most % 256) : most;
      for (let from = 0; from < matrix.rows; from += step) yield rows(from, Math.min(from + step, matrix.rows));
    }
  }
  return {
    ...{ name, shape },
    stored: [...new Set(matrices.map(({ stored }) => stored))].join(", "),
    storedBytes: matrices.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    get exact() {
      return commonTypes(matrices)[0]!;
    },
    rows: () => bands((matrix) => matrix.open().decode),
    encoded(type: TensorType) {
      if (type === "f32" || !commonTypes(matrices).includes(type)) return undefined;
      return bands((matrix) => {
        const rows = matrix.open();
        return (from, to) => rows.encode(type, from, to);
      });
    },
  };
}

function openMatrix(store: TensorStore, tensor: ModelTensor, names: TensorNames): StoredMatrix {
  const { module, parameter, shape, permutedHeads } = tensor;
  const name = names.rename(`${module}.${parameter}`);
  const [rows, columns] = shape.length === 1 ? [1, shape[0]!] : [shape[0]!, shape[1]!];
  const matrix =
    openQuantized(store, name, { rows, columns }, names.quantization) ?? openDense(store, name, shape, names.cut);
  refuseBias(store, name);
  return permutedHeads === undefined ? matrix : permuteHeads(matrix, rows / permutedHeads);
}

function openDense(store: TensorStore, name: string, shape: readonly number[], cut: boolean): StoredMatrix {
  if (!store.has(name)) {
    const expected = `expected one of shape [${shape.join(", ")}]`;
    throw new GrokError("shape", `${store.path}: tensor ${name} is missing, ${expected}`, {
      ...{ path: store.path, tensor: name, expected: shape },
    });
  }
  const parts = cut ? store.parts(name) : [store.entry(name)];
  const dense = (entry: SafetensorsEntry): StoredMatrix => {
    const own = entry.shape;
    return own.length === 1 ? denseMatrix(entry, 1, own[0]!) : denseMatrix(entry, own[0]!, own[1]!);
  };
  if (parts.every((part) => part.shape.length === shape.length)) {
    if (parts.length === 1 && parts[0]!.shape.every((n, axis) => n === shape[axis])) return dense(parts[0]!);
    for (const [axis, join] of [stackRows, joinColumns].entries()) {
      if (parts.length > 1 && shape.length === 2 && fits(parts, shape, axis)) return join(parts.map(dense));
    }
  }
  const found = parts.map(({ shape: own }) => `[${own.join(", ")}]`).join(" and ");
  throw new GrokError(
    "shape",
    `${parts[0]!.source}: tensor ${name} has shape ${found}, expected [${shape.join(", ")}]`,
    { path: parts[0]!.source, tensor: name, expected: shape, found: parts[0]!.shape },
  );
}

/** Whether parts are together of a shape, one after another along an axis. */
function fits(parts: readonly SafetensorsEntry[], shape: readonly number[], axis: number): boolean {
  const along = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
  return along === shape[axis] && parts.every((part) => part.shape[1 - axis] === shape[1 - axis]);
}

/** Quantizers write a bias of zeros beside each matrix. */
function refuseBias(store: TensorStore, name: string): void {
  const bias = name.replace(/\.[^.]*$/, ".bias");
  if (!store.has(bias)) return;
  const entry = store.entry(bias);
  if (entry.byteLength <= 2 ** 24 && Array.from(entry.values() as ArrayLike<number>).every((value) => value === 0))
    return;
  throw new GrokError(
    "unsupported",
    `${entry.source}: tensor ${bias}: a bias, which models of this architecture lack`,
    {
      ...{ path: entry.source, tensor: bias },
    },
  );
}
