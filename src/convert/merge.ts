import { statSync } from "node:fs";
import type { AtomicWriteOptions } from "../bytes/atomic-write.ts";
import { checkDestination } from "../bytes/destination.ts";
import { GrokError } from "../errors.ts";
import { type GgufFile, type OpaqueTensor, openGguf } from "../formats/gguf/file.ts";
import { type TensorToWrite, writeGguf } from "../formats/gguf/write.ts";
import { checkAdapterScale } from "../model/lora/adapter.ts";
import { readAdapter } from "../model/lora/read.ts";
import { checkList, checkNames, checkText } from "../options.ts";
import { canDecode, canEncode } from "../tensor/decode.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";
import { tensorChunks } from "./copy.ts";
import { chooseType, isKept, type Kept, measureKept } from "./kept.ts";
import { encodeMerged, openMergedRows, type ScaledTerm } from "./merged-rows.ts";

/** Types that merged matrices can be written in. */
export const mergeTypes = [
  ...["f32", "f16", "bf16", "q8_0", "q6_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0"],
] as const satisfies readonly TensorType[];

export interface MergeOptions extends AtomicWriteOptions {
  /** The base: a GGUF file, or any one of a split one's. Stays as it is. */
  readonly model: string;
  /** The GGUF file to write. */
  readonly out: string;
  /** Adapters, and what multiplies each one's own scale. */
  readonly adapters: readonly { readonly path: string; readonly scale?: number }[];
  /**
   * Type of the matrices that change; the others are copied byte for byte. "keep": for each matrix its own, or the next larger one
   * in which rounding keeps the update ({@link isKept}). Default "keep".
   */
  readonly type?: TensorType | "keep";
  /** Told each matrix that changes, before it is written. */
  readonly onTensor?: (name: string, type: TensorType) => void;
}

/** A matrix that was changed. */
export interface MergedTensor {
  readonly name: string;
  readonly from: TensorType;
  readonly to: TensorType;
  /** What rounding to the type makes of the update. */
  readonly kept: Kept;
  /** Whether the type keeps the update; false only of a type that the caller insisted on, or where even f32 does not. */
  readonly good: boolean;
}

export interface MergeResult {
  readonly changed: readonly MergedTensor[];
  readonly copied: number;
  readonly bytes: number;
}

/**
 * Writes a model with adapters added into its weights, W + Σ scale B A, as a GGUF file of its own: streaming, and atomically.
 * Values are decoded, added to and encoded a row at a time; metadata and all other tensors are copied, those of types that grok1
 * does not know among them, and experts that no adapter changes.
 *
 * @throws GrokError `io`, `cancelled`; `argument` when the result would stand in place of the base, rows do not fill the type's
 * blocks, or a sum is past what the type holds; `unsupported` naming a tensor that can be neither read nor copied; what reading
 * the model and the adapters throws.
 */
export async function merge(options: MergeOptions): Promise<MergeResult> {
  checkNames("merge", options, mergeOptionNames);
  const { model, out, type = "keep", adapters, onTensor } = options;
  checkText("model", model);
  checkText("out", out);
  checkList("adapters", adapters);
  for (const [i, { path }] of adapters.entries()) checkText(`adapters[${i}].path`, path);
  if (type !== "keep" && !canEncode(type)) {
    throw new GrokError("unsupported", `tensor type ${type} cannot be encoded`, { type });
  }
  const file = openGguf(model);
  try {
    checkDestination(out, file.paths, "the base model itself");
    const terms = collectTerms(file, adapters);
    const changed: MergedTensor[] = [];
    const tensors = [...file.tensors.values()].map((tensor): TensorToWrite => {
      const own = terms.get(tensor.name);
      const { name, shape, type: from } = tensor;
      if (own === undefined) return { name, shape, type: from, data: () => tensorChunks(tensor) };
      const merged = openMergedRows(tensor, own);
      if (type !== "keep") checkBlocks(tensor, type);
      const { type: to, kept } = type === "keep" ? chooseType(merged) : { type, kept: measureKept(merged, type) };
      // A type that cannot hold the sums: writing names the first of them.
      changed.push({ name, from, to, kept: kept ?? nothing, good: kept !== undefined && isKept(kept) });
      return {
        ...{ name, shape, type: to },
        *data() {
          onTensor?.(name, to);
          yield* encodeMerged(merged, to);
        },
      };
    });
    const opaque = [...file.opaque.values()].map(copyOpaque);
    const keys = [...file.metadata.keys()].filter((key) => !key.startsWith("split."));
    const metadata = keys.map((key) => [key, file.metadata.encoded(key)] as const);
    await writeGguf(out, { metadata, tensors: [...tensors, ...opaque] }, options);
    return { changed, copied: tensors.length + opaque.length - changed.length, bytes: statSync(out).size };
  } finally {
    file.close();
  }
}

export const mergeOptionNames = Object.keys({
  ...{ model: true, out: true, adapters: true, type: true, onTensor: true, signal: true },
} satisfies Record<keyof MergeOptions, true>);

const nothing: Kept = { update: 0, error: Number.POSITIVE_INFINITY, errorOfUpdate: Number.POSITIVE_INFINITY };

/** A tensor of unknown type, its bytes as they are. @throws GrokError `unsupported` where the file does not tell how many. */
function copyOpaque(tensor: OpaqueTensor): TensorToWrite {
  const { name, shape, ggml, typeName, source, byteLength } = tensor;
  if (byteLength > 0) return { name, shape, ggml, byteLength, data: () => tensorChunks(tensor) };
  throw new GrokError(
    "unsupported",
    `${source}: tensor ${name} is of ${typeName}, and the file does not tell where its bytes end: it cannot be copied`,
    { path: source, tensor: name, type: typeName },
  );
}

/** The terms of each tensor of the file; experts may lie there in a stack or one by one. Terms that add nothing are left out. */
function collectTerms(file: GgufFile, adapters: MergeOptions["adapters"]): Map<string, ScaledTerm[]> {
  const terms = new Map<string, ScaledTerm[]>();
  for (const { path, scale: factor = 1 } of adapters) {
    checkAdapterScale(path, factor);
    for (const { target, rank, scale, a, b } of readAdapter(path, file).terms) {
      const { expert = 0 } = target;
      const single = target.tensor.replace("_exps.weight", `.${expert}.weight`);
      const stacked = file.tensors.has(target.tensor);
      const tensor = file.tensor(stacked ? target.tensor : single);
      if (!canDecode(tensor.type)) {
        throw new GrokError(
          "unsupported",
          `${tensor.source}: tensor ${tensor.name} is of type ${tensor.type}, which cannot be decoded, so nothing can be added to it`,
          { path: tensor.source, tensor: tensor.name, type: tensor.type },
        );
      }
      if (scale * factor === 0 || a.every((value) => value === 0) || b.every((value) => value === 0)) continue;
      const list = terms.get(tensor.name) ?? [];
      list.push({ rank, scale: scale * factor, a, b, expert: stacked ? expert : 0 });
      terms.set(tensor.name, list);
    }
  }
  return terms;
}

function checkBlocks({ name, source, shape }: Tensor, type: TensorType): void {
  const { blockSize } = tensorTypes[type];
  if (shape.at(-1)! % blockSize === 0) return;
  throw new GrokError(
    "argument",
    `${source}: tensor ${name}: rows of ${shape.at(-1)} do not fill blocks of ${blockSize} (${type}): choose another type`,
    { path: source, tensor: name, type },
  );
}
