import type { DecoderArguments, TensorTable } from "./architecture.ts";
import type { ModelFile } from "./model.ts";
import { hasTensor, layerTensorName, missingTensor, specsOf, wrongShape } from "./weights.ts";

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

/** Layers and experts are counted in metadata; a file that lacks their tensors is refused before lists are made of them. */
function checkThere(file: ModelFile, tensor: string, shape: readonly number[]): void {
  const found = (file.tensors.get(tensor) ?? file.opaque?.get(tensor))?.shape;
  if (found === undefined) {
    const last = tensor.replace("_exps.", `.${shape[0]! - 1}.`);
    if (shape.length < 3 || !hasTensor(file, last)) throw missingTensor(file, tensor, shape);
  } else if (shape.length === 3 && found[0] !== shape[0]) throw wrongShape(file, tensor, found, shape);
}

/** All tensors of a model whose layers have those of `table`. @throws GrokError `shape` for one that the file lacks. */
export function listTensors(file: ModelFile, args: DecoderArguments, table: TensorTable): ModelTensor[] {
  return list(file, args, table, (tensor, shape) => checkThere(file, tensor, shape)).filter(
    ({ tensor }) => tensor !== "output.weight" || hasTensor(file, tensor),
  );
}

/** The same by metadata alone, for a file that is still to be written: with an output matrix of its own. */
export function expectTensors(file: ModelFile, args: DecoderArguments, table: TensorTable): ModelTensor[] {
  return list(file, args, table, () => undefined);
}

function list(
  file: ModelFile,
  args: DecoderArguments,
  table: TensorTable,
  check: (tensor: string, shape: readonly number[]) => void,
): ModelTensor[] {
  const { layers, width, vocab, gainName = "weight" } = args;
  const found: ModelTensor[] = [];
  const add = (tensor: string, module: string, shape: readonly number[], rest: Partial<ModelTensor> = {}) =>
    found.push({ tensor, module, parameter: shape.length === 1 ? gainName : "weight", shape, ...rest });
  add("token_embd.weight", "model.embed_tokens", [vocab, width]);
  for (let layer = 0; layer < layers; layer++) {
    for (const spec of specsOf(table)) {
      const { shape, permutedHeads } = spec;
      const [tensor, module] = [layerTensorName(file, layer, spec), `model.layers.${layer}.${spec.module}`];
      check(tensor, shape);
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
  add("output.weight", "lm_head", [vocab, width]);
  return found;
}

/** Where row `row` of a GGUF file's query or key projection of permuted heads stands in Hugging Face's layout. */
export function permutedRow(row: number, headSize: number): number {
  const place = row % headSize;
  return row - place + (place % 2) * (headSize / 2) + (place >> 1);
}
