import type { DecoderArguments, TensorTable } from "./architecture.ts";
import type { ModelFile } from "./model.ts";
import { hasTensor, layerTensorName, specsOf } from "./weights.ts";

/** A tensor of a model by its names in a GGUF file and in Hugging Face's layout, which has each expert by itself. */
export interface ModelTensor {
  /** In the GGUF file; of an expert, the stack `blk.N.NAME_exps.weight`. */
  readonly tensor: string;
  /** Place in the stack; absent for a tensor by itself. */
  readonly expert?: number;
  /** Experts in that stack. */
  readonly experts?: number;
  /** As transformers names it, such as `model.layers.0.self_attn.q_proj`. */
  readonly module: string;
  /** The module's tensor, as in `MODULE.weight`. */
  readonly parameter: string;
  /** Row-major, of one expert where it is one: [width] or [out, in]. */
  readonly shape: readonly number[];
  /** Heads whose rows the GGUF file holds in another order: see {@link permutedRow}. */
  readonly permutedHeads?: number;
}

/** All tensors of a model whose layers have those of `table`. */
export function listTensors(file: ModelFile, args: DecoderArguments, table: TensorTable): ModelTensor[] {
  const { layers, width, vocab, gainName = "weight" } = args;
  const list: ModelTensor[] = [];
  const add = (tensor: string, module: string, shape: readonly number[], rest: Partial<ModelTensor> = {}) =>
    list.push({ tensor, module, parameter: shape.length === 1 ? gainName : "weight", shape, ...rest });
  add("token_embd.weight", "model.embed_tokens", [vocab, width]);
  for (let layer = 0; layer < layers; layer++) {
    for (const spec of specsOf(table)) {
      const { shape, permutedHeads } = spec;
      const [tensor, module] = [layerTensorName(file, layer, spec), `model.layers.${layer}.${spec.module}`];
      if (shape.length < 3) {
        add(tensor, module, shape, permutedHeads === undefined ? {} : { permutedHeads });
        continue;
      }
      const experts = shape[0]!;
      for (let expert = 0; expert < experts; expert++) {
        add(tensor, module.replace("*", `${expert}`), shape.slice(1), { expert, experts });
      }
    }
  }
  add("output_norm.weight", "model.norm", [width]);
  if (hasTensor(file, "output.weight")) add("output.weight", "lm_head", [vocab, width]);
  return list;
}

/** Where row `row` of a GGUF file's query or key projection of permuted heads stands in Hugging Face's layout. */
export function permutedRow(row: number, headSize: number): number {
  const place = row % headSize;
  return row - place + (place % 2) * (headSize / 2) + (place >> 1);
}
