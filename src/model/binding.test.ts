import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { processorSeconds } from "../../test/support/time.ts";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { relativeError } from "../kernels/oracle.case.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { placesOf, type Tensor } from "../tensor/tensor.ts";
import { describeModel } from "./describe.ts";
import { listModules } from "./lora/modules.ts";
import type { ModelFile } from "./model.ts";
import { bindModel } from "./registry.ts";
import { readArrays, runTokens } from "./run.case.ts";

const vectors = join(import.meta.dirname, "../../test/vectors/models");
const ops = createReference();
const open: GgufFile[] = [];
const openModel = (name: string): GgufFile => {
  const file = openGguf(join(vectors, `${name}.gguf`));
  open.push(file);
  return file;
};
afterAll(() => {
  for (const file of open) file.close();
  ops.close();
});

/** A file with other metadata values and tensors; undefined takes one away. */
function altered(
  file: GgufFile,
  metadata: Record<string, unknown>,
  tensors: Record<string, Tensor | undefined> = {},
): ModelFile {
  const all = new Map<string, Tensor>(file.tensors);
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor === undefined) all.delete(name);
    else all.set(name, tensor);
  }
  const get = (key: string) => (Object.hasOwn(metadata, key) ? metadata[key] : file.metadata.get(key));
  const typed = (key: string, ...fallback: unknown[]) => {
    const value = get(key) ?? fallback[0];
    if (value === undefined) throw new GrokError("format", `${file.path}: ${key} is missing`);
    return value;
  };
  const keys = () => [...new Set([...file.metadata.keys(), ...Object.keys(metadata)])];
  return {
    path: file.path,
    metadata: { get, keys, string: typed, number: typed },
    tensors: all,
  } as unknown as ModelFile;
}

function failure(file: ModelFile): GrokError {
  try {
    bindModel(ops, file);
  } catch (error) {
    if (error instanceof GrokError) return error;
    throw error;
  }
  throw new Error("was bound");
}

