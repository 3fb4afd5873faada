import { createHash } from "node:crypto";
import type { GgufValue } from "../formats/gguf/encode.ts";
import type { TensorSpec } from "../model/architecture.ts";
import { grokTensors } from "../model/grok.ts";
import type { ModelFile } from "../model/model.ts";
import { specsOf } from "../model/weights.ts";
import { createRandom } from "../sampling/random.ts";
import { elementCount, type Tensor } from "../tensor/tensor.ts";
import type { TrainModel } from "./config.ts";

/** A trained tensor: its name in a GGUF file, its shape, row-major, and how its first values are drawn. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** Standard deviation of the first values; absent: a gain, all ones. */
  readonly deviation?: number;
}

/**
 * The tensors of a `grok` model, in the order of a file. The output matrix is the embedding, as in Grok-1.
 *
 * First values are normal. Projections: sqrt(2 / (5 width)), "small init" (Nguyen & Salazar, 2019), near 0.02 at GPT-2's
 * sizes and wider for small models. What writes to the residual stream: that by 1 / sqrt(2 layers) (Radford et al., GPT-2,
 * 2019). The router: a tenth, so that training begins with even choices (Fedus et al., Switch Transformers, 2021, 2.4).
 * The embedding: 1 / sqrt(width), which the embedding scale of sqrt(width) brings to 1, and with which logits begin near 0.
 */
export function parameterSpecs(model: TrainModel, vocab: number): ParameterSpec[] {
  const { layers, width, hidden: expertHidden, context: contextLength } = model;
  const deviation = Math.sqrt(2 / (5 * width));
  const residual = deviation / Math.sqrt(2 * layers);
  const table = grokTensors({ ...model, vocab, contextLength, hidden: 0, expertHidden });
  const deviationOf = (spec: TensorSpec): Pick<ParameterSpec, "deviation"> => {
    if (spec.shape.length === 1) return {};
    if (spec === table.router) return { deviation: deviation / 10 };
    return { deviation: spec === table.output || spec === table.experts.down ? residual : deviation };
  };
  const blocks = Array.from({ length: layers }, (_, layer) =>
    specsOf(table).map((spec): ParameterSpec => {
      const { name, alias = name, shape } = spec;
      return { name: `blk.${layer}.${alias}.weight`, shape, ...deviationOf(spec) };
    }),
  );
  return [
    { name: "token_embd.weight", shape: [vocab, width], deviation: 1 / Math.sqrt(width) },
    { name: "output_norm.weight", shape: [width] },
    ...blocks.flat(),
  ];
}

/** A tensor's first values. They depend on the seed and its own name and size alone. */
export function drawValues({ name, shape, deviation }: ParameterSpec, seed: number): Float32Array {
  const values = new Float32Array(elementCount(shape));
  if (deviation === undefined) return values.fill(1);
  const random = createRandom(createHash("sha256").update(`${seed}/${name}`).digest().readUIntLE(0, 6));
  // Box and Muller (1958): two normal numbers from two uniform ones, of which the first must not be 0.
  for (let i = 0; i < values.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random.uniform()));
    const angle = 2 * Math.PI * random.uniform();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

export interface ParameterCount {
  readonly all: number;
  /** Those that take part in one token: all but the experts that are not chosen. */
  readonly used: number;
}

export function countParameters(model: TrainModel, vocab: number): ParameterCount {
  let all = 0;
  let used = 0;
  for (const { shape } of parameterSpecs(model, vocab)) {
    const count = elementCount(shape);
    all += count;
    used += shape.length === 3 ? (count / model.experts) * model.used : count;
  }
  return { all, used };
}

/** The model's own metadata, as they stand in a GGUF file. Scales are Grok-1's rules at this width. */
export function modelMetadata(model: TrainModel): readonly (readonly [string, GgufValue])[] {
  const count = (value: number): GgufValue => ({ type: "u32", value });
  const real = (value: number): GgufValue => ({ type: "f32", value: Math.fround(value) });
  return [
    ["general.architecture", { type: "string", value: model.architecture }],
    ["general.name", { type: "string", value: model.name }],
    ["grok.block_count", count(model.layers)],
    ["grok.context_length", count(model.context)],
    ["grok.embedding_length", count(model.width)],
    ["grok.feed_forward_length", count(model.hidden)],
    ["grok.attention.head_count", count(model.heads)],
    ["grok.attention.head_count_kv", count(model.kvHeads)],
    ["grok.attention.key_length", count(model.headSize)],
    ["grok.attention.value_length", count(model.headSize)],
    ["grok.attention.layer_norm_rms_epsilon", real(1e-5)],
    ["grok.rope.dimension_count", count(model.headSize)],
    ["grok.rope.freq_base", real(model.ropeBase)],
    ["grok.expert_count", count(model.experts)],
    ["grok.expert_used_count", count(model.used)],
    ["grok.embedding_scale", real(Math.sqrt(model.width))],
    ["grok.logit_scale", real(1 / Math.sqrt(3))],
    ["grok.attention.output_scale", real(1 / Math.sqrt(model.headSize))],
    ["grok.attn_logit_softcapping", real(30)],
  ];
}

/** A model in memory as a file, to bind. */
export function memoryModel(model: TrainModel, tensors: ReadonlyMap<string, Tensor>): ModelFile {
  const values = new Map(modelMetadata(model).map(([key, value]) => [key, "value" in value ? value.value : undefined]));
  const read = <T>(key: string, fallback?: T) => (values.get(key) ?? fallback) as T;
  return { path: model.name, metadata: { get: (key) => values.get(key), string: read, number: read }, tensors };
}
