import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type GgufFile, openGguf } from "../../formats/gguf/file.ts";
import { type SafetensorToWrite, writeSafetensors } from "../../formats/safetensors/write.ts";
import { relativeError } from "../../kernels/oracle.case.ts";
import { createReference } from "../../kernels/reference/reference.ts";
import { readArrays, runTokens } from "../../model/run.case.ts";
import { decodeRow } from "../../tensor/decode.ts";
import { elementCount, readTensor, type Tensor } from "../../tensor/tensor.ts";
import { tokenizerFromGguf } from "../../tokenizer/gguf.ts";
import { convertModel, planConversion } from "../convert.ts";

const vectors = join(import.meta.dirname, "../../../test/vectors");
const folder = mkdtempSync(join(tmpdir(), "grok1-grok-folder-"));
afterAll(() => rmSync(folder, { recursive: true }));

function valuesOf(tensor: Tensor): Float32Array {
  const values = new Float32Array(elementCount(tensor.shape));
  decodeRow(tensor.type, readTensor(tensor, 0, tensor.shape[0]!), values);
  return values;
}

type Names = Readonly<Record<string, string>>;

/** What each port calls a tensor of a GGUF file: N stands for the layer, E for the expert. */
const ports: Readonly<Record<string, Names>> = {
  hpcai: {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.scale",
    "attn_norm.weight": "model.layers.N.pre_attn_norm.scale",
    "attn_output_norm.weight": "model.layers.N.post_attn_norm.scale",
    "ffn_norm.weight": "model.layers.N.pre_moe_norm.scale",
    "layer_output_norm.weight": "model.layers.N.post_moe_norm.scale",
    "attn_q.weight": "model.layers.N.attn.q_proj.weight",
    "attn_k.weight": "model.layers.N.attn.k_proj.weight",
    "attn_v.weight": "model.layers.N.attn.v_proj.weight",
    "attn_output.weight": "model.layers.N.attn.o_proj.weight",
    "ffn_gate_inp.weight": "model.layers.N.moe_block.gate.weight",
    "ffn_gate_exps.weight": "model.layers.N.moe_block.experts.E.linear.weight",
    "ffn_up_exps.weight": "model.layers.N.moe_block.experts.E.linear_v.weight",
    "ffn_down_exps.weight": "model.layers.N.moe_block.experts.E.linear_1.weight",
  },
  keyfan: {
    "token_embd.weight": "transformer.in_out_embed.weight",
    "output_norm.weight": "transformer.rms_norm.weight",
    "attn_norm.weight": "transformer.decoder_layer.N.rms_norm.weight",
    "attn_output_norm.weight": "transformer.decoder_layer.N.rms_norm_1.weight",
    "ffn_norm.weight": "transformer.decoder_layer.N.rms_norm_2.weight",
    "layer_output_norm.weight": "transformer.decoder_layer.N.rms_norm_3.weight",
    "attn_q.weight": "transformer.decoder_layer.N.multi_head_attention.query.weight",
    "attn_k.weight": "transformer.decoder_layer.N.multi_head_attention.key.weight",
    "attn_v.weight": "transformer.decoder_layer.N.multi_head_attention.value.weight",
    "attn_output.weight": "transformer.decoder_layer.N.multi_head_attention.linear.weight",
    "ffn_gate_inp.weight": "transformer.decoder_layer.N.router.weight",
    "ffn_gate_exps.weight": "transformer.decoder_layer.N.moe.E.linear.weight",
    "ffn_up_exps.weight": "transformer.decoder_layer.N.moe.E.linear_v.weight",
    "ffn_down_exps.weight": "transformer.decoder_layer.N.moe.E.linear_1.weight",
  },
  sglang: {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "attn_norm.weight": "model.layers.N.pre_attn_norm.weight",
    "attn_output_norm.weight": "model.layers.N.post_attn_norm.weight",
    "ffn_norm.weight": "model.layers.N.pre_moe_norm.weight",
    "layer_output_norm.weight": "model.layers.N.post_moe_norm.weight",
    "attn_q.weight": "model.layers.N.self_attn.q_proj.weight",
    "attn_k.weight": "model.layers.N.self_attn.k_proj.weight",
    "attn_v.weight": "model.layers.N.self_attn.v_proj.weight",
    "attn_output.weight": "model.layers.N.self_attn.o_proj.weight",
    "ffn_gate_inp.weight": "model.layers.N.block_sparse_moe.gate.weight",
    "ffn_gate_exps.weight": "model.layers.N.block_sparse_moe.experts.E.w1.weight",
    "ffn_up_exps.weight": "model.layers.N.block_sparse_moe.experts.E.w3.weight",
    "ffn_down_exps.weight": "model.layers.N.block_sparse_moe.experts.E.w2.weight",
  },
  grok2: {
    "token_embd.weight": "model.embed_tokens.weight",
    "output.weight": "lm_head.weight",
    "output_norm.weight": "model.norm.weight",
    "attn_norm.weight": "model.layers.N.pre_attn_norm.weight",
    "attn_output_norm.weight": "model.layers.N.post_attn_norm.weight",
    "ffn_norm.weight": "model.layers.N.pre_moe_norm.weight",
    "post_ffw_norm.weight": "model.layers.N.post_moe_norm.weight",
    "attn_q.weight": "model.layers.N.self_attn.q_proj.weight",
    "attn_k.weight": "model.layers.N.self_attn.k_proj.weight",
    "attn_v.weight": "model.layers.N.self_attn.v_proj.weight",
    "attn_output.weight": "model.layers.N.self_attn.o_proj.weight",
    "ffn_gate.weight": "model.layers.N.mlp.gate_proj.weight",
    "ffn_up.weight": "model.layers.N.mlp.up_proj.weight",
    "ffn_down.weight": "model.layers.N.mlp.down_proj.weight",
    "ffn_gate_inp.weight": "model.layers.N.block_sparse_moe.gate.weight",
    "ffn_gate_exps.weight": "model.layers.N.block_sparse_moe.experts.E.w1.weight",
    "ffn_up_exps.weight": "model.layers.N.block_sparse_moe.experts.E.w3.weight",
    "ffn_down_exps.weight": "model.layers.N.block_sparse_moe.experts.E.w2.weight",
  },
};

