import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { backends } from "../kernels/backends.case.ts";
import type { Batch, Matrix, Ops } from "../kernels/ops.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { adaptOps } from "./lora/apply.ts";
import { makeAdapter } from "./lora/lora.case.ts";
import { listModules } from "./lora/modules.ts";
import type { Model, ModelFile, ModelPart } from "./model.ts";
import { bindModel, modelTensors } from "./registry.ts";
import { shuffledPages } from "./run.case.ts";

const names = ["grok-1", "grok-2", "llama", "mixtral"];
const open = (name: string) => openGguf(join(import.meta.dirname, `../../test/vectors/models/${name}.gguf`));

/** Three passes over three sequences at several depths; logits wanted of all, some, one and no rows. */
function raggedBatches(vocab: number): Batch[] {
  const pages = shuffledPages(12);
  const depths = [0, 0, 0];
  return [
    { counts: [7, 0, 4], outputs: [0, 3, 6, 10] },
    { counts: [1, 9, 1], outputs: [] },
    { counts: [3, 1, 1], outputs: [0, 1, 2, 3, 4] },
    { counts: [1, 1, 2], outputs: [1] },
  ].map(({ counts, outputs }) => {
    const positions: number[] = [];
    const sequences = counts.map((count, s) => {
      const start = positions.length;
      for (let i = 0; i < count; i++) positions.push(depths[s]!++);
      return { start, count, pages: pages.slice(4 * s, 4 * s + 4) };
    });
    const tokens = Int32Array.from(positions, (position, row) => (37 * position + 11 * row + 5) % vocab);
    return { tokens, positions: Int32Array.from(positions), sequences, outputs: Int32Array.from(outputs) };
  });
}

const cacheOf = (model: Model) => model.kvCache({ pages: 12, pageTokens: 4, type: "f32" });

/** A hidden state as another machine receives it: as bytes. */
async function send(from: Ops, h: Matrix, to: Ops): Promise<Matrix> {
  const values = await from.read(h);
  const bytes = Uint8Array.from(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  const received = to.matrix("inp_embd", h.rows, h.cols);
  to.write(received, values instanceof Float64Array ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer));
  return received;
}

/** A model cut before the layers `cuts`, each stage bound by itself to a backend of its own. */
function stagesOf(create: () => Ops, file: ModelFile, layers: number, cuts: readonly number[]) {
  const ends = [...cuts, layers];
  const stages = ends.map((to, i) => {
    const ops = create();
    const model = bindModel(ops, file, { layers: { from: i === 0 ? 0 : ends[i - 1]!, to } });
    return { ops, model, cache: cacheOf(model) };
  });
  return {
    async forward(batch: Batch): Promise<number[]> {
      let h = stages[0]!.model.embed(batch);
      for (const [i, { ops, model, cache }] of stages.entries()) {
        if (i > 0) h = await send(stages[i - 1]!.ops, h, ops);
        h = await model.layers(h, batch, cache);
      }
      const { ops, model } = stages.at(-1)!;
      return Array.from(await ops.read(model.head(h, batch)));
    },
    close: () => {
      for (const { ops } of stages) ops.close();
    },
  };
}

describe.each(backends)("a model in parts on $name", ({ create, skip }) => {
  describe.skipIf(skip !== undefined).each(names)("%s", (name) => {
    const file = open(name);
    afterAll(() => file.close());

    it("gives the same logits, to the bit, cut before any layer into backends that exchange bytes", async () => {
      const ops = create();
      const whole = bindModel(ops, file);
      const { layers, vocab } = whole.config;
      const cache = cacheOf(whole);
      const batches = raggedBatches(vocab);
      const expected: number[][] = [];
      for (const batch of batches) expected.push(Array.from(await ops.read(await whole.forward(batch, cache))));
      const cuts = [
        ...Array.from({ length: layers + 1 }, (_, i) => [i]),
        Array.from({ length: layers - 1 }, (_, i) => i + 1),
      ];
      for (const cut of cuts) {
        const parts = stagesOf(create, file, layers, cut);
        for (const [i, batch] of batches.entries())
          expect(await parts.forward(batch), `cut ${cut}`).toEqual(expected[i]);
        parts.close();
      }
      ops.close();
    });

    it("is the same when its parts are called apart, and can be ended early", async () => {
      const ops = create();
      const model = bindModel(ops, file);
      const { layers, width, vocab } = model.config;
      const [a, b] = [cacheOf(model), cacheOf(model)];
      for (const batch of raggedBatches(vocab)) {
        const expected = Array.from(await ops.read(await model.forward(batch, a)));
        let h = model.embed(batch);
        for (let layer = 0; layer < layers; layer++) {
          expect([h.rows, h.cols]).toEqual([batch.tokens.length, width]);
          h = await model.layers(h, batch, b, layer, layer + 1);
        }
        expect([h.rows, h.cols]).toEqual([batch.outputs.length, width]);
        expect(Array.from(await ops.read(model.head(h, batch)))).toEqual(expected);
      }
      ops.close();
    });
  });
});

