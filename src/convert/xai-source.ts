import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { readWhole } from "../bytes/whole-file.ts";
import { counted, GrokError } from "../errors.ts";
import { fileBytes, isCheckpoint, openCheckpoint, type XaiTensor } from "../formats/xai/checkpoint.ts";
import { readXaiConfig } from "../formats/xai/config.ts";
import type { PickledArray } from "../formats/xai/pickle-values.ts";
import { maxModelBytes, readSentencePieceModel } from "../tokenizer/sentencepiece-file.ts";
import type { Metadata, ModelSource, SourceTensor } from "./source.ts";
import { tokenizerMetadata } from "./tokenizer-metadata.ts";
import { checkShapes, readMeasures, type XaiMeasures } from "./xai-measures.ts";
import { q8Rows, rowsOf } from "./xai-rows.ts";

export const checkpointName = "ckpt-0";

/** Whether a folder holds a checkpoint as xAI released it, in `ckpt-0`, or is that folder. */
export function isXaiFolder(path: string): boolean {
  return holdsTensors(join(path, checkpointName)) || holdsTensors(path);
}

function holdsTensors(folder: string): boolean {
  try {
    return isCheckpoint(readdirSync(folder));
  } catch {
    return false;
  }
}

/**
 * A folder with a checkpoint of xAI's in `ckpt-0`. What its tensors cannot tell is Grok-1's, or as a `config.json` beside `ckpt-0` says;
 * a `tokenizer.model` beside it comes along.
 * @throws GrokError `io`; `format`, `unsupported`, `shape` naming the file and what was expected; `argument` for `ckpt-0` itself.
 */
export function openXaiSource(path: string): ModelSource {
  if (!holdsTensors(join(path, checkpointName))) {
    const above = dirname(resolve(path));
    throw new GrokError(
      "argument",
      `${path}: is the checkpoint itself; name the folder that holds it as ckpt-0 (${above})`,
      {
        path,
      },
    );
  }
  const found = openCheckpoint(join(path, checkpointName));
  const [configPath, tokenizerPath] = [join(path, "config.json"), join(path, "tokenizer.model")].map((file) =>
    existsSync(file) ? file : undefined,
  );
  const byName = new Map(found.map((tensor) => [tensor.name, tensor]));
  const config = configPath === undefined ? {} : readXaiConfig(configPath);
  const measures = readMeasures(byName, config, configPath ?? path);
  checkShapes(found, measures);
  const tokenizer = tokenizerPath === undefined ? [] : readTokenizer(tokenizerPath, measures);
  return {
    path,
    kind: `a checkpoint as xAI released it, ${counted(measures.layers, "layer")}`,
    metadata: [...modelMetadata(measures, config.name ?? "Grok-1"), ...tokenizer],
    tensors: ggufOrder(measures.layers).map(([name, own]) => sourceTensor(name, byName.get(own)!)),
    files: [...found.map((tensor) => tensor.path), configPath, tokenizerPath].filter((file) => file !== undefined),
    close() {},
  };
}

function readTokenizer(path: string, { vocab }: XaiMeasures): Metadata {
  const model = readSentencePieceModel(readWhole(path, maxModelBytes), path);
  if (model.pieces.count > vocab) {
    throw new GrokError(
      "shape",
      `${path}: ${counted(model.pieces.count, "piece")}, and the embedding has ${vocab} rows`,
      {
        path,
      },
    );
  }
  // xAI's code puts nothing before a prompt.
  return tokenizerMetadata(model, vocab, false);
}

