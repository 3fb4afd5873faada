import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { loadAddon } from "../../addon.ts";
import { openGguf } from "../../formats/gguf/file.ts";
import { openSafetensors } from "../../formats/safetensors/file.ts";
import { writeSafetensors } from "../../formats/safetensors/write.ts";
import { createNative } from "../../kernels/native/native.ts";
import type { Batch, Ops } from "../../kernels/ops.ts";
import { relativeError } from "../../kernels/oracle.case.ts";
import { createReference } from "../../kernels/reference/reference.ts";
import { decodeRow } from "../../tensor/decode.ts";
import { memoryTensor } from "../../tensor/memory-tensor.case.ts";
import { elementCount, type MemoryPlace, readTensor, type Tensor } from "../../tensor/tensor.ts";
import { readConfig } from "../config.ts";
import type { ModelFile } from "../model.ts";
import { bindModel } from "../registry.ts";
import { permutedRow } from "../tensors.ts";
import type { LoraAdapter } from "./adapter.ts";
import { type AppliedAdapter, adaptOps } from "./apply.ts";
import { makeAdapter } from "./lora.case.ts";
import { listModules } from "./modules.ts";
import { readAdapter } from "./read.ts";
import { writeAdapter } from "./write.ts";

const models = join(import.meta.dirname, "../../../test/vectors/models");
const folder = mkdtempSync(join(tmpdir(), "grok1-lora-"));
afterAll(() => rmSync(folder, { recursive: true }));
const open = (name: string) => openGguf(join(models, `${name}.gguf`));
const names = ["grok-1", "grok-2", "llama", "mixtral"];

/** The file with the adapters' products added into its weights, in f32. */
function mergedFile(file: ModelFile, adapters: readonly { adapter: LoraAdapter; scale: number }[]): ModelFile {
  const tensors = new Map(
    [...file.tensors].map(([name, tensor]): [string, Tensor] => {
      const own = adapters.flatMap(({ adapter, scale: factor }) =>
        adapter.terms.filter(({ target }) => target.tensor === name).map((term) => ({ ...term, factor })),
      );
      if (own.length === 0) return [name, tensor];
      const values = new Float32Array(elementCount(tensor.shape));
      for (let i = 0; i < tensor.shape[0]!; i++) {
        const part = values.length / tensor.shape[0]!;
        decodeRow(tensor.type, readTensor(tensor, i, i + 1), values.subarray(i * part, (i + 1) * part));
      }
      for (const { target, rank, scale, a, b, factor } of own) {
        const offset = (target.expert ?? 0) * target.out * target.in;
        for (let row = 0; row < target.out; row++) {
          for (let col = 0; col < target.in; col++) {
            let sum = 0;
            for (let r = 0; r < rank; r++) sum += b[row * rank + r]! * a[r * target.in + col]!;
            values[offset + row * target.in + col]! += factor * scale * sum;
          }
        }
      }
      return [name, memoryTensor(name, "f32", tensor.shape, values)];
    }),
  );
  return { path: file.path, metadata: file.metadata, tensors };
}

interface Sequence {
  readonly tokens: readonly number[];
  readonly adapters: readonly AppliedAdapter[];
}

/** Logits of the last row of each sequence, or of all rows, of one batch. */
async function run(adapted: ReturnType<typeof adaptOps>, file: ModelFile, sequences: readonly Sequence[], all = false) {
  const model = bindModel(adapted.ops, file);
  adapted.follow(() => sequences.map(({ adapters }) => adapters));
  const cache = model.kvCache({ pages: sequences.length, pageTokens: 16, type: "f32" });
  const starts = sequences.map((_, i) => sequences.slice(0, i).reduce((sum, { tokens }) => sum + tokens.length, 0));
  const total = sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const rows = Array.from({ length: total }, (_, i) => i);
  const last = sequences.map(({ tokens }, i) => starts[i]! + tokens.length - 1);
  const batch: Batch = {
    tokens: Int32Array.from(sequences.flatMap(({ tokens }) => tokens)),
    positions: Int32Array.from(sequences.flatMap(({ tokens }) => tokens.map((_, i) => i))),
    sequences: sequences.map(({ tokens }, i) => ({
      ...{ start: starts[i]!, count: tokens.length, pages: Int32Array.of(i) },
    })),
    outputs: Int32Array.from(all ? rows : last),
  };
  const logits = Float64Array.from(await adapted.ops.read(await model.forward(batch, cache)));
  adapted.ops.freeKvCache(cache);
  return logits;
}

