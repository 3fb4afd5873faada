import { statSync } from "node:fs";
import type { AtomicWriteOptions } from "../bytes/atomic-write.ts";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { type TensorToWrite, writeGguf } from "../formats/gguf/write.ts";
import { checkAdapterScale, type LowRankTerm } from "../model/lora/adapter.ts";
import { readAdapter } from "../model/lora/read.ts";
import { canEncode, decodeRow, encodeRow } from "../tensor/decode.ts";
import { elementCount, matrixPlaces, readPlace, type Tensor } from "../tensor/tensor.ts";
import { encodedBytes, type TensorType, tensorTypes } from "../tensor/types.ts";
import { tensorChunks } from "./copy.ts";

export interface MergeOptions extends AtomicWriteOptions {
  /** Adapters, and what multiplies each one's own scale. */
  readonly adapters: readonly { readonly path: string; readonly scale?: number }[];
  /**
   * Type of the matrices that change; the others are copied byte for byte. "keep": their own, or where that has no encoder the
   * nearest larger one that has ({@link keptType}). Default "keep".
   */
  readonly type?: TensorType | "keep";
  /** Told each matrix that changes, before it is written. */
  readonly onTensor?: (name: string, type: TensorType) => void;
}

export interface MergeResult {
  /** Matrices that were changed, with their type before and after. */
  readonly changed: readonly { readonly name: string; readonly from: TensorType; readonly to: TensorType }[];
  readonly copied: number;
  readonly bytes: number;
}

/** For types that are only read: the smallest written type with more bits an element that blocks of the same rows fit. */
const larger: Partial<Record<TensorType, TensorType>> = {
  ...{ q2_k: "q4_k", q3_k: "q4_k", q5_k: "q6_k", iq4_xs: "q4_k", iq4_nl: "q5_0" },
  ...{ i8: "f16", i16: "f32", i32: "f32", i64: "f32", f64: "f32" },
};

/** What a merged matrix of a type is written as: the type itself where grok1 writes it, else the nearest larger one. */
export function keptType(type: TensorType): TensorType {
  if (canEncode(type)) return type;
  return larger[type] ?? "f16";
}

/**
 * Writes a model with adapters added into its weights, W + Σ scale B A, as a GGUF file of its own: streaming, and atomically.
 * Values are decoded, added to and encoded a row at a time; metadata and all other tensors are copied.
 *
 * @throws GrokError `io`, `cancelled`; `argument` when the result would stand in place of the base, or rows do not fill the
 * type's blocks; what reading the model and the adapters throws.
 */
export async function mergeAdapters(model: string, out: string, options: MergeOptions): Promise<MergeResult> {
  const file = openGguf(model);
  try {
    if (file.paths.some((path) => isSameFile(path, out))) {
      throw new GrokError("argument", `${out}: is the base model itself, which stays as it is`, { path: out });
    }
    const terms = collectTerms(file, options.adapters);
    const changed: { name: string; from: TensorType; to: TensorType }[] = [];
    const tensors = [...file.tensors.values()].map((tensor): TensorToWrite => {
      const own = terms.get(tensor.name);
      const { name, shape, type: from } = tensor;
      if (own === undefined) return { name, shape, type: from, data: () => tensorChunks(tensor) };
      const to = options.type === undefined || options.type === "keep" ? keptType(from) : options.type;
      checkBlocks(tensor, to);
      changed.push({ name, from, to });
      return {
        ...{ name, shape, type: to },
        *data() {
          options.onTensor?.(name, to);
          yield* mergedChunks(tensor, to, own);
        },
      };
    });
    const keys = [...file.metadata.keys()].filter((key) => !key.startsWith("split."));
    const metadata = keys.map((key) => [key, file.metadata.encoded(key)] as const);
    await writeGguf(out, { metadata, tensors }, options);
    return { changed, copied: tensors.length - changed.length, bytes: statSync(out).size };
  } finally {
    file.close();
  }
}

function isSameFile(path: string, other: string): boolean {
  try {
    const [a, b] = [statSync(path), statSync(other)];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}

type ScaledTerm = Pick<LowRankTerm, "rank" | "scale" | "a" | "b"> & { readonly expert: number };

/** The terms of each tensor of the file; experts may lie there in a stack or one by one. */
function collectTerms(file: GgufFile, adapters: MergeOptions["adapters"]): Map<string, ScaledTerm[]> {
  const terms = new Map<string, ScaledTerm[]>();
  for (const { path, scale: factor = 1 } of adapters) {
    checkAdapterScale(path, factor);
    for (const { target, rank, scale, a, b } of readAdapter(path, file).terms) {
      const { expert = 0 } = target;
      const single = target.tensor.replace("_exps.weight", `.${expert}.weight`);
      const stacked = file.tensors.has(target.tensor);
      const name = stacked ? target.tensor : single;
      const list = terms.get(name) ?? [];
      list.push({ rank, scale: scale * factor, a, b, expert: stacked ? expert : 0 });
      terms.set(name, list);
    }
  }
  for (const name of terms.keys()) file.tensor(name);
  return terms;
}

function checkBlocks({ name, source, shape }: Tensor, type: TensorType): void {
  if (!canEncode(type)) throw new GrokError("unsupported", `tensor type ${type} cannot be encoded`, { type });
  const { blockSize } = tensorTypes[type];
  if (shape.at(-1)! % blockSize === 0) return;
  throw new GrokError(
    "argument",
    `${source}: tensor ${name}: rows of ${shape.at(-1)} do not fill blocks of ${blockSize} (${type}): choose another type`,
    { path: source, tensor: name, type },
  );
}

/** Encoded rows in chunks of about this size. */
const chunkBytes = 1 << 20;

function* mergedChunks(tensor: Tensor, type: TensorType, terms: readonly ScaledTerm[]): Generator<Uint8Array> {
  const matrices = matrixPlaces(tensor);
  const cols = tensor.shape.at(-1)!;
  const rows = elementCount(tensor.shape) / cols / matrices.length;
  const rowBytes = encodedBytes(tensor.type, cols);
  const most = Math.max(1, Math.floor(chunkBytes / encodedBytes(type, cols)));
  const values = new Float32Array(cols);
  const sums = new Float64Array(cols);
  for (const [matrix, place] of matrices.entries()) {
    const own = terms.filter(({ expert }) => expert === matrix);
    for (let start = 0; start < rows; start += most) {
      const end = Math.min(rows, start + most);
      const bytes = readPlace(place, start * rowBytes, end * rowBytes);
      const chunk = new Uint8Array((end - start) * encodedBytes(type, cols));
      const outBytes = chunk.length / (end - start);
      for (let row = start; row < end; row++) {
        const at = (row - start) * rowBytes;
        decodeRow(tensor.type, bytes.subarray(at, at + rowBytes), values);
        sums.set(values);
        for (const { rank, scale, a, b } of own) {
          for (let r = 0; r < rank; r++) {
            const factor = scale * b[row * rank + r]!;
            for (let col = 0, from = r * cols; col < cols; col++, from++) sums[col] = sums[col]! + factor * a[from]!;
          }
        }
        values.set(sums);
        encodeRow(type, values, chunk.subarray((row - start) * outBytes, (row - start + 1) * outBytes));
      }
      yield chunk;
    }
  }
}
