import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { TensorType } from "../tensor/types.ts";
import { type Mixture, mixtureNamed, mixtureNames } from "./mixtures.ts";
import type { Metadata, SourceTensor } from "./source.ts";

interface Shape {
  readonly architecture: string;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly hidden: number;
  readonly experts: number;
  readonly tied: boolean;
}

/** Made by test/oracles/make_mixture_vectors.py: what llama.cpp's quantizer chose, in runs of layers. */
const vectors = JSON.parse(
  readFileSync(new URL("../../test/vectors/mixtures.json", import.meta.url), "utf8"),
) as Record<string, { shape: Shape; types: Record<string, Record<string, string>> }>;

function modelOf({ architecture, layers, width, heads, kvHeads, hidden, experts, tied }: Shape) {
  const u32 = (value: number) => ({ type: "u32", value }) as const;
  const metadata: Metadata = [
    ["general.architecture", { type: "string", value: architecture }],
    [`${architecture}.block_count`, u32(layers)],
    [`${architecture}.attention.head_count`, u32(heads)],
    [`${architecture}.attention.head_count_kv`, u32(kvHeads)],
    ...(experts > 0 ? [[`${architecture}.expert_count`, u32(experts)] as const] : []),
  ];
  const tensor = (name: string, ...shape: number[]): SourceTensor => ({
    ...{ name, shape, stored: "f16", storedBytes: 0, rows: () => [] },
    exact: shape.length === 1 || name.endsWith("ffn_gate_inp.weight") ? "f32" : "f16",
  });
  const kv = (kvHeads * width) / heads;
  const stack = experts > 0 ? [experts] : [];
  const tail = experts > 0 ? "_exps" : "";
  const tensors = [tensor("token_embd.weight", 64, width), tensor("output_norm.weight", width)];
  if (!tied) tensors.push(tensor("output.weight", 64, width));
  for (let i = 0; i < layers; i++) {
    const own = (name: string, ...shape: number[]) => tensors.push(tensor(`blk.${i}.${name}.weight`, ...shape));
    own("attn_norm", width);
    own("attn_q", width, width);
    own("attn_k", kv, width);
    own("attn_v", kv, width);
    own("attn_output", width, width);
    if (experts > 0) own("ffn_gate_inp", experts, width);
    own(`ffn_gate${tail}`, ...stack, hidden, width);
    own(`ffn_up${tail}`, ...stack, hidden, width);
    own(`ffn_down${tail}`, ...stack, width, hidden);
  }
  return { metadata, tensors };
}

/** The vectors' form: by tensor, runs of layers. */
function inRuns(tensors: readonly SourceTensor[], typeOf: (tensor: SourceTensor) => TensorType) {
  const runs = new Map<string, [type: string, count: number][]>();
  for (const tensor of tensors.filter(({ shape }) => shape.length > 1)) {
    const key = tensor.name.replace(/^blk\.\d+\./, "");
    const list = runs.get(key) ?? [];
    runs.set(key, list);
    const type = typeOf(tensor);
    if (list.at(-1)?.[0] === type) list.at(-1)![1]++;
    else list.push([type, 1]);
  }
  return Object.fromEntries(
    [...runs].map(([key, list]) => [key, list.map(([type, n]) => (n > 1 ? `${type}*${n}` : type)).join(" ")]),
  );
}

describe("mixtures", () => {
  for (const [label, { shape, types }] of Object.entries(vectors)) {
    it(`chooses what llama.cpp's quantizer chooses: ${label}`, () => {
      const model = modelOf(shape);
      expect(Object.keys(types).length).toBeGreaterThan(40);
      for (const [key, expected] of Object.entries(types)) {
        const name = key.replace("+", "") as Mixture;
        if (!mixtureNames.includes(name)) continue;
        const options = { informed: key.endsWith("+"), pure: false, overrides: [] };
        const recipe = mixtureNamed(name, model, options);
        expect({ [key]: inRuns(model.tensors, recipe.typeOf) }).toEqual({ [key]: expected });
      }
    });
  }

  it("takes names in any case, pure types, and overrides by pattern, the first that fits", () => {
    const model = modelOf(vectors.llama!.shape);
    const overrides = [
      { pattern: /blk\.[01]\.ffn_down/, type: "q8_0" },
      { pattern: /ffn_down/, type: "q3_k" },
    ] as const;
    const recipe = mixtureNamed("q4_k_m", model, { informed: false, pure: true, overrides });
    expect(recipe).toMatchObject({ name: "Q4_K_M", fileType: 15 });
    const runs = inRuns(model.tensors, recipe.typeOf);
    expect(runs["ffn_down.weight"]).toBe("q8_0*2 q3_k*10");
    expect(runs["token_embd.weight"]).toBe("q4_k");
    expect(() => mixtureNamed("Q4_K_XL", model, { informed: false, pure: false, overrides: [] })).toThrow(
      /type is Q4_K_XL, expected one of Q2_K, /,
    );
  });
});
