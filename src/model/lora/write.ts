import { join } from "node:path";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { makeFolder } from "../../bytes/folder.ts";
import { type SafetensorToWrite, writeSafetensors } from "../../formats/safetensors/write.ts";
import { permutedRow } from "../tensors.ts";
import type { LowRankTerm } from "./adapter.ts";
import { adapterConfigFile, adapterFile } from "./config.ts";

export interface AdapterToWrite {
  /** As in training: all of one rank, scaled by `alpha / rank`. */
  readonly terms: readonly LowRankTerm[];
  readonly rank: number;
  readonly alpha: number;
  readonly headSize: number;
  /** What `peft` is to take for the base where nobody names another: a path or a repository. */
  readonly base: string;
}

/**
 * Writes an adapter into a folder as Python's `peft` does, each file atomically and the tensors last: `adapter_config.json`,
 * then `adapter_model.safetensors` in float32. Rows of Llama's queries and keys go back to transformers' order.
 * @throws GrokError `io`; nothing half-written is left under either name.
 */
export async function writeAdapter(folder: string, adapter: AdapterToWrite): Promise<void> {
  const { terms, rank, alpha, headSize, base } = adapter;
  makeFolder(folder);
  const tensors = terms.flatMap(({ target, a, b }): SafetensorToWrite[] => {
    let ordered = b;
    if (target.permutedHeads !== undefined) {
      ordered = new Float32Array(b.length);
      for (let row = 0; row < target.out; row++) {
        ordered.set(b.subarray(row * rank, (row + 1) * rank), permutedRow(row, headSize) * rank);
      }
    }
    const name = `base_model.model.${target.module}`;
    return [
      { name: `${name}.lora_A.weight`, dtype: "F32", shape: [rank, target.in], data: bytesOf(a) },
      { name: `${name}.lora_B.weight`, dtype: "F32", shape: [target.out, rank], data: bytesOf(ordered) },
    ];
  });
  const config = {
    alpha_pattern: {},
    base_model_name_or_path: base,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: "LORA",
    r: rank,
    rank_pattern: {},
    target_modules: [...new Set(terms.map(({ target }) => target.module.split(".").at(-1)!))].sort(),
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: false,
  };
  await writeAtomic(join(folder, adapterConfigFile), [Buffer.from(`${JSON.stringify(config, null, 2)}\n`)]);
  await writeSafetensors(join(folder, adapterFile), tensors, { format: "pt" });
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