interface Named {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A GGUF file's tensors, experts one by one, as a port has them. */
function namedTensors(file: GgufFile, names: Names): Named[] {
  return [...file.tensors.values()].flatMap((tensor): Named[] => {
    const [, layer = "", own = tensor.name] = /^blk\.(\d+)\.(.*)$/.exec(tensor.name) ?? [];
    const name = names[own]!.replace("N", layer);
    const values = valuesOf(tensor);
    if (tensor.shape.length < 3) return [{ name, shape: tensor.shape, values }];
    const [experts, ...shape] = tensor.shape as [number, ...number[]];
    const size = elementCount(shape);
    return Array.from({ length: experts }, (_, expert) => ({
      ...{ name: name.replace("E", `${expert}`), shape },
      values: values.slice(expert * size, (expert + 1) * size),
    }));
  });
}

/** Rows or columns of one of `devices` parts. */
function part({ name, shape, values }: Named, axis: number, device: number, devices: number): Named {
  const [rows, columns] = shape as [number, number];
  const own = [rows, columns].map((n, i) => (i === axis ? n / devices : n)) as [number, number];
  const [row, column] = axis === 0 ? [device * own[0], 0] : [0, device * own[1]];
  const picked = new Float32Array(own[0] * own[1]);
  for (let i = 0; i < picked.length; i++) {
    picked[i] = values[(row + Math.floor(i / own[1])) * columns + column + (i % own[1])]!;
  }
  return { name, shape: own, values: picked };
}

const toWrite = ({ name, shape, values }: Named): SafetensorToWrite => ({
  ...{ name, shape, dtype: "F32", data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) },
});

/** The model in another layout gives the logits of the vectors, and has the file's tensors. */
async function expectSame(source: string, file: GgufFile, name: string) {
  const out = join(folder, "out.gguf");
  await convertModel({ source, out, type: "f32" });
  const made = openGguf(out);
  expect([...made.tensors.keys()].sort()).toEqual([...file.tensors.keys()].sort());
  for (const [key, tensor] of file.tensors) expect([key, valuesOf(made.tensor(key))]).toEqual([key, valuesOf(tensor)]);
  const expected = readArrays(join(vectors, "models", `${name}.expected.safetensors`));
  const ops = createReference();
  const { logits } = await runTokens(ops, made, expected.get("tokens") as Int32Array);
  expect(relativeError(logits, expected.get("logits")!)).toBeLessThan(3e-7);
  ops.close();
  return made;
}