const prompts = [
  [5, 9, 17, 3, 22],
  [8, 8, 30],
  [1, 12, 40, 2, 7, 19],
];

const { addon } = loadAddon();
// Native products with quantized weights round activations, and the merged weights are not quantized.
const backends: { backend: string; make: () => Ops; bound: number; skip: string }[] = [
  { backend: "reference", make: () => createReference(), bound: 1e-6, skip: "" },
  { backend: "native", make: () => createNative(addon!, { threads: 1 }), bound: 2e-2, skip: withoutAddon },
];

describe.each(backends)("adapters on the $backend backend$skip", ({ make, bound, skip }) => {
  describe.skipIf(skip !== "").each(names)("%s", (name) => {
    const file = open(name);
    const modules = listModules(file);
    afterAll(() => file.close());

    it("give what weights give that the adapters were added to", async () => {
      const ops = make();
      const adapted = adaptOps(ops);
      const [one, two] = [makeAdapter(modules), makeAdapter(modules, { seed: 2, rank: 5 })];
      const use = [
        { adapter: adapted.bind(one), scale: 1 },
        { adapter: adapted.bind(two), scale: -0.5 },
      ];
      for (const all of [true, false]) {
        const found = await run(adapted, file, [{ tokens: prompts[0]!, adapters: use }], all);
        const merged = mergedFile(file, [
          { adapter: one, scale: 1 },
          { adapter: two, scale: -0.5 },
        ]);
        const expected = await run(adapted, merged, [{ tokens: prompts[0]!, adapters: [] }], all);
        expect(relativeError(found, expected)).toBeLessThan(bound);
        const base = await run(adapted, file, [{ tokens: prompts[0]!, adapters: [] }], all);
        expect(relativeError(found, base)).toBeGreaterThan(0.05);
      }
      ops.close();
    });

    it("may have a rank of its own for each matrix, and none for some", async () => {
      const ops = make();
      const adapted = adaptOps(ops);
      const { terms } = makeAdapter(modules, { rank: 3 });
      const longer = makeAdapter(modules, { rank: 11, seed: 4 }).terms;
      const mixed = {
        path: "mixed",
        terms: terms.flatMap((term, i) => (i % 3 === 0 ? [] : i % 3 === 1 ? term : longer[i]!)),
      };
      const use = [{ adapter: adapted.bind(mixed), scale: 1 }];
      const found = await run(adapted, file, [{ tokens: prompts[0]!, adapters: use }], true);
      const merged = mergedFile(file, [{ adapter: mixed, scale: 1 }]);
      const expected = await run(adapted, merged, [{ tokens: prompts[0]!, adapters: [] }], true);
      expect(relativeError(found, expected)).toBeLessThan(bound);
      ops.close();
    });

    it("are each sequence's own in a batch", async () => {
      const ops = make();
      const adapted = adaptOps(ops);
      const one = adapted.bind(makeAdapter(modules));
      const attention = adapted.bind(makeAdapter(modules, { seed: 3, wanted: ({ target }) => target === "attention" }));
      const sequences = [
        { tokens: prompts[0]!, adapters: [{ adapter: one, scale: 1 }] },
        { tokens: prompts[1]!, adapters: [] },
        { tokens: prompts[2]!, adapters: [{ adapter: attention, scale: 2 }] },
      ];
      const together = await run(adapted, file, sequences);
      const vocab = together.length / 3;
      for (const [i, sequence] of sequences.entries()) {
        const alone = await run(adapted, file, [sequence]);
        expect(relativeError(together.subarray(i * vocab, (i + 1) * vocab), alone)).toBeLessThan(1e-5);
      }
      ops.close();
    });

    it("do nothing while B is zero", async () => {
      const ops = make();
      const adapted = adaptOps(ops);
      const { terms } = makeAdapter(modules, { wanted: ({ target }) => target !== "experts" });
      const adapter = adapted.bind({ path: "zero", terms: terms.map((term) => ({ ...term, b: term.b.map(() => 0) })) });
      const tokens = prompts[2]!;
      const found = await run(adapted, file, [{ tokens, adapters: [{ adapter, scale: 1 }] }]);
      expect(found).toEqual(await run(adapted, file, [{ tokens, adapters: [] }]));
      ops.close();
    });
  });
});

