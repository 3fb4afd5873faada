import type { ModelConfig } from "../model/model.ts";
import { type ModelShape, shapeOf } from "./model-shape.ts";

/** Models that can be planned for by name: what their published configurations say. */
interface KnownModel extends Omit<ModelConfig, "hidden"> {
  /** Width of the dense block, 0 where there is none. */
  readonly hidden: number;
  /** The output matrix is the embedding. */
  readonly tied: boolean;
  /** A dense block beside the experts. */
  readonly both?: true;
}

const dense = { experts: 0, used: 0, expertHidden: 0, tied: false };

const models: Readonly<Record<string, KnownModel>> = {
  "grok-1": {
    ...{ architecture: "grok", layers: 64, width: 6144, vocab: 131_072, contextLength: 8192, heads: 48, kvHeads: 8 },
    ...{ headSize: 128, hidden: 0, experts: 8, used: 2, expertHidden: 32_768, tied: true },
  },
  "grok-2": {
    ...{ architecture: "grok", layers: 64, width: 8192, vocab: 131_072, contextLength: 131_072, heads: 64, kvHeads: 8 },
    ...{ headSize: 128, hidden: 32_768, experts: 8, used: 2, expertHidden: 16_384, tied: false, both: true },
  },
  "mixtral-8x7b": {
    ...{ architecture: "llama", layers: 32, width: 4096, vocab: 32_000, contextLength: 32_768, heads: 32, kvHeads: 8 },
    ...{ headSize: 128, hidden: 0, experts: 8, used: 2, expertHidden: 14_336, tied: false },
  },
  "mixtral-8x22b": {
    ...{ architecture: "llama", layers: 56, width: 6144, vocab: 32_768, contextLength: 65_536, heads: 48, kvHeads: 8 },
    ...{ headSize: 128, hidden: 0, experts: 8, used: 2, expertHidden: 16_384, tied: false },
  },
  "llama-2-7b": {
    ...{ architecture: "llama", layers: 32, width: 4096, vocab: 32_000, contextLength: 4096, heads: 32, kvHeads: 32 },
    ...{ headSize: 128, hidden: 11_008, ...dense },
  },
  "llama-3-8b": {
    ...{ architecture: "llama", layers: 32, width: 4096, vocab: 128_256, contextLength: 8192, heads: 32, kvHeads: 8 },
    ...{ headSize: 128, hidden: 14_336, ...dense },
  },
  "llama-3-70b": {
    ...{ architecture: "llama", layers: 80, width: 8192, vocab: 128_256, contextLength: 8192, heads: 64, kvHeads: 8 },
    ...{ headSize: 128, hidden: 28_672, ...dense },
  },
};

export const knownModels: readonly string[] = Object.keys(models);

/** The shape of a model that is known by name, all in bfloat16; undefined for another. */
export function knownShape(name: string): ModelShape | undefined {
  const model = models[name.toLowerCase()];
  if (model === undefined) return undefined;
  const { architecture, layers, width, vocab, heads, kvHeads, headSize, hidden, experts, expertHidden } = model;
  const tensors = new Map<string, { type: "bf16" | "f32"; shape: readonly number[] }>();
  const matrix = (tensor: string, ...shape: number[]) => tensors.set(`${tensor}.weight`, { type: "bf16", shape });
  const vector = (tensor: string) => tensors.set(`${tensor}.weight`, { type: "f32", shape: [width] });
  matrix("token_embd", vocab, width);
  vector("output_norm");
  if (!model.tied) matrix("output", vocab, width);
  for (let layer = 0; layer < layers; layer++) {
    const at = `blk.${layer}`;
    matrix(`${at}.attn_q`, heads * headSize, width);
    matrix(`${at}.attn_k`, kvHeads * headSize, width);
    matrix(`${at}.attn_v`, kvHeads * headSize, width);
    matrix(`${at}.attn_output`, width, heads * headSize);
    for (const norm of ["attn_norm", "ffn_norm"]) vector(`${at}.${norm}`);
    if (architecture === "grok") for (const norm of ["attn_output_norm", "layer_output_norm"]) vector(`${at}.${norm}`);
    if (experts > 0) {
      tensors.set(`${at}.ffn_gate_inp.weight`, { type: "f32", shape: [experts, width] });
      matrix(`${at}.ffn_gate_exps`, experts, expertHidden, width);
      matrix(`${at}.ffn_up_exps`, experts, expertHidden, width);
      matrix(`${at}.ffn_down_exps`, experts, width, expertHidden);
    }
    if (experts === 0 || model.both) {
      matrix(`${at}.ffn_gate`, hidden, width);
      matrix(`${at}.ffn_up`, hidden, width);
      matrix(`${at}.ffn_down`, width, hidden);
    }
  }
  return shapeOf({ path: name, metadata: metadataOf(model), tensors }, name);
}

/** The keys that a file of it would have. */
function metadataOf(model: KnownModel) {
  const { architecture, layers, width, contextLength, heads, kvHeads, headSize, hidden, experts, used, expertHidden } =
    model;
  const values: Readonly<Record<string, number | string>> = {
    "general.architecture": architecture,
    ...Object.fromEntries(
      Object.entries({
        ...{ block_count: layers, embedding_length: width, context_length: contextLength },
        ...{ "attention.head_count": heads, "attention.head_count_kv": kvHeads, "attention.key_length": headSize },
        ...{ feed_forward_length: hidden || expertHidden, expert_count: experts, expert_used_count: used },
        ...(experts > 0 && { expert_feed_forward_length: expertHidden }),
      }).map(([key, value]) => [`${architecture}.${key}`, value]),
    ),
  };
  const read = (key: string, fallback?: unknown) => values[key] ?? fallback;
  return {
    get: (key: string) => values[key],
    string: (key: string, fallback?: string) => String(read(key, fallback)),
    number: (key: string, fallback?: number) => Number(read(key, fallback)),
  };
}
