import { GrokError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/encode.ts";
import { type TensorToWrite, writeGguf } from "../formats/gguf/write.ts";
import { encodeRow } from "../tensor/decode.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";
import type { TrainAbout, TrainModel } from "./config.ts";
import type { ExportType } from "./options.ts";
import { modelMetadata, type ParameterSpec } from "./parameters.ts";

export interface ExportedModel {
  readonly model: TrainModel;
  readonly about?: TrainAbout;
  /** `tokenizer.ggml.*`. */
  readonly tokenizer: readonly (readonly [string, GgufValue])[];
  readonly chatTemplate?: string;
  readonly specs: readonly ParameterSpec[];
  readonly values: (spec: ParameterSpec) => Float32Array | Float64Array;
}

/** Numbers of `general.file_type`. */
const fileTypes: Readonly<Record<ExportType, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7 };

/**
 * The type that a tensor is written in. Gains and the router stay f32: they are small, and a choice of experts is not to
 * hang on rounding. The embedding, which is the output matrix too, is q8_0 in a q4_0 file. Rows that do not fill
 * blocks are f16.
 */
export function exportTypeOf({ name, shape }: ParameterSpec, type: ExportType): TensorType {
  if (shape.length === 1 || name.endsWith("ffn_gate_inp.weight")) return "f32";
  const wanted = type === "q4_0" && name === "token_embd.weight" ? "q8_0" : type;
  return shape.at(-1)! % tensorTypes[wanted].blockSize === 0 ? wanted : "f16";
}

/** Writes a model as a GGUF file that `grok1 run` opens. @throws GrokError `io`. */
export async function exportModel(path: string, exported: ExportedModel, type: ExportType): Promise<void> {
  const tensors = exported.specs.map((spec): TensorToWrite => {
    const into = exportTypeOf(spec, type);
    return {
      name: spec.name,
      type: into,
      shape: spec.shape,
      data: () => [encode(spec, into, Float32Array.from(exported.values(spec)))],
    };
  });
  const template: [string, GgufValue][] =
    exported.chatTemplate === undefined
      ? []
      : [["tokenizer.chat_template", { type: "string", value: exported.chatTemplate }]];
  const metadata: (readonly [string, GgufValue])[] = [
    ...modelMetadata(exported.model),
    ...Object.entries(exported.about ?? {}).map(([key, value]): [string, GgufValue] => [
      `general.${key}`,
      { type: "string", value },
    ]),
    ["general.file_type", { type: "u32", value: fileTypes[type] }],
    ["general.quantization_version", { type: "u32", value: 2 }],
    ...exported.tokenizer,
    ...template,
  ];
  await writeGguf(path, { metadata, tensors });
}

function encode(spec: ParameterSpec, type: TensorType, values: Float32Array): Uint8Array {
  try {
    return encodeRow(type, values);
  } catch (error) {
    if (!(error instanceof GrokError)) throw error;
    throw new GrokError(error.code, `tensor ${spec.name}: ${error.message}`, { ...error.details }, error);
  }
}
