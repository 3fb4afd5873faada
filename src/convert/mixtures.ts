import { GrokError } from "../errors.ts";
import { canEncode } from "../tensor/decode.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";
import { fitRows } from "./fit-rows.ts";
import type { Recipe } from "./recipe.ts";
import type { Metadata, SourceTensor } from "./source.ts";

/**
 * Mixtures of types by the names that the field gives them, which mean what llama.cpp's quantizer means by them: most matrices in one type,
 * the ones that a model is most sensitive to in larger ones. Checked against that quantizer's own choices by tests.
 */
const mixtures = {
  Q2_K: { fileType: 10, type: "q2_k" },
  Q2_K_S: { fileType: 21, type: "q2_k" },
  Q3_K_S: { fileType: 11, type: "q3_k" },
  Q3_K_M: { fileType: 12, type: "q3_k" },
  Q3_K_L: { fileType: 13, type: "q3_k" },
  Q4_0: { fileType: 2, type: "q4_0" },
  Q4_1: { fileType: 3, type: "q4_1" },
  Q4_K_S: { fileType: 14, type: "q4_k" },
  Q4_K_M: { fileType: 15, type: "q4_k" },
  Q5_0: { fileType: 8, type: "q5_0" },
  Q5_1: { fileType: 9, type: "q5_1" },
  Q5_K_S: { fileType: 16, type: "q5_k" },
  Q5_K_M: { fileType: 17, type: "q5_k" },
  Q6_K: { fileType: 18, type: "q6_k" },
  Q8_0: { fileType: 7, type: "q8_0" },
  IQ1_S: { fileType: 24, type: "iq1_s" },
  IQ1_M: { fileType: 31, type: "iq1_m" },
  IQ2_XXS: { fileType: 19, type: "iq2_xxs" },
  IQ2_XS: { fileType: 20, type: "iq2_xs" },
  IQ2_S: { fileType: 28, type: "iq2_xs" },
  IQ2_M: { fileType: 29, type: "iq2_s" },
  IQ3_XXS: { fileType: 23, type: "iq3_xxs" },
  IQ3_XS: { fileType: 22, type: "iq3_s" },
  IQ3_S: { fileType: 26, type: "iq3_s" },
  IQ3_M: { fileType: 27, type: "iq3_s" },
  IQ4_NL: { fileType: 25, type: "iq4_nl" },
  IQ4_XS: { fileType: 30, type: "iq4_xs" },
  TQ1_0: { fileType: 36, type: "tq1_0" },
  TQ2_0: { fileType: 37, type: "tq2_0" },
  MXFP4_MOE: { fileType: 38, type: "mxfp4" },
  F16: { fileType: 1, type: "f16" },
  BF16: { fileType: 32, type: "bf16" },
  F32: { fileType: 0, type: "f32" },
} as const satisfies Record<string, { fileType: number; type: TensorType }>;

export type Mixture = keyof typeof mixtures;

/** Those whose types can all be written here. */
export const mixtureNames = (Object.keys(mixtures) as Mixture[]).filter((name) => canEncode(mixtures[name].type));

/** What of a model decides which of its matrices get more bits. */
interface ModelShape {
  readonly layers: number;
  readonly experts: number;
  /** Query heads that share a head of keys and values. */
  readonly group: number;
  /** 80 layers of a Llama whose heads share: its few values are worth more bits. */
  readonly isLlama70B: boolean;
  readonly tied: boolean;
  /** Whether importance is known. */
  readonly informed: boolean;
}

/** A type for tensors whose name the pattern is found in. The first that fits counts. */
export interface TypeOverride {
  readonly pattern: RegExp;
  readonly type: TensorType;
}

export interface MixtureOptions {
  readonly informed: boolean;
  /** Every matrix in the mixture's main type. */
  readonly pure: boolean;
  readonly overrides: readonly TypeOverride[];
}

/**
 * A mixture for a model. Gains and the router are f32, whatever else is no matrix stays as it is stored.
 * @throws GrokError `argument` for a name that is none.
 */
