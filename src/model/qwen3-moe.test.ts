import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { backends } from "../kernels/backends.case.ts";
import { relativeError } from "../kernels/oracle.case.ts";
import { qwen3Moe } from "./qwen3-moe.case.ts";
import { readArrays, runModel } from "./run.case.ts";

const path = join(import.meta.dirname, "../../test/vectors/models/qwen3-moe");

describe.each(backends)("an architecture made as an exercise on $name", ({ name, create, skip }) => {
  it.skipIf(skip !== undefined)("gives the logits and hidden states of transformers' Qwen3 MoE", async () => {
    const ops = create();
    const file = openGguf(`${path}.gguf`);
    const expected = readArrays(`${path}.expected.safetensors`);
    const budget = name === "reference" ? 3e-7 : 1e-5;
    const tokens = expected.get("tokens") as Int32Array;
    const { logits, seen, model } = await runModel(ops, (observed) => qwen3Moe.bind(observed, file), tokens);
    expect(relativeError(logits, expected.get("logits")!)).toBeLessThan(budget);
    for (let layer = 0; layer < model.config.layers; layer++) {
      expect(relativeError(seen.get(`l_out.${layer}`)!, expected.get(`hidden.${layer}`)!)).toBeLessThan(budget);
    }
    const chunks = [9, 1, tokens.length - 11, 1];
    const again = await runModel(ops, (observed) => qwen3Moe.bind(observed, file), tokens, { chunks, pageTokens: 4 });
    expect(relativeError(again.logits, logits)).toBeLessThan(1e-6);
    ops.close();
    file.close();
  });
});

it("names all tensors of the exercise as Hugging Face's layout does", () => {
  const file = openGguf(`${path}.gguf`);
  const list = qwen3Moe.tensors(file);
  expect(new Set(list.map(({ tensor }) => tensor))).toEqual(new Set(file.tensors.keys()));
  const first = list.filter(({ module }) => module.startsWith("model.layers.0.") && !/experts\.[1-9]/.test(module));
  expect(first.map(({ module, parameter }) => `${module}.${parameter}`.replace("model.layers.0.", ""))).toEqual([
    "input_layernorm.weight",
    ...["q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"].map((part) => `self_attn.${part}.weight`),
    "post_attention_layernorm.weight",
    "mlp.gate.weight",
    ...["gate_proj", "up_proj", "down_proj"].map((part) => `mlp.experts.0.${part}.weight`),
  ]);
  file.close();
});
