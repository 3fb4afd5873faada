import { GrokError } from "../errors.ts";
import type { KvType } from "../kernels/ops.ts";
import { elementCount } from "../tensor/tensor.ts";
import { encodedBytes, tensorTypes } from "../tensor/types.ts";
import { readConfig } from "./config.ts";
import type { ModelConfig, ModelFile } from "./model.ts";
import { architectureNames } from "./registry.ts";

/** What a file holds and what a token costs, from names, shapes and metadata alone. */
export interface ModelDescription {
  readonly path: string;
  readonly architecture: string;
  /** Whether grok1 runs the architecture. */
  readonly runs: boolean;
  /** `general.name`, where the file has one. */
  readonly name?: string;
  /** Absent where the metadata do not describe a decoder of the usual form. */
  readonly config?: ModelConfig;
  readonly tensors: number;
  /** All elements of all tensors. */
  readonly parameters: number;
  /** Those that take part in one token: all but the experts that are not chosen. */
  readonly parametersUsed: number;
  /** Encoded bytes of all tensors of known type. */
  readonly bytes: number;
  /** Bytes of weights that decoding one token reads: of an embedding beside a separate output matrix, one row. */
  readonly bytesPerToken: number;
  /** By tensor type, largest first. */
  readonly types: readonly TypeShare[];
  /** Bytes of keys and values a token takes in a cache of each type that suits the head size; absent without a config. */
  readonly kvBytesPerToken?: Readonly<Partial<Record<KvType, number>>>;
}

export interface TypeShare {
  readonly type: string;
  readonly tensors: number;
  readonly parameters: number;
  /** Absent for a type that grok1 does not know. */
  readonly bytes?: number;
}

const kvTypes: readonly KvType[] = ["f32", "f16", "q8_0", "q4_0"];

/** Describes a model without binding it. @throws GrokError `format` when the file does not name its architecture. */
export function describeModel(file: ModelFile): ModelDescription {
  const architecture = file.metadata.string("general.architecture");
  const config = tryConfig(file);
  const untied = file.tensors.has("output.weight");
  const name = file.metadata.get("general.name");
  const shares = new Map<string, { tensors: number; parameters: number; bytes?: number }>();
  let parametersUsed = 0;
  let bytesPerToken = 0;

  const count = (type: string, elements: number, bytes: number | undefined) => {
    const share = shares.get(type) ?? { tensors: 0, parameters: 0, ...(bytes !== undefined && { bytes: 0 }) };
    share.tensors++;
    share.parameters += elements;
    if (bytes !== undefined) share.bytes = (share.bytes ?? 0) + bytes;
    shares.set(type, share);
  };
  for (const tensor of file.tensors.values()) {
    const elements = elementCount(tensor.shape);
    const bytes = encodedBytes(tensor.type, elements);
    const used = usedShare(tensor.name, config);
    count(tensor.type, elements, bytes);
    parametersUsed += elements * used;
    bytesPerToken += untied && tensor.name === "token_embd.weight" ? bytes / tensor.shape[0]! : bytes * used;
  }
  for (const [tensor, { typeName, shape }] of file.opaque ?? []) {
    const elements = elementCount(shape);
    count(typeName, elements, undefined);
    parametersUsed += elements * usedShare(tensor, config);
  }

  const types = [...shares].map(([type, share]) => ({ type, ...share }));
  types.sort((a, b) => (b.bytes ?? 0) - (a.bytes ?? 0) || b.parameters - a.parameters);
  const sum = (of: (share: TypeShare) => number) => types.reduce((total, share) => total + of(share), 0);
  return {
    path: file.path,
    architecture,
    runs: architectureNames.includes(architecture),
    ...(typeof name === "string" && { name }),
    ...(config !== undefined && { config, kvBytesPerToken: kvBytes(config) }),
    tensors: sum((share) => share.tensors),
    parameters: sum((share) => share.parameters),
    parametersUsed: Math.round(parametersUsed),
    bytes: sum((share) => share.bytes ?? 0),
    bytesPerToken: Math.round(bytesPerToken),
    types,
  };
}

/** The fraction of a tensor that one token reads: of experts, those that are chosen. */
function usedShare(name: string, config: ModelConfig | undefined): number {
  if (config === undefined || config.experts === 0) return 1;
  return /\.ffn_(gate|up|down)(_exps|\.\d+)\./.test(name) ? config.used / config.experts : 1;
}

function tryConfig(file: ModelFile): ModelConfig | undefined {
  try {
    return readConfig(file);
  } catch (error) {
    if (error instanceof GrokError) return undefined;
    throw error;
  }
}

function kvBytes({ layers, kvHeads, headSize }: ModelConfig): Partial<Record<KvType, number>> {
  const suited = kvTypes.filter((type) => headSize % tensorTypes[type].blockSize === 0);
  return Object.fromEntries(suited.map((type) => [type, 2 * layers * kvHeads * encodedBytes(type, headSize)]));
}