export function mixtureNamed(
  name: string,
  { metadata, tensors }: { readonly metadata: Metadata; readonly tensors: readonly Pick<SourceTensor, "name">[] },
  { informed, pure, overrides }: MixtureOptions,
): Recipe {
  const mixture = name.toUpperCase() as Mixture;
  if (!mixtureNames.includes(mixture)) {
    throw new GrokError("argument", `type is ${name}, expected one of ${mixtureNames.join(", ")}`, {
      option: "type",
      found: name,
    });
  }
  const idle = overrides.find(({ pattern }) => !tensors.some((tensor) => pattern.test(tensor.name)));
  if (idle !== undefined) {
    throw new GrokError("argument", `no tensor's name fits ${idle.pattern.source}, which is to be ${idle.type}`, {
      option: "overrides",
      found: idle.pattern.source,
    });
  }
  const { fileType, type } = mixtures[mixture];
  const shape = { ...shapeOf(metadata), tied: !tensors.some((tensor) => tensor.name === "output.weight"), informed };
  return {
    ...{ name: mixture, fileType },
    typeOf(tensor) {
      if (isSmall(tensor)) return "f32";
      if (!isQuantized(tensor)) return tensor.exact;
      const blocks = tensorTypes[type].blockSize > 1;
      const override = blocks ? overrides.find(({ pattern }) => pattern.test(tensor.name)) : undefined;
      const wanted = override?.type ?? (pure || !blocks ? type : typeIn(mixture, type, tensor, shape));
      return fitRows(wanted, tensor.shape.at(-1)!);
    },
  };
}

const isQuantized = ({ name, shape }: Pick<SourceTensor, "name" | "shape">): boolean =>
  shape.length >= 2 && name.endsWith("weight") && !name.includes("_norm.weight");

/** Gains and routers, as in every recipe. */
const isSmall = ({ name, shape }: Pick<SourceTensor, "name" | "shape">): boolean =>
  shape.length === 1 || name.includes("ffn_gate_inp.weight");

/** A number or a name of metadata, of a list the first; as it lies in a file or as it is written. */
function scalarOf(value: Metadata[number][1] | undefined): string | number | undefined {
  if (value === undefined) return undefined;
  if (!("encoded" in value)) {
    const plain: unknown = value.type === "array" ? value.value[0] : value.value;
    return typeof plain === "string" ? plain : Number(plain);
  }
  const { type, encoded } = value;
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  if (type === "string") return Buffer.from(encoded.subarray(8)).toString();
  // Of a list: its items' type and number, then they. Counts are whole and small in any type.
  const at = type === "array" ? 12 : 0;
  return view.byteLength >= at + 4 ? view.getUint32(at, true) : view.byteLength > at ? view.getUint8(at) : undefined;
}

function shapeOf(metadata: Metadata): Pick<ModelShape, "layers" | "experts" | "group" | "isLlama70B"> {
  const values = new Map(metadata);
  const architecture = String(scalarOf(values.get("general.architecture")));
  const number = (key: string, otherwise: number): number =>
    Number(scalarOf(values.get(`${architecture}.${key}`)) ?? otherwise);
  const layers = number("block_count", 0);
  const heads = number("attention.head_count", 1);
  const group = heads / Math.max(1, number("attention.head_count_kv", heads));
  const isLlama70B = architecture === "llama" && layers === 80 && group > 1;
  return { layers, experts: number("expert_count", 0), group, isLlama70B };
}

/** Bits go to the first and the last eighth of the layers, and to every third between them. */
const hasMoreBits = (layer: number, layers: number): boolean => {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
};

const isAbout2Bits = (mixture: Mixture) => /^IQ[12]_/.test(mixture);

function typeIn(
  mixture: Mixture,
  type: TensorType,
  tensor: Pick<SourceTensor, "name" | "shape">,
  model: ModelShape,
): TensorType {
  const { name, shape } = tensor;
  const isEmbedding = name === "token_embd.weight";
  if (name === "output.weight" || (isEmbedding && model.tied)) return headType(mixture, type, shape.at(-1)!);
  if (mixture === "MXFP4_MOE") return shape.length === 3 ? "mxfp4" : "q8_0";
  if (isEmbedding) return embeddingType(mixture, type);
  const layer = Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? 0);
  if (isAbout2Bits(mixture)) return typeAbout2Bits(mixture, type, name, layer, model);
  if (/attn_v\.weight|attn_qkv\.weight/.test(name)) return valuesType(mixture, type, layer, model);
  if (/attn_[qk]\.weight/.test(name)) {
    if (name.includes("attn_k") && model.experts === 8) return "q8_0";
    return mixture === "IQ3_XS" ? "iq3_xxs" : mixture === "IQ3_XXS" ? "iq2_s" : type;
  }
  if (name.includes("ffn_down")) return downType(mixture, type, layer, model);
  if (name.includes("attn_output.weight")) return outputType(mixture, type, model);
  const isMiddle = layer >= Math.floor(model.layers / 8) && layer < Math.floor((7 * model.layers) / 8);
  return mixture === "IQ3_XS" && isMiddle && /ffn_(gate|up)/.test(name) ? "iq3_xxs" : type;
}

function headType(mixture: Mixture, type: TensorType, columns: number): TensorType {
  if (mixture === "MXFP4_MOE" || columns % tensorTypes[type].blockSize !== 0 || type === "q8_0") return "q8_0";
  return isAbout2Bits(mixture) || mixture === "IQ3_XXS" ? "q5_k" : "q6_k";
}

