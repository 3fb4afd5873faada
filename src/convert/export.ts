import type { AtomicWriteOptions } from "../bytes/atomic-write.ts";
import { GrokError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/encode.ts";
import { type TensorToWrite, writeGguf } from "../formats/gguf/write.ts";
import { encodeRow } from "../tensor/decode.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";

/** Types that a model in memory is written in. */
export const exportTypes = ["f32", "f16", "q8_0", "q4_0"] as const satisfies readonly TensorType[];

export type ExportType = (typeof exportTypes)[number];

type Metadata = readonly (readonly [key: string, value: GgufValue])[];

/** A model as numbers in memory. */
export interface ModelToWrite {
  /** What it is: `general.*` and the keys under its architecture's name. */
  readonly metadata: Metadata;
  /** `tokenizer.*`. */
  readonly tokenizer: Metadata;
  readonly tensors: readonly ModelTensor[];
}

export interface ModelTensor {
  /** As GGUF files name it. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Row-major; asked for when this tensor's turn comes. */
  readonly values: () => Float32Array | Float64Array;
}

/** Numbers of `general.file_type`. */
const fileTypes: Readonly<Record<ExportType, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7 };

/**
 * The type that a tensor is written in. Gains and the router stay f32: they are small, and a choice of experts is not to
 * hang on rounding. The embedding, which is the output matrix too, is q8_0 in a q4_0 file. Rows that do not fill
 * blocks are f16.
 */
export function exportTypeOf({ name, shape }: Pick<ModelTensor, "name" | "shape">, type: ExportType): TensorType {
  if (shape.length === 1 || name.endsWith("ffn_gate_inp.weight")) return "f32";
  const wanted = type === "q4_0" && name === "token_embd.weight" ? "q8_0" : type;
  return shape.at(-1)! % tensorTypes[wanted].blockSize === 0 ? wanted : "f16";
}

/**
 * Writes a model as a GGUF file, encoded, one tensor in memory at a time.
 * @throws GrokError `io`, `cancelled`; `argument` naming a tensor with a value that its type cannot hold.
 */
export async function writeModel(
  path: string,
  model: ModelToWrite,
  type: ExportType,
  options: AtomicWriteOptions = {},
): Promise<void> {
  const tensors = model.tensors.map(({ name, shape, values }): TensorToWrite => {
    const into = exportTypeOf({ name, shape }, type);
    return { name, type: into, shape, data: () => [encode(name, into, Float32Array.from(values()))] };
  });
  const metadata: Metadata = [
    ...model.metadata,
    ["general.file_type", { type: "u32", value: fileTypes[type] }],
    ["general.quantization_version", { type: "u32", value: 2 }],
    ...model.tokenizer,
  ];
  await writeGguf(path, { metadata, tensors }, options);
}

function encode(name: string, type: TensorType, values: Float32Array): Uint8Array {
  try {
    return encodeRow(type, values);
  } catch (error) {
    if (!(error instanceof GrokError)) throw error;
    throw new GrokError(error.code, `tensor ${name}: ${error.message}`, { ...error.details }, error);
  }
}