describe.each(["grok-1", "grok-2", "llama", "mixtral"])("binding %s", (name) => {
  const file = openModel(name);
  const optional = ["output.weight", "rope_freqs.weight"];

  it("names the file and the tensor when one is missing", () => {
    for (const tensor of file.tensors.keys()) {
      // Without these a model is another model: tied, unscaled.
      if (optional.includes(tensor)) continue;
      const error = failure(altered(file, {}, { [tensor]: undefined }));
      expect(error.code, tensor).toBe("shape");
      expect(error.message).toContain(file.path);
      const message = name === "grok-2" && tensor.includes("post_ffw") ? "post_ffw_norm" : tensor;
      if (!tensor.includes("layer_output_norm")) expect(error.message).toContain(message);
    }
  });

  it("lists no matrices of layers or experts that the file only counts", () => {
    const { architecture, layers, experts } = describeModel(file).config!;
    const counts = { [`${architecture}.block_count`]: 4096, ...(experts && { [`${architecture}.expert_count`]: 32 }) };
    for (const [key, count] of Object.entries(counts)) {
      expect(() => listModules(altered(file, { [key]: count }, {}))).toThrow(
        expect.objectContaining({
          code: "shape",
          message: expect.stringMatching(
            key.endsWith("block_count") ? `blk\\.${layers}\\..* is missing` : /expected \[32, /,
          ),
        }),
      );
    }
  });

  it("names both shapes when one is wrong", () => {
    for (const [tensor, found] of file.tensors) {
      const shape = [...found.shape.slice(0, -1), found.shape.at(-1)! + 32];
      const error = failure(altered(file, {}, { [tensor]: { ...found, shape } }));
      expect(error.code, tensor).toBe("shape");
      expect(error.message).toContain(tensor);
      expect(error.message).toContain(`[${shape.join(", ")}]`);
    }
  });

  it("refuses impossible metadata", () => {
    const arch = file.metadata.string("general.architecture");
    for (const [key, value] of [
      ["block_count", 0],
      ["block_count", 1.5],
      ["block_count", 1e9],
      ["block_count", 2 ** 33],
      ["context_length", 2 ** 40],
      ["embedding_length", -1],
      ["embedding_length", Number.NaN],
      ["attention.head_count", 0],
      ["attention.head_count_kv", 3],
      ["attention.key_length", 1e300],
      ["attention.value_length", 17],
      ["expert_used_count", 100],
      ["rope.dimension_count", 7],
      ["feed_forward_length", 2 ** 60],
    ] as const) {
      expect(["format", "shape", "unsupported"], `${key} = ${value}`).toContain(
        failure(altered(file, { [`${arch}.${key}`]: value })).code,
      );
    }
  });
});

describe("binding", () => {
  it("refuses an architecture it does not know, by name, and no name at all", () => {
    const error = failure(altered(openModel("llama"), { "general.architecture": "toString" }));
    expect(error.code).toBe("unsupported");
    expect(error.message).toMatch(/toString.*grok, llama/);
    expect(failure(altered(openModel("llama"), { "general.architecture": undefined })).code).toBe("format");
  });

  it.each([
    ...["blk.0.attn_q.bias", "blk.1.ffn_gate_inp.bias", "output.bias", "blk.0.exp_probs_b.bias", "output_norm.bias"],
    ...[
      "blk.0.attn_q_norm.weight",
      "blk.1.attn_k_norm.weight",
      "blk.0.post_attention_norm.weight",
      "token_embd_norm.weight",
    ],
    ...[
      "blk.0.ffn_gate_shexp.weight",
      "blk.0.ffn_gate_inp_shexp.weight",
      "blk.0.attn_sinks.weight",
      "blk.0.attn_qkv.weight",
    ],
    ...["rope_factors_long.weight", "rope_factors_short.weight", "position_embd.weight", "blk.0.attn_output.scale"],
    ...[
      "blk.0.attn_q.weight.lora_a",
      "blk.2.attn_q.weight",
      "blk.0.ffn_up.0.weight",
      "blk.1.nextn.eh_proj.weight",
      "v.blk.0.x",
    ],
  ])("refuses %s, which no code reads, in every model and in any part of one", (name) => {
    for (const model of ["grok-1", "grok-2", "llama", "mixtral"]) {
      const file = openModel(model);
      const tensor = { ...file.tensors.get("output_norm.weight")!, name };
      const changed = altered(file, {}, { [name]: tensor });
      for (const part of [{}, { layers: { from: 0, to: 1 } }, { layers: { from: 2, to: 2 } }]) {
        expect(() => bindModel(ops, changed, part)).toThrow(
          expect.objectContaining({ code: "unsupported", details: { path: file.path, tensor: name } }),
        );
      }
      const opaque = new Map([[name, { typeName: "type 99", shape: [1] }]]);
      expect(failure({ ...altered(file, {}), opaque }).details.tensor).toBe(name);
    }
  });

  it("lets be what changes nothing", () => {
    for (const model of ["grok-1", "grok-2", "llama", "mixtral"]) {
      const file = openModel(model);
      const arch = file.metadata.string("general.architecture");
      const old = { ...file.tensors.get("output_norm.weight")!, name: "blk.0.attn_rot_embd.weight" };
      const harmless = {
        ...{ vocab_size: 5, tensor_data_layout: "Meta AI original pth", "attention.causal": true, pooling_type: 0 },
        ...{ residual_scale: 1, expert_weights_scale: 0, expert_gating_func: 1, expert_shared_count: 0 },
        ...{ leading_dense_block_count: 0, "attention.clamp_kqv": 0, use_parallel_residual: false },
        ...{ "attention.sliding_window_pattern": [true, false], "rope.scaling.original_context_length": 64 },
        ...{ "rope.scaling.finetuned": true, "rope.dimension_sections": [0, 0] },
      };
      const keys = Object.entries(harmless).map(([key, value]) => [`${arch}.${key}`, value]);
      bindModel(
        ops,
        altered(file, { ...Object.fromEntries(keys), "general.url": "x", "other.thing": 3 }, { [old.name]: old }),
      );
    }
    bindModel(ops, altered(openModel("grok-1"), { "grok.expert_weights_norm": true, "grok.rope.scaling.factor": 16 }));
    bindModel(ops, altered(openModel("mixtral"), { "llama.attention.scale": 0, "llama.rope.scaling.factor": 0 }));
  });

  it.each([
    ["attention.causal", false],
    ["attention.clamp_kqv", 8],
    ["attention.max_alibi_bias", 8],
    ["attention.shared_kv_layers", 1],
    ["attention.value_scale", 2],
    ["residual_scale", 0.22],
    ["use_parallel_residual", true],
    ["expert_weights_scale", 2.5],
    ["expert_gating_func", 2],
    ["expert_shared_count", 1],
    ["expert_shared_feed_forward_length", 64],
    ["leading_dense_block_count", 1],
    ["expert_group_count", 8],
    ["interleave_moe_layer_step", 2],
    ["nextn_predict_layers", 1],
    ["hidden_activation", "gelu_pytorch_tanh"],
    ["swiglu_clamp_exp", [7, 7]],
    ["rope.dimension_sections", [16, 24, 24, 0]],
    ["rope.freq_base_swa", 1000],
    ["rope.scaling.alpha", 1000],
    ["what_comes_later", 3],
    // Names that every object inherits.
    ["constructor", 3],
    ["__proto__", 3],
    ["hasOwnProperty", true],
  ])("refuses %s = %j, which no code follows", (key, value) => {
    for (const model of ["grok-1", "grok-2", "llama", "mixtral"]) {
      const file = openModel(model);
      const full = `${file.metadata.string("general.architecture")}.${key}`;
      const error = failure(altered(file, { [full]: value }));
      expect(error).toMatchObject({ code: "unsupported", details: { path: file.path, key: full } });
      expect(error.message).toContain(`${file.path}: "${full}" is`);
    }
  });

  it.each([
    ["llama", "logit_scale", 2],
    ["llama", "embedding_scale", 78],
    ["llama", "attn_logit_softcapping", 30],
    ["llama", "final_logit_softcapping", 30],
    ["mixtral", "router_logit_softcapping", 30],
    ["llama", "attention.temperature_length", 8192],
    ["mixtral", "expert_weights_norm", false],
    ["llama", "rope.scaling.yarn_log_multiplier", 0.1],
    ["llama", "rope.scaling.attn_factor", 1.2],
    ["grok-1", "attention.scale", 0.1],
  ])("of %s refuses %s = %j, which is another architecture's", (model, key, value) => {
    const file = openModel(model);
    const full = `${file.metadata.string("general.architecture")}.${key}`;
    expect(failure(altered(file, { [full]: value })).details.key).toBe(full);
  });

  it.each([
    ["grok-1", "attn_logit_softcapping", [-30, Number.NaN, Number.POSITIVE_INFINITY]],
    ["grok-2", "router_logit_softcapping", [-1, Number.NaN]],
    ["grok-2", "final_logit_softcapping", [-1, 1e300]],
    ["grok-1", "attention.output_scale", [Number.NaN, Number.NEGATIVE_INFINITY, 1e300]],
    ["grok-1", "embedding_scale", [Number.NaN]],
    ["grok-1", "logit_scale", [Number.POSITIVE_INFINITY]],
    ["grok-2", "attention.temperature_length", [1, -1, 0.5, 2 ** 40]],
    ["llama", "attention.layer_norm_rms_epsilon", [0, -1e-5, Number.NaN, 1e-60]],
    ["llama", "attention.scale", [Number.NaN]],
    ["llama", "rope.freq_base", [0, -1, Number.NaN, Number.POSITIVE_INFINITY]],
    ["llama", "rope.dimension_count", [1, 3, 2 ** 31, 1000]],
    ["llama", "rope.scaling.factor", [-1, Number.NaN]],
    ["llama", "attention.key_length", [2 ** 31, 2 ** 30]],
    ["mixtral", "expert_count", [2 ** 31, 2 ** 31 - 1, 5000]],
    ["mixtral", "block_count", [2 ** 31, 2 ** 31 - 1, 5000]],
    ["grok-1", "attention.head_count", [2 ** 31 - 1]],
  ] as const)("of %s refuses %s = %j at once, naming file and key", (model, key, values) => {
    const file = openModel(model);
    const full = `${file.metadata.string("general.architecture")}.${key}`;
    for (const value of values) {
      const seconds = processorSeconds(() => {
        const error = failure(altered(file, { [full]: value }));
        expect(error.code).toBe("format");
        expect(error.message).toContain(`${file.path}: ${full} is ${value}`);
        expect(() => listModules(altered(file, { [full]: value }))).toThrow(full);
      });
      expect(seconds).toBeLessThan(1);
    }
  });

  it("refuses counts that multiply to more than any model has", () => {
    const file = openModel("mixtral");
    const error = failure(altered(file, { "llama.block_count": 4096, "llama.expert_count": 4096 }));
    expect(error.message).toMatch(/4096 experts in each of 4096 layers/);
  });

  it("keeps a model with a sliding window within it", () => {
    const file = altered(openModel("llama"), { "llama.attention.sliding_window": 100 });
    expect(bindModel(ops, file).config.contextLength).toBe(100);
    expect(bindModel(ops, openModel("llama")).config.contextLength).toBe(128);
  });

  it("takes Mixtral's experts from one tensor each, as older files have them", async () => {
    const file = openModel("mixtral");
    const changes: Record<string, Tensor | undefined> = {};
    for (const [name, stack] of file.tensors) {
      if (!name.includes("_exps")) continue;
      changes[name] = undefined;
      for (let e = 0; e < stack.shape[0]!; e++) {
        const part = name.replace("_exps.", `.${e}.`);
        changes[part] = { ...stack, name: part, shape: stack.shape.slice(1), places: placesOf(stack, e, e + 1) };
      }
    }
    const expected = readArrays(join(vectors, "mixtral.expected.safetensors"));
    const { logits } = await runTokens(ops, altered(file, {}, changes), expected.get("tokens") as Int32Array);
    expect(relativeError(logits, expected.get("logits")!)).toBeLessThan(1e-5);
  });

  it("gives logits of the asked rows only, the same as when all are asked", async () => {
    for (const name of ["grok-2", "llama"]) {
      const file = openModel(name);
      const tokens = readArrays(join(vectors, `${name}.expected.safetensors`)).get("tokens") as Int32Array;
      const { logits, model } = await runTokens(ops, file, tokens);
      const { vocab } = model.config;
      const cache = model.kvCache({ pages: 1, pageTokens: 32, type: "f32" });
      const n = tokens.length;
      for (const outputs of [[n - 1], [0, 7, 8], []]) {
        const batch = {
          tokens,
          positions: tokens.map((_, i) => i),
          sequences: [{ start: 0, count: n, pages: Int32Array.of(0) }],
          outputs: Int32Array.from(outputs),
        };
        const found = await model.forward(batch, cache);
        expect([found.rows, found.cols]).toEqual([outputs.length, vocab]);
        expect([...(await ops.read(found))]).toEqual(
          outputs.flatMap((row) => logits.slice(row * vocab, (row + 1) * vocab)),
        );
      }
    }
  });

  it("runs sequences together as it runs them alone", async () => {
    const file = openModel("grok-1");
    const tokens = readArrays(join(vectors, "grok-1.expected.safetensors")).get("tokens") as Int32Array;
    const [a, b] = [tokens.slice(0, 9), tokens.slice(9, 20)];
    const alone = [...(await runTokens(ops, file, a)).logits, ...(await runTokens(ops, file, b)).logits];
    const model = bindModel(ops, file);
    const cache = model.kvCache({ pages: 4, pageTokens: 6, type: "f32" });
    const rows = Int32Array.from({ length: 20 }, (_, i) => i);
    const together = await model.forward(
      {
        tokens: tokens.slice(0, 20),
        positions: rows.map((i) => (i < 9 ? i : i - 9)),
        sequences: [
          { start: 0, count: 9, pages: Int32Array.of(3, 0) },
          { start: 9, count: 11, pages: Int32Array.of(2, 1) },
        ],
        outputs: rows,
      },
      cache,
    );
    expect(relativeError(await ops.read(together), alone)).toBeLessThan(1e-12);
  });
});