it.each(names)("%s cut with adapters gives the same logits, to the bit, the head's adapter included", async (name) => {
  const file = open(name);
  const adapters = [1, 2].map((seed) => makeAdapter(listModules(file), { seed, rank: 2 + seed }));
  const create = () => {
    const adapted = adaptOps(createReference());
    const [one, two] = adapters.map((adapter) => adapted.bind(adapter));
    adapted.follow(() => [
      [{ adapter: one!, scale: 1 }],
      [],
      [
        { adapter: one!, scale: 0.5 },
        { adapter: two!, scale: -1 },
      ],
    ]);
    return adapted.ops;
  };
  const ops = create();
  const whole = bindModel(ops, file);
  const cache = cacheOf(whole);
  const { layers, vocab } = whole.config;
  const parts = [[1], [layers]].map((cuts) => stagesOf(create, file, layers, cuts));
  for (const batch of raggedBatches(vocab)) {
    const expected = Array.from(await ops.read(await whole.forward(batch, cache)));
    for (const part of parts) expect(await part.forward(batch)).toEqual(expected);
  }
  for (const { close } of [...parts, ops]) close();
  file.close();
});

describe("parts of a model", () => {
  const { create } = backends[0]!;
  const only = (file: ModelFile, wanted: (tensor: string) => boolean): ModelFile => ({
    ...{ path: file.path, metadata: file.metadata },
    tensors: new Map([...file.tensors].filter(([tensor]) => wanted(tensor))),
  });

  it.each(names)("of %s bind what they have, and nothing else", (name) => {
    const file = open(name);
    const ops = create();
    const bound: string[] = [];
    const watched: Ops = {
      ...ops,
      weight(tensor, options) {
        bound.push(tensor.name);
        return ops.weight(tensor, options);
      },
    };
    const outer = ["token_embd.weight", "output_norm.weight", "output.weight"].filter((each) => file.tensors.has(each));
    const inner = (layer: number) => [...file.tensors.keys()].filter((tensor) => tensor.startsWith(`blk.${layer}.`));
    const cases: [ModelPart, string[]][] = [
      [{ layers: { from: 1, to: 2 } }, [...outer.slice(file.tensors.has("output.weight") ? 1 : 0), ...inner(1)]],
      [{ layers: { from: 0, to: 1 } }, ["token_embd.weight", ...inner(0)]],
      [{ layers: { from: 1, to: 1 }, embed: false, head: false }, []],
      [{ layers: { from: 1, to: 2 }, head: false }, inner(1)],
      [{ layers: { from: 0, to: 0 }, head: false }, ["token_embd.weight"]],
    ];
    for (const [part, expected] of cases) {
      // Also of a file that holds nothing else, but for what all are measured by.
      for (const whole of [true, false]) {
        bound.length = 0;
        const given = whole
          ? file
          : only(file, (tensor) => expected.includes(tensor) || tensor === "token_embd.weight");
        const model = bindModel(watched, given, part);
        expect(model.bound).toEqual(part.layers);
        expect(new Set(bound)).toEqual(new Set(expected));
        const { from, to } = model.bound;
        if (to > from) expect(cacheOf(model).spec.layers).toBe(to - from);
      }
    }
    ops.close();
    file.close();
  });

  it("say what they do not have", async () => {
    const file = open("grok-2");
    const ops = create();
    const refused = expect.objectContaining({ code: "argument" });
    const middle = bindModel(ops, file, { layers: { from: 1, to: 2 }, head: false });
    const batch = raggedBatches(middle.config.vocab)[0]!;
    const cache = cacheOf(middle);
    expect(() => middle.embed(batch)).toThrow(refused);
    const h = ops.matrix("inp_embd", batch.tokens.length, middle.config.width);
    expect(() => middle.head(h, batch)).toThrow(refused);
    const whole = bindModel(ops, file);
    const [n, { width }] = [batch.tokens.length, whole.config];
    for (const [rows, cols] of [[n + 1, width], [n, width + 1], [n, width - 1], [2 * n, width]] as const) {
      const other = ops.matrix("inp_embd", rows, cols);
      expect(() => whole.head(other, batch)).toThrow(refused);
      await expect(whole.layers(other, batch, cacheOf(whole))).rejects.toThrow(refused);
    } // biome-ignore format: pairs
    expect(whole.head(ops.matrix("inp_embd", n, width), batch).rows).toBe(n);
    await expect(middle.forward(batch, cache)).rejects.toThrow(refused);
    for (const [from, to] of [[0, 2], [2, 1], [1, 3], [1.5, 2], [Number.NaN, 2]]) {
      await expect(middle.layers(h, batch, cache, from, to)).rejects.toThrow(refused);
    } // biome-ignore format: pairs
    for (const [from, to] of [[-1, 2], [2, 1], [0, 3], [0.5, 2], [0, Number.NaN]] as const) {
      expect(() => bindModel(ops, file, { layers: { from, to } })).toThrow(refused);
    } // biome-ignore format: pairs
    ops.close();
    file.close();
  });

  it("of Grok-2 know a dense block in whatever layers a file holds, and miss what a layer lacks of it", () => {
    const file = open("grok-2");
    const ops = create();
    const second = only(file, (tensor) => !tensor.startsWith("blk.0."));
    const model = bindModel(ops, second, { layers: { from: 1, to: 2 } });
    expect(model.config.hidden).toBeGreaterThan(0);
    for (const part of ["gate", "up", "down"]) {
      for (const layer of [0, 1]) {
        const lacking = only(file, (tensor) => tensor !== `blk.${layer}.ffn_${part}.weight`);
        expect(() => bindModel(ops, lacking)).toThrow(new RegExp(`blk\\.${layer}\\.ffn_${part}\\.weight is missing`));
      }
    }
    const first = only(file, (tensor) => !/blk\.0\.ffn_(gate|up|down)\.weight/.test(tensor));
    expect(() => bindModel(ops, first)).toThrow(/blk\.0\.ffn_gate\.weight is missing/);
    ops.close();
    file.close();
  });
});