/** Under `grok`: what xai-org/grok-1's model.py is given, and what stands in it. */
function modelMetadata(measures: XaiMeasures, name: string): Metadata {
  const count = (key: string, value: number) => [`grok.${key}`, { type: "u32", value }] as const;
  const number = (key: string, value: number) => [`grok.${key}`, { type: "f32", value }] as const;
  return [
    ["general.architecture", { type: "string", value: "grok" }],
    ["general.name", { type: "string", value: name }],
    count("block_count", measures.layers),
    count("context_length", measures.context),
    count("embedding_length", measures.width),
    count("feed_forward_length", measures.hidden),
    count("attention.head_count", measures.heads),
    count("attention.head_count_kv", measures.kvHeads),
    count("attention.key_length", measures.headSize),
    count("attention.value_length", measures.headSize),
    number("attention.layer_norm_rms_epsilon", 1e-5),
    number("attention.output_scale", measures.attentionScale),
    number("attn_logit_softcapping", 30),
    count("expert_count", measures.experts),
    count("expert_used_count", measures.used),
    count("rope.dimension_count", measures.headSize),
    number("rope.freq_base", 10000),
    number("embedding_scale", measures.embeddingScale),
    number("logit_scale", measures.logitScale),
    count("vocab_size", measures.vocab),
  ];
}

/** A layer's tensors in the order in which it computes, by their names in both. */
const layerNames = [
  ["attn_norm", "rms_norm:scale"],
  ["attn_q", "multi_head_attention/query:w"],
  ["attn_k", "multi_head_attention/key:w"],
  ["attn_v", "multi_head_attention/value:w"],
  ["attn_output", "multi_head_attention/linear:w"],
  ["attn_output_norm", "rms_norm_1:scale"],
  ["ffn_norm", "rms_norm_2:scale"],
  ["ffn_gate_inp", "router:w"],
  ["ffn_gate_exps", "moe/linear:w"],
  ["ffn_up_exps", "moe/linear_v:w"],
  ["ffn_down_exps", "moe/linear_1:w"],
  ["layer_output_norm", "rms_norm_3:scale"],
] as const;

/** Layers by their numbers, so that a pass reads the file from first to last. */
function ggufOrder(layers: number): (readonly [gguf: string, xai: string])[] {
  const inLayers = Array.from({ length: layers }, (_, layer) =>
    layerNames.map(
      ([gguf, xai]) => [`blk.${layer}.${gguf}.weight`, `transformer/decoder_layer_${layer}/${xai}`] as const,
    ),
  );
  return [
    ["token_embd.weight", "language_model/in_out_embed:embeddings"],
    ...inLayers.flat(),
    ["output_norm.weight", "language_model/rms_norm:scale"],
  ];
}

const typeNames = { i1: "int8", f2: "f16", f4: "f32", bfloat16: "bf16" } as const;

function sourceTensor(name: string, tensor: XaiTensor): SourceTensor {
  const { weight, scales } = tensor;
  // A pickle's matrices are [in, out], the embedding and gains as they are.
  const isEmbedding = name === "token_embd.weight";
  const shape = isEmbedding || weight.shape.length < 2 ? weight.shape : swapLast(weight.shape);
  const held = scales && holdsQ8(weight, scales);
  return {
    ...{ name, shape },
    from: basename(tensor.path),
    stored: scales
      ? `${typeNames[weight.type]}, ${typeNames[scales.type]} scales [${scales.shape.join(", ")}]`
      : typeNames[weight.type],
    storedBytes: fileBytes(tensor),
    exact: held
      ? "q8_0"
      : scales || weight.type === "i1"
        ? "f32"
        : ({ f2: "f16", f4: "f32", bfloat16: "bf16" } as const)[weight.type],
    rows: (encoder) => rowsOf(tensor, isEmbedding, encoder.addon),
    encoded: (type, encoder) => (type === "q8_0" && held ? q8Rows(tensor, encoder.addon) : undefined),
  };
}

/** Whether a block of Q8_0 lies in one group of scales: then int8 stays what it is. */
function holdsQ8(weight: PickledArray, scales: PickledArray): boolean {
  return weight.type === "i1" && (weight.shape.at(-2)! / scales.shape.at(-2)!) % 32 === 0;
}

function swapLast(shape: readonly number[]): number[] {
  return [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];
}
