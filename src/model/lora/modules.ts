import { readConfig } from "../config.ts";
import type { ModelFile } from "../model.ts";

/** What an adapter may be trained on. */
export const loraTargets = ["attention", "experts", "router"] as const;
export type LoraTarget = (typeof loraTargets)[number];

/** A matrix of a model, by the name that a model file has for it and by the one that Python's libraries have. */
export interface LoraModule {
  /** Tensor in the GGUF file; of an expert, the stack `blk.N.NAME_exps.weight`. */
  readonly tensor: string;
  /** Place in the stack; absent for a matrix by itself. */
  readonly expert?: number;
  /** Experts in that stack. */
  readonly experts?: number;
  /** Module as transformers names it, such as `model.layers.0.self_attn.q_proj`. */
  readonly module: string;
  /** "experts" is also the feed-forward block of a dense model; "output": the head, which is read but not trained here. */
  readonly target: LoraTarget | "output";
  readonly out: number;
  readonly in: number;
  /** Heads whose rows the GGUF file holds in another order than transformers: rotary pairs side by side. */
  readonly permutedHeads?: number;
}

interface Names {
  readonly attention: string;
  readonly output: string;
  readonly router: string;
  readonly experts: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

/** transformers' Llama and Mixtral, and Grok-2 as xAI publishes it. */
const commonNames: Names = {
  ...{ attention: "self_attn", output: "o_proj", router: "block_sparse_moe.gate", experts: "block_sparse_moe.experts" },
  ...{ gate: "w1", up: "w3", down: "w2" },
};
/** Grok-1 in its port to transformers (hpcai-tech/grok-1), which keeps the names of xAI's code. */
const grok1Names: Names = {
  ...{ attention: "attn", output: "o_proj", router: "moe_block.gate", experts: "moe_block.experts" },
  ...{ gate: "linear", up: "linear_v", down: "linear_1" },
};

/** All matrices of a model that low-rank adapters can belong to. @throws GrokError as {@link readConfig}. */
export function listModules(file: ModelFile): LoraModule[] {
  const config = readConfig(file);
  const { architecture, layers, width, heads, kvHeads, headSize, experts, expertHidden, hidden, vocab } = config;
  const llama = architecture === "llama";
  const dense = file.tensors.has("blk.0.ffn_gate.weight");
  const names = llama || dense ? commonNames : grok1Names;
  const modules: LoraModule[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const block = `blk.${layer}`;
    const parent = `model.layers.${layer}`;
    const add = (tensor: string, module: string, target: LoraTarget, out: number, input: number, rest = {}) =>
      modules.push({
        ...{ tensor: `${block}.${tensor}.weight`, module: `${parent}.${module}`, target, out, in: input },
        ...rest,
      });
    const attention = (tensor: string, module: string, out: number, input: number, permutedHeads?: number) =>
      add(tensor, `${names.attention}.${module}`, "attention", out, input, llama && permutedHeads && { permutedHeads });
    attention("attn_q", "q_proj", heads * headSize, width, heads);
    attention("attn_k", "k_proj", kvHeads * headSize, width, kvHeads);
    attention("attn_v", "v_proj", kvHeads * headSize, width);
    attention("attn_output", names.output, width, heads * headSize);
    if (dense) {
      add("ffn_gate", "mlp.gate_proj", "experts", hidden, width);
      add("ffn_up", "mlp.up_proj", "experts", hidden, width);
      add("ffn_down", "mlp.down_proj", "experts", width, hidden);
    }
    if (experts === 0) continue;
    add("ffn_gate_inp", names.router, "router", experts, width);
    for (let expert = 0; expert < experts; expert++) {
      const inner = `${names.experts}.${expert}`;
      const place = { expert, experts };
      add("ffn_gate_exps", `${inner}.${names.gate}`, "experts", expertHidden, width, place);
      add("ffn_up_exps", `${inner}.${names.up}`, "experts", expertHidden, width, place);
      add("ffn_down_exps", `${inner}.${names.down}`, "experts", width, expertHidden, place);
    }
  }
  if (file.tensors.has("output.weight")) {
    modules.push({ tensor: "output.weight", module: "lm_head", target: "output", out: vocab, in: width });
  }
  return modules;
}

/** Where row `row` of a GGUF file's query or key projection stands in transformers' order. */
export function permutedRow(row: number, headSize: number): number {
  const place = row % headSize;
  return row - place + (place % 2) * (headSize / 2) + (place >> 1);
}