describe("a model's tensors in both layouts", () => {
  /** Of layer 0 with the first expert, and what surrounds the layers, in Hugging Face's layout. */
  const attention = (module: string) =>
    ["q_proj", "k_proj", "v_proj", "o_proj"].map((part) => `${module}.${part}.weight`);
  const known: Record<string, readonly string[]> = {
    "grok-1": [
      "pre_attn_norm.scale",
      ...attention("attn"),
      ...["post_attn_norm.scale", "pre_moe_norm.scale", "moe_block.gate.weight"],
      ...["linear", "linear_v", "linear_1"].map((part) => `moe_block.experts.0.${part}.weight`),
      "post_moe_norm.scale",
    ],
    "grok-2": [
      "pre_attn_norm.weight",
      ...attention("self_attn"),
      ...["post_attn_norm.weight", "pre_moe_norm.weight"],
      ...["gate_proj", "up_proj", "down_proj"].map((part) => `mlp.${part}.weight`),
      "block_sparse_moe.gate.weight",
      ...["w1", "w3", "w2"].map((part) => `block_sparse_moe.experts.0.${part}.weight`),
      "post_moe_norm.weight",
    ],
    llama: [
      "input_layernorm.weight",
      ...attention("self_attn"),
      "post_attention_layernorm.weight",
      ...["gate_proj", "up_proj", "down_proj"].map((part) => `mlp.${part}.weight`),
    ],
    mixtral: [
      "input_layernorm.weight",
      ...attention("self_attn"),
      ...["post_attention_layernorm.weight", "block_sparse_moe.gate.weight"],
      ...["w1", "w3", "w2"].map((part) => `block_sparse_moe.experts.0.${part}.weight`),
    ],
  };

  it.each(names)("of %s are all that the file has, by Hugging Face's names and with its shapes", (name) => {
    const file = open(name);
    const list = modelTensors(file);
    const inFile = [...file.tensors.keys()].filter((tensor) => tensor !== "rope_freqs.weight");
    expect(new Set(list.map(({ tensor }) => tensor))).toEqual(new Set(inFile));
    for (const { tensor, shape, expert, experts } of list) {
      expect(file.tensors.get(tensor)!.shape).toEqual(expert === undefined ? shape : [experts, ...shape]);
    }
    const hf = list.map(({ module, parameter }) => `${module}.${parameter}`);
    expect(new Set(hf).size).toBe(hf.length);
    const gain = name === "grok-1" ? "scale" : "weight";
    expect(hf.filter((each) => !each.startsWith("model.layers."))).toEqual([
      ...["model.embed_tokens.weight", `model.norm.${gain}`],
      ...(file.tensors.has("output.weight") ? ["lm_head.weight"] : []),
    ]);
    const layer = hf.filter((each) => each.startsWith("model.layers.0.") && !/experts\.[1-9]/.test(each));
    expect(layer.map((each) => each.replace("model.layers.0.", ""))).toEqual(known[name]);
    const permuted = list.filter(({ permutedHeads }) => permutedHeads !== undefined).map(({ module }) => module);
    expect(permuted.every((module) => /[qk]_proj$/.test(module))).toBe(true);
    expect(permuted.length > 0).toBe(name === "llama" || name === "mixtral");
    // What adapters belong to is the matrices among them.
    expect(listModules(file).map(({ tensor, module }) => [tensor, module])).toEqual(
      list
        .filter(({ shape, tensor }) => shape.length === 2 && tensor !== "token_embd.weight")
        .map((each) => [each.tensor, each.module]),
    );
    file.close();
  });
});