function embeddingType(mixture: Mixture, type: TensorType): TensorType {
  if (["IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"].includes(mixture)) return "q2_k";
  if (["IQ2_S", "IQ2_M", "IQ3_XXS"].includes(mixture)) return "iq3_s";
  return mixture === "TQ1_0" || mixture === "TQ2_0" ? "q4_k" : type;
}

function typeAbout2Bits(
  mixture: Mixture,
  type: TensorType,
  name: string,
  layer: number,
  { layers, experts, group }: ModelShape,
): TensorType {
  const larger = mixture === "IQ2_S" || mixture === "IQ2_M" ? "iq3_s" : undefined;
  if (/attn_v\.weight|attn_qkv\.weight/.test(name)) return group >= 4 || experts >= 4 ? "q4_k" : (larger ?? "q2_k");
  if (name.includes("attn_k.weight")) return experts === 8 ? "q4_k" : type;
  if (name.includes("ffn_down")) return layer < Math.floor(layers / 8) ? (larger ?? "q2_k") : type;
  if (!name.includes("attn_output.weight")) return type;
  if (experts === 8) return "q5_k";
  return larger ?? (type === "iq1_s" || type === "iq1_m" ? "iq2_xxs" : type);
}

function valuesType(mixture: Mixture, type: TensorType, layer: number, model: ModelShape): TensorType {
  const { layers, group, experts, informed } = model;
  if (experts === 8) return "q8_0";
  const found = ((): TensorType => {
    if (mixture === "Q2_K") return group >= 4 ? "q4_k" : "q3_k";
    if (mixture === "Q2_K_S") return group >= 4 ? "q4_k" : type;
    if (mixture === "IQ3_XXS") return group >= 4 ? "q4_k" : informed ? "iq3_xxs" : "iq3_s";
    if (mixture === "IQ3_XS" || mixture === "IQ3_S") return group >= 4 ? "q4_k" : type;
    if (mixture === "IQ3_M") return "q4_k";
    if (mixture === "Q3_K_M") return layer < 2 ? "q5_k" : "q4_k";
    if (mixture === "Q3_K_L") return "q5_k";
    if (mixture === "IQ4_NL" || mixture === "IQ4_XS") return group >= 4 ? "q5_k" : type;
    if (mixture === "Q4_K_M" || mixture === "Q5_K_M") return hasMoreBits(layer, layers) ? "q6_k" : type;
    return mixture === "Q4_K_S" && layer < 4 ? "q5_k" : type;
  })();
  return model.isLlama70B && (found === "q3_k" || found === "q4_k") ? "q5_k" : found;
}

function downType(
  mixture: Mixture,
  type: TensorType,
  layer: number,
  { layers, experts, informed }: ModelShape,
): TensorType {
  const isEarly = layer < Math.floor(layers / 8);
  if (mixture === "Q2_K") return "q3_k";
  if (mixture === "Q2_K_S") return isEarly ? "q4_k" : type;
  if (mixture === "IQ3_XXS" && !informed) return isEarly ? "q4_k" : "q3_k";
  if (mixture === "Q3_K_M") return layer < Math.floor(layers / 16) ? "q5_k" : "q4_k";
  if (mixture === "IQ3_M") return isEarly || (experts === 8 && hasMoreBits(layer, layers)) ? "q4_k" : type;
  if (mixture === "Q3_K_L") return "q5_k";
  if (mixture === "Q4_K_M" || mixture === "Q5_K_M") return hasMoreBits(layer, layers) ? "q6_k" : type;
  if ((mixture === "IQ4_NL" || mixture === "IQ4_XS") && !informed) return isEarly ? "q5_k" : type;
  if (mixture === "Q4_K_S") return isEarly ? "q5_k" : type;
  // With importance, and only then, these two are helped by a minimum in the first layers.
  if (mixture === "Q4_0" && informed) return isEarly ? "q4_1" : type;
  return mixture === "Q5_0" && informed && isEarly ? "q5_1" : type;
}

function outputType(mixture: Mixture, type: TensorType, { experts }: ModelShape): TensorType {
  if (experts === 8) {
    const raised: Mixture[] = ["Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M"];
    return [...raised, "IQ3_S", "IQ3_M", "IQ4_XS"].includes(mixture) ? "q5_k" : type;
  }
  const raised: Partial<Record<Mixture, TensorType>> = {
    ...{ Q2_K: "q3_k", IQ3_XXS: "iq3_s", Q3_K_M: "q4_k", Q3_K_L: "q5_k", IQ3_M: "q4_k" },
  };
  return raised[mixture] ?? type;
}
