import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TensorType } from "../tensor/types.ts";
import { describeModel } from "./describe.ts";
import type { ModelFile } from "./model.ts";

const vectors = join(import.meta.dirname, "../../test/vectors/models");

/** A file of shapes alone. */
function outline(
  metadata: Record<string, unknown>,
  tensors: readonly [string, TensorType, number[]][],
  opaque: readonly [string, string, number[]][] = [],
): ModelFile {
  const read = (key: string, fallback?: unknown) => metadata[key] ?? fallback;
  return {
    path: "outline.gguf",
    metadata: { get: read, string: read, number: read },
    tensors: new Map(
      tensors.map(([name, type, shape]): [string, Tensor] => [
        name,
        { name, type, shape, source: "memory", places: [] },
      ]),
    ),
    opaque: new Map(opaque.map(([name, typeName, shape]) => [name, { typeName, shape }])),
  } as ModelFile;
}

/** Grok-1 as it was published, in q4_0 and float32. */
function grok1(): ModelFile {
  const tensors: [string, TensorType, number[]][] = [
    ["token_embd.weight", "q8_0", [131072, 6144]],
    ["output_norm.weight", "f32", [6144]],
  ];
  for (let layer = 0; layer < 64; layer++) {
    const add = (name: string, type: TensorType, ...shape: number[]) =>
      tensors.push([`blk.${layer}.${name}.weight`, type, shape]);
    for (const norm of ["attn_norm", "attn_output_norm", "ffn_norm", "layer_output_norm"]) add(norm, "f32", 6144);
    for (const [name, rows] of [["attn_q", 6144], ["attn_k", 1024], ["attn_v", 1024], ["attn_output", 6144]] as const) {
      add(name, "q4_0", rows, 6144);
    } // biome-ignore format: a table
    add("ffn_gate_inp", "f32", 8, 6144);
    add("ffn_gate_exps", "q4_0", 8, 32768, 6144);
    add("ffn_up_exps", "q4_0", 8, 32768, 6144);
    add("ffn_down_exps", "q4_0", 8, 6144, 32768);
  }
  const metadata = {
    ...{ "general.architecture": "grok", "grok.block_count": 64, "grok.context_length": 8192 },
    ...{ "grok.embedding_length": 6144, "grok.feed_forward_length": 32768, "grok.attention.head_count": 48 },
    ...{ "grok.attention.head_count_kv": 8, "grok.expert_count": 8, "grok.expert_used_count": 2 },
  };
  return outline(metadata, tensors);
}

describe("a description", () => {
  it("of Grok-1's shapes has its figures: a quarter of the experts used, 84 billion parameters a token", () => {
    const found = describeModel(grok1());
    expect(found.runs).toBe(true);
    expect(Math.round(found.parameters / 1e9)).toBe(316);
    const experts = 64 * 8 * 3 * 6144 * 32768;
    expect(found.parametersUsed).toBe(found.parameters - (experts * 3) / 4);
    expect(Math.round(found.parametersUsed / 1e9)).toBe(84);
    expect(found.kvBytesPerToken).toEqual({ f32: 524288, f16: 262144, q8_0: 139264, q4_0: 73728 });
    // q4_0 takes 18 bytes for 32 weights; a quarter of the experts, and the rest whole.
    expect(found.types.map(({ type }) => type)).toEqual(["q4_0", "q8_0", "f32"]);
    expect(found.bytesPerToken / 1e9).toBeCloseTo(((experts / 4 + 64 * 88080384) * 18) / 32 / 1e9 + 0.856 + 0.019, 1);
    expect(found.config).toMatchObject({ layers: 64, headSize: 128, vocab: 131072, expertHidden: 32768, used: 2 });
  });

  it.each(["grok-1", "grok-2", "llama", "mixtral"])("of the small %s counts what its file holds", (name) => {
    const path = join(vectors, `${name}.gguf`);
    const file = openGguf(path);
    const found = describeModel(file);
    expect(found.name).toBe(`random ${name}`);
    expect(found.tensors).toBe(file.tensors.size);
    // The rest is the header, with the vocabulary, and padding.
    expect(found.bytes).toBeLessThan(statSync(path).size);
    expect(found.bytes).toBeGreaterThan(statSync(path).size - 16384);
    const untied = file.tensors.get("output.weight") ? found.config!.vocab - 1 : 0;
    const embedding = file.tensors.get("token_embd.weight")!;
    const experts = [...file.tensors.values()].filter((tensor) => tensor.name.includes("_exps"));
    const unread =
      experts.reduce((sum, { byteLength }) => sum + byteLength, 0) *
      (1 - (found.config!.used || 1) / (found.config!.experts || 1));
    expect(found.bytesPerToken).toBeCloseTo(
      found.bytes - unread - (embedding.byteLength / found.config!.vocab) * untied,
      -0.5,
    );
    file.close();
  });

  it("of an unknown architecture and unknown types still counts", () => {
    const file = outline(
      { "general.architecture": "other" },
      [["a.weight", "f16", [10, 32]]],
      [["b.weight", "type 99", [4, 8]]],
    );
    expect(describeModel(file)).toEqual({
      ...{ path: "outline.gguf", architecture: "other", runs: false, tensors: 2, parameters: 352, parametersUsed: 352 },
      ...{ bytes: 640, bytesPerToken: 640 },
      types: [
        { type: "f16", tensors: 1, parameters: 320, bytes: 640 },
        { type: "type 99", tensors: 1, parameters: 32 },
      ],
    });
  });
});