it("an expert's large rank takes no room for the others", () => {
  const file = open("mixtral");
  const modules = listModules(file).filter(({ module }) => module.includes("layers.0") && module.endsWith(".w1"));
  const [small, large] = [makeAdapter(modules, { rank: 2 }).terms, makeAdapter(modules, { rank: 4000 }).terms];
  const base = createReference();
  const held = new Set<ArrayBufferLike>();
  const ops: Ops = {
    ...base,
    weight(tensor, options) {
      for (const place of tensor.places) held.add((place as MemoryPlace).memory.buffer);
      return base.weight(tensor, options);
    },
  };
  adaptOps(ops).bind({ path: "uneven", terms: [large[0]!, ...small.slice(1)] });
  const bytes = [...held].reduce((sum, { byteLength }) => sum + byteLength, 0);
  const own = 4 * [large[0]!, ...small.slice(1)].reduce((sum, { a, b }) => sum + a.length + b.length, 0);
  expect(modules.length).toBeGreaterThan(2);
  expect(bytes).toBeLessThanOrEqual(2 * own);
  base.close();
  file.close();
});

describe("adapter files", () => {
  it.each(names)("of %s come back as they were written", async (name) => {
    const file = open(name);
    const adapter = makeAdapter(listModules(file), { rank: 4, alpha: 8 });
    const out = join(folder, name);
    const { headSize } = readConfig(file);
    await writeAdapter(out, { terms: adapter.terms, rank: 4, alpha: 8, base: "base", headSize });
    expect(readAdapter(out, file).terms).toEqual(adapter.terms);
    expect(readAdapter(join(out, "adapter_model.safetensors"), file).terms).toHaveLength(adapter.terms.length);
    const config = JSON.parse(readFileSync(join(out, "adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ peft_type: "LORA", r: 4, lora_alpha: 8, base_model_name_or_path: "base" });
    file.close();
  });

  it("hold Llama's queries and keys in transformers' order of rows", async () => {
    const file = open("llama");
    const { terms } = makeAdapter(listModules(file), { rank: 2 });
    const out = join(folder, "order");
    const { headSize } = readConfig(file);
    await writeAdapter(out, { terms, rank: 2, alpha: 4, base: "base", headSize });
    const written = openSafetensors(join(out, "adapter_model.safetensors"));
    const q = terms.find(({ target }) => target.module === "model.layers.0.self_attn.q_proj")!;
    const values = written.entry("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight").values();
    // Pair i of a head is rows 2i and 2i + 1 in the GGUF file, and rows i and i + headSize / 2 there.
    for (let head = 0; head < q.target.permutedHeads!; head++) {
      for (let i = 0; i < headSize / 2; i++) {
        const here = (row: number) => [...q.b.subarray((head * headSize + row) * 2, (head * headSize + row + 1) * 2)];
        const there = (row: number) => [
          ...(values as Float32Array).subarray((head * headSize + row) * 2, (head * headSize + row + 1) * 2),
        ];
        expect([there(i), there(i + headSize / 2)]).toEqual([here(2 * i), here(2 * i + 1)]);
      }
    }
    expect([0, 1, 2, 3].map((row) => permutedRow(4 + row, 4))).toEqual([4, 6, 5, 7]);
    written.close();
    file.close();
  });

  it("follow rank-stabilised scales, and alphas and ranks of their own", async () => {
    const file = open("llama");
    const modules = listModules(file).filter(({ module }) => /layers\.0\.self_attn\.[qv]_proj/.test(module));
    const out = join(folder, "pattern");
    mkdirSync(out);
    const bytes = (length: number) => new Uint8Array(4 * length);
    await writeSafetensors(
      join(out, "adapter_model.safetensors"),
      modules.flatMap(({ module, out: rows, in: cols }, i) => [
        {
          name: `base_model.model.${module}.lora_A.weight`,
          dtype: "F32",
          shape: [4 + i, cols],
          data: bytes((4 + i) * cols),
        },
        {
          name: `base_model.model.${module}.lora_B.weight`,
          dtype: "F32",
          shape: [rows, 4 + i],
          data: bytes((4 + i) * rows),
        },
      ]),
    );
    const config = {
      peft_type: "LORA",
      r: 4,
      lora_alpha: 8,
      use_rslora: true,
      alpha_pattern: { v_proj: 10 },
      rank_pattern: { v_proj: 5 },
    };
    writeFileSync(join(out, "adapter_config.json"), JSON.stringify(config));
    expect(readAdapter(out, file).terms.map(({ rank, scale }) => [rank, scale])).toEqual([
      [4, 8 / Math.sqrt(4)],
      [5, 10 / Math.sqrt(5)],
    ]);
    file.close();
  });

  const refusals: [what: string, change: Record<string, unknown> | string, code: string, message: RegExp][] = [
    ["another kind of adapter", { peft_type: "IA3" }, "unsupported", /adapter_config\.json: peft_type is "IA3"/],
    ["DoRA", { use_dora: true }, "unsupported", /use_dora is set/],
    ["biases", { bias: "all" }, "unsupported", /bias is "all"/],
    ["modules saved whole", { modules_to_save: ["lm_head"] }, "unsupported", /modules_to_save is set/],
    ["an alpha that is no number", { lora_alpha: "8" }, "format", /lora_alpha is "8", expected a number/],
    [
      "a wild pattern",
      { alpha_pattern: { "(?!q).*": 1 } },
      "unsupported",
      /alpha_pattern has the pattern "\(.*"\(\?!"/,
    ],
    ["another rank", { r: 4 }, "shape", /\.safetensors: .*q_proj\.lora_A.* has rank 3, and .*config\.json says 4$/],
    [
      "another rank of one matrix",
      { rank_pattern: { "1.mlp.up_proj": 2 } },
      ...(["shape", /1\.mlp\.up_proj\.lora_A\.weight has rank 3, and .*config\.json says 2$/] as const),
    ],
    ["ranks that wildcards cannot give", { r: 4, rank_pattern: { "q.*": 5 } }, "shape", /has rank 3, and .*says 5$/],
    ["no rank", { r: undefined }, "format", /r is undefined, expected a whole number from 1/],
    ["a broken rank", { r: 2.5 }, "format", /r is 2\.5, expected a whole number/],
    ["a rank of 0 in a pattern", { rank_pattern: { x: 0 } }, "format", /rank_pattern of "x" is 0, expected a whole/],
    ["a list of patterns", { rank_pattern: [3] }, "format", /rank_pattern is a list, expected an object/],
    ["a text as a switch", { use_rslora: "no" }, "format", /use_rslora is "no", expected true or false/],
    [
      "other targets",
      { target_modules: ["k_proj", "proj"] },
      "format",
      /self_attn\.q_proj is none of the target_modules of/,
    ],
    ["a number as targets", { target_modules: 3 }, "format", /target_modules is 3, expected a list of names/],
    ["no JSON", "{", "format", /adapter_config\.json: not JSON/],
    ["a list", "[]", "format", /expected a JSON object/],
    [
      "a deep alpha",
      `{"peft_type": "LORA", "lora_alpha": ${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
      ...(["format", /lora_alpha is a list, expected a number/] as const),
    ],
    ["an alpha that takes 32 bits' range", { lora_alpha: 1e300 }, "format", /leaves the range of 32-bit floats/],
    ["a long configuration", " ".repeat(16_000_001), "format", /16000001 bytes, expected at most 16000000/],
  ];
  it.each(refusals)("are refused with %s", async (_, change, code, message) => {
    const file = open("llama");
    const out = join(folder, "refused");
    const { terms } = makeAdapter(listModules(file));
    await writeAdapter(out, { terms, rank: 3, alpha: 6, base: "base", headSize: readConfig(file).headSize });
    const path = join(out, "adapter_config.json");
    const text =
      typeof change === "string" ? change : JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change });
    writeFileSync(path, text);
    expect(() => readAdapter(out, file)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
    file.close();
  });

  it("are refused when they are another model's, damaged, or not there", async () => {
    const [llama, mixtral] = [open("llama"), open("mixtral")];
    const out = join(folder, "other");
    const { terms } = makeAdapter(listModules(mixtral));
    await writeAdapter(out, { terms, rank: 3, alpha: 6, base: "base", headSize: readConfig(mixtral).headSize });
    const refused = (code: string, message: RegExp) =>
      expect.objectContaining({ code, message: expect.stringMatching(message) });
    expect(() => readAdapter(out, llama)).toThrow(refused("shape", /adapter_model\.safetensors/));
    expect(() => readAdapter(join(folder, "none"), llama)).toThrow(refused("io", /none/));
    const lone = join(folder, "lone");
    mkdirSync(lone);
    copyFileSync(join(out, "adapter_model.safetensors"), join(lone, "adapter_model.safetensors"));
    expect(() => readAdapter(lone, mixtral)).toThrow(refused("io", /adapter_config\.json: not there/));
    const entry = { dtype: "F32", shape: [1, 1], data: new Uint8Array(4) } as const;
    const write = (tensors: Parameters<typeof writeSafetensors>[1]) =>
      writeSafetensors(join(out, "adapter_model.safetensors"), tensors);
    await write([{ ...entry, name: "base_model.model.model.embed_tokens.lora_embedding_A" }]);
    expect(() => readAdapter(out, mixtral)).toThrow(refused("unsupported", /lora_embedding_A/));
    await write([{ ...entry, name: "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" }]);
    expect(() => readAdapter(out, mixtral)).toThrow(refused("format", /lacks its lora_B/));
    const { target } = terms[0]!;
    const pair = ["A", "B"].map((part) => {
      const shape = part === "A" ? [3, target.in] : [target.out, 3];
      const name = `base_model.model.${target.module}.lora_${part}.weight`;
      return { name, dtype: "I64" as const, shape, data: new Uint8Array(8 * 3 * Math.max(...shape)) };
    });
    await write(pair);
    expect(() => readAdapter(out, mixtral)).toThrow(
      refused("unsupported", /lora_B\.weight is of dtype I64, expected F16/),
    );
    await write([...pair, { ...pair[0]!, name: pair[0]!.name.replace(".weight", ".default.weight") }]);
    expect(() => readAdapter(out, mixtral)).toThrow(refused("format", /are the same matrix/));
    const [first] = terms;
    const bad = first!.a.map(() => Number.NaN);
    await writeAdapter(out, {
      terms: [{ ...first!, a: bad }],
      rank: 3,
      alpha: 6,
      base: "base",
      headSize: readConfig(mixtral).headSize,
    });
    expect(() => readAdapter(out, mixtral)).toThrow(refused("format", /lora_A.weight: value 0 is NaN/));
    llama.close();
    mixtral.close();
  });
});
