/** A small Llama whose matrices are stored as quantizers store them: folders of it for tests, and what is read of them. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SafetensorsFile } from "../../formats/safetensors/file.ts";
import { type SafetensorToWrite, writeSafetensors } from "../../formats/safetensors/write.ts";
import { createRandom } from "../../kernels/oracle.case.ts";
import { permutedRow } from "../../model/tensors.ts";
import { decodeRow } from "../../tensor/decode.ts";
import { elementCount, readTensor, type Tensor } from "../../tensor/tensor.ts";

/** As large as the packed matrices ask for: EXL2's have 128 columns. */
const config = {
  ...{
    architectures: ["LlamaForCausalLM"],
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 1,
    vocab_size: 8,
  },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 64, tie_word_embeddings: true },
};

const shapes: Readonly<Record<string, readonly number[]>> = {
  ...{
    "self_attn.q_proj": [64, 64],
    "self_attn.k_proj": [32, 64],
    "self_attn.v_proj": [32, 64],
    "self_attn.o_proj": [64, 64],
  },
  ...{ "mlp.gate_proj": [128, 64], "mlp.up_proj": [128, 64], "mlp.down_proj": [64, 128] },
  ...{ input_layernorm: [64], post_attention_layernorm: [64] },
};

export interface Vectors {
  /** Where folders are made. */
  readonly folder: string;
  /** Matrices [32, 64] as a quantizer packed them, and NAME.expected. */
  readonly packed: SafetensorsFile;
}

/** A model's folder, in which the tensors of some modules are those that `modules` names among the vectors. */
export async function folderWith(
  { folder, packed }: Vectors,
  settings: object,
  modules: Readonly<Record<string, string>>,
  change: (tensors: SafetensorToWrite[]) => SafetensorToWrite[] = (tensors) => tensors,
): Promise<string> {
  const path = mkdtempSync(join(folder, "model-"));
  const random = createRandom(4);
  const plain = (name: string, shape: readonly number[]): SafetensorToWrite => {
    const values = Float32Array.from({ length: elementCount(shape) }, () => random.next() - 0.5);
    return { name, dtype: "F32", shape, data: new Uint8Array(values.buffer) };
  };
  const tensors = [plain("model.embed_tokens.weight", [8, 64]), plain("model.norm.weight", [64])];
  for (const [module, shape] of Object.entries(shapes)) {
    const name = `model.layers.0.${module}`;
    const own = modules[module];
    if (own === undefined) tensors.push(plain(`${name}.weight`, shape));
    for (const entry of packed.entries.values()) {
      if (own === undefined || !entry.name.startsWith(`${own}.`) || entry.name.endsWith(".expected")) continue;
      const { dtype, shape: size } = entry;
      tensors.push({ name: name + entry.name.slice(own.length), dtype, shape: size, data: entry.bytes() });
    }
  }
  await writeSafetensors(join(path, "model.safetensors"), change(tensors));
  writeFileSync(join(path, "config.json"), JSON.stringify({ ...config, ...settings }));
  return path;
}

export function valuesOf(tensor: Tensor): Float32Array {
  const values = new Float32Array(elementCount(tensor.shape));
  decodeRow(tensor.type, readTensor(tensor, 0, tensor.shape[0]!), values);
  return values;
}

/** What the vector is, rows of keys in a GGUF file's order. */
export function expectedOf({ packed }: Pick<Vectors, "packed">, name: string, key: boolean): Float32Array {
  const values = packed.entry(`${name}.expected`).values() as Float32Array;
  if (!key) return values;
  const columns = values.length / 32;
  const out = new Float32Array(values.length);
  for (let row = 0; row < 32; row++) {
    const from = permutedRow(row, 16) * columns;
    out.set(values.subarray(from, from + columns), row * columns);
  }
  return out;
}