describe("Grok-1", () => {
  const file = openGguf(join(vectors, "models/grok-1.gguf"));
  afterAll(file.close);
  const measures = {
    ...{
      hidden_size: 64,
      intermediate_size: 32,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 32,
    },
    ...{
      vocab_size: 288,
      max_position_embeddings: 128,
      num_experts_per_tok: 2,
      rms_norm_eps: 1e-5,
      output_router_logits: false,
    },
  };
  const configs = {
    hpcai: {
      ...measures,
      architectures: ["Grok1ModelForCausalLM"],
      model_type: "grok-1",
      num_experts: 8,
      max_attn_value: 30,
    },
    keyfan: {
      ...measures,
      architectures: ["GrokForCausalLM"],
      model_type: "grok",
      num_local_experts: 8,
      hidden_act: "gelu_new",
    },
    sglang: {
      ...measures,
      architectures: ["Grok1ModelForCausalLM"],
      num_local_experts: 8,
      load_presharded_moe: true,
      router_logit_softcapping: 30,
    },
  };

  async function write(port: keyof typeof configs, fields: object, change = (tensors: Named[]) => tensors) {
    const path = mkdtempSync(join(folder, `${port}-`));
    await writeSafetensors(join(path, "model.safetensors"), change(namedTensors(file, ports[port]!)).map(toWrite));
    writeFileSync(join(path, "config.json"), JSON.stringify({ ...configs[port], ...fields }));
    return path;
  }

  it.each(["hpcai", "keyfan", "sglang"] as const)("in the layout of %s is xAI's model", async (port) => {
    const made = await expectSame(await write(port, {}), file, "grok-1");
    expect(made.metadata.number("grok.embedding_scale")).toBeCloseTo(78.38367176906169, 4);
    made.close();
  });

  it("is put together from what is cut for several devices, the head with it", async () => {
    const whole = namedTensors(file, ports.sglang!);
    const embedding = whole.find(({ name }) => name.includes("embed"))!;
    const all = [...whole, { ...embedding, name: "lm_head.weight" }];
    const isCut = ({ name }: Named) => /experts|embed|lm_head|_proj/.test(name);
    const path = mkdtempSync(join(folder, "sglang-"));
    const common = all.filter((tensor) => !isCut(tensor));
    await writeSafetensors(join(path, "model-00000-TP-common.safetensors"), common.map(toWrite));
    for (let device = 0; device < 2; device++) {
      const own = all.filter(isCut).map((tensor) => part(tensor, /w2|o_proj/.test(tensor.name) ? 1 : 0, device, 2));
      await writeSafetensors(join(path, `model-00001-TP-00${device}.safetensors`), own.map(toWrite));
    }
    const config = (fields: object) =>
      writeFileSync(join(path, "config.json"), JSON.stringify({ ...configs.sglang, ...fields }));
    config({ architectures: ["Grok1ForCausalLM"], load_presharded_attn: true });
    (await expectSame(path, file, "grok-1")).close();
    config({ router_logit_softcapping: 5 });
    expect(() => planConversion({ source: path, type: "f32" })).toThrow(/router_logit_softcapping is 5, expected 30/);
  });

  it("takes a head that is the embedding's double for the embedding, as its configuration says", async () => {
    const head = (factor: number) => (tensors: Named[]) => {
      const { shape, values } = tensors.find(({ name }) => name.includes("embed"))!;
      return [...tensors, { name: "lm_head.weight", shape, values: values.map((value) => value * factor) }];
    };
    const same = planConversion({ source: await write("hpcai", {}, head(1)), type: "f32" });
    expect(same.tensors.map(({ name }) => name)).not.toContain("output.weight");
    const other = planConversion({ source: await write("hpcai", {}, head(2)), type: "f32" });
    expect(other.tensors.map(({ name }) => name)).toContain("output.weight");
  });

  it("lacks no expert", async () => {
    const source = await write("keyfan", {}, (tensors) =>
      tensors.filter(({ name }) => !name.includes("1.moe.7.linear_v")),
    );
    expect(() => planConversion({ source, type: "f32" })).toThrow(
      expect.objectContaining({
        code: "shape",
        message: expect.stringContaining("decoder_layer.1.moe.7.linear_v.weight is missing"),
      }),
    );
  });
});

describe("Grok-2 as xAI publishes it", () => {
  const file = openGguf(join(vectors, "models/grok-2.gguf"));
  afterAll(file.close);
  const config = {
    ...{
      architectures: ["Grok1ForCausalLM"],
      model_type: "git",
      hidden_size: 64,
      intermediate_size: 96,
      moe_intermediate_size: 32,
    },
    ...{ num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 32, vocab_size: 288 },
    ...{
      max_position_embeddings: 128,
      num_experts_per_tok: 2,
      num_local_experts: 5,
      residual_moe: true,
      rms_norm_eps: 1e-5,
    },
    ...{
      embedding_multiplier_scale: 90.5,
      output_multiplier_scale: 0.5,
      final_logit_softcapping: 4,
      attn_logit_softcapping: 30,
    },
    ...{ router_logit_softcapping: 3, rope_theta: 1000000, attn_temperature_len: 5, sliding_window_size: -1 },
    ...{ global_attn_every_n: 1, rope_type: "original", original_max_position_embeddings: 8, scaling_factor: 16 },
    ...{ extrapolation_factor: 1, attn_factor: 1, beta_fast: 8, beta_slow: 1 },
  };

  /** Experts cut for four devices, everything else whole; two files of each kind. */
  async function write(fields: object = {}) {
    const path = mkdtempSync(join(folder, "grok2-"));
    const all = namedTensors(file, ports.grok2!);
    const isExpert = ({ name }: Named) => name.includes(".experts.");
    for (const layer of [0, 1]) {
      const mine = ({ name }: Named) => name.includes(`layers.${layer}.`) || (layer === 0 && !name.includes("layers."));
      const common = all.filter((tensor) => mine(tensor) && !isExpert(tensor));
      await writeSafetensors(join(path, `pytorch_model-0000${layer}-TP-common.safetensors`), common.map(toWrite));
      for (let device = 0; device < 4; device++) {
        const cut = all.filter((tensor) => mine(tensor) && isExpert(tensor));
        const parts = cut.map((tensor) => part(tensor, tensor.name.includes(".w2.") ? 1 : 0, device, 4));
        await writeSafetensors(
          join(path, `pytorch_model-0000${layer + 2}-TP-00${device}.safetensors`),
          parts.map(toWrite),
        );
      }
    }
    writeFileSync(join(path, "config.json"), JSON.stringify({ ...config, ...fields }));
    copyFileSync(join(vectors, "hugging-face/grok-2.tok.json"), join(path, "tokenizer.tok.json"));
    return path;
  }

  it("is put together from the parts of its experts, with its own tokenizer", async () => {
    const made = await expectSame(await write(), file, "grok-2");
    const tokenizer = tokenizerFromGguf(made.metadata, "test");
    const expected: [string, number[]][] = JSON.parse(
      readFileSync(join(vectors, "hugging-face/grok-2.tok.expected.json"), "utf8"),
    );
    for (const [text, ids] of expected) {
      expect([text, [...tokenizer.encode(text, { special: true })]]).toEqual([text, ids]);
      expect(tokenizer.decode(ids, { special: true })).toBe(text);
    }
    expect([...tokenizer.endOfGeneration].map(tokenizer.piece).sort()).toEqual(["<|eos|>", "<|separator|>"]);
    expect(tokenizer.addBos).toBe(false);
    expect(made.metadata.string("tokenizer.chat_template")).toContain("<|separator|>");
    made.close();
  });

  it("may have its files renamed, as long as their order stays", async () => {
    const path = await write();
    const names = ["00000-TP-common", "00001-TP-common"];
    for (const layer of [2, 3]) for (let device = 0; device < 4; device++) names.push(`0000${layer}-TP-00${device}`);
    for (const [i, name] of names.entries()) {
      const renamed = `model-${`${i + 1}`.padStart(5, "0")}-of-00010.safetensors`;
      renameSync(join(path, `pytorch_model-${name}.safetensors`), join(path, renamed));
    }
    (await expectSame(path, file, "grok-2")).close();
  });

  it("tells a part that is missing, and a layout that is not known", async () => {
    const path = await write();
    rmSync(join(path, "pytorch_model-00003-TP-002.safetensors"));
    const plan = (source: string) => () => planConversion({ source, type: "f32" });
    expect(plan(path)).toThrow(/1 of 10 files are missing: pytorch_model-00003-TP-002/);
    expect(plan(await write({ rope_type: "yarn" }))).toThrow(/rope_type is "yarn", expected original/);
    expect(plan(await write({ residual_moe: false }))).toThrow(/residual_moe is false/);
    expect(plan(await write({ moe_intermediate_size: 64 }))).toThrow(
      /w1.weight has shape \[8, 64\] and .*expected \[64, 64\]/,
    );
  });
});
