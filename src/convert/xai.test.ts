import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { array, type PickleParts, pickle, quantized } from "../../test/support/pickles.ts";
import { untar } from "../../test/support/untar.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { openCheckpoint, tensorOrder } from "../formats/xai/checkpoint.ts";
import { backends } from "../kernels/backends.case.ts";
import { createRandom } from "../kernels/oracle.case.ts";
import { runTokens } from "../model/run.case.ts";
import { decodeRow, encodeRow } from "../tensor/decode.ts";
import { elementCount, readTensor, type Tensor } from "../tensor/tensor.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import { tokenizerFromSentencePiece } from "../tokenizer/sentencepiece-file.ts";
import { convertModel, planConversion } from "./convert.ts";
import { quantizeModel } from "./quantize.ts";

const root = join(import.meta.dirname, "../../test/vectors");
const folder = mkdtempSync(join(tmpdir(), "grok1-xai-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Made by xAI's own code: see test/oracles/make_xai_vectors.py. */
const checkpoints = ["int8-groups", "int8", "bf16"].map((name) => {
  const source = join(folder, name);
  untar(join(root, "xai", `${name}.tar.gz`), source);
  const expected = JSON.parse(readFileSync(join(root, "xai", `${name}.json`), "utf8")) as {
    tokens: number[];
    names: string[];
    logits: number[][];
  };
  return { name, source, expected };
});

function valuesOf(tensor: Tensor): Float32Array {
  const values = new Float32Array(elementCount(tensor.shape));
  decodeRow(tensor.type, readTensor(tensor, 0, tensor.shape[0]!), values);
  return values;
}

/** Converts and opens. */
async function convert(source: string, type: string) {
  const out = join(folder, "out.gguf");
  await convertModel({ source, out, type });
  return openGguf(out);
}

describe.each(checkpoints)("xAI's checkpoint $name", ({ source, expected }) => {
  it("has its tensors where JAX puts them", () => {
    const found = openCheckpoint(join(source, "ckpt-0"));
    expect(found.map(({ name }) => name)).toEqual(expected.names);
    expect(found.map(({ path }) => path)).toEqual([...found.map(({ path }) => path)].sort());
  });

  it("is quantized as it was published, its gains and router in f32", async () => {
    const out = join(folder, "small.gguf");
    const { tensors } = await quantizeModel({ source, out, type: "Q4_K_M" });
    for (const { name, shape, type } of tensors) {
      if (shape.length === 1 || name.includes("ffn_gate_inp")) expect(type).toBe("f32");
      else expect(type).toMatch(/^(q[4-8]_|f16)/);
    }
    const file = openGguf(out);
    expect(file.metadata.number("general.file_type")).toBe(15);
    file.close();
  });

  describe.each(backends)("on $name", ({ create, skip }) => {
    it.skipIf(skip !== undefined)(`gives the logits of xAI's code${skip ? ` (skipped: ${skip})` : ""}`, async () => {
      const file = await convert(source, "f32");
      const ops = create();
      const { logits } = await runTokens(ops, file, Int32Array.from(expected.tokens));
      const wanted = expected.logits.flat();
      expect(logits).toHaveLength(wanted.length);
      const largest = Math.max(...wanted.map(Math.abs));
      expect(Math.max(...wanted.map((value, i) => Math.abs(logits[i]! - value))) / largest).toBeLessThan(1e-5);
      file.close();
      ops.close();
    });
  });
});

describe("a checkpoint of xAI's", () => {
  const [groups, int8, bf16] = checkpoints.map(({ source }) => source) as [string, string, string];

  it("keeps int8 in q8_0, and bf16 in bf16, to the last digit", async () => {
    for (const [source, type] of [
      [int8, "q8_0"],
      [bf16, "bf16"],
    ] as const) {
      const exact = await convert(source, "f32");
      const values = new Map([...exact.tensors.values()].map((tensor) => [tensor.name, valuesOf(tensor)]));
      exact.close();
      const kept = await convert(source, "keep");
      for (const tensor of kept.tensors.values()) {
        const matrix = /(attn_[qkv]|attn_output|exps)\.weight$/.test(tensor.name);
        expect([tensor.name, tensor.type]).toEqual([tensor.name, matrix ? type : "f32"]);
        expect(valuesOf(tensor)).toEqual(values.get(tensor.name));
      }
      kept.close();
    }
    // Blocks of q8_0 would lie in several groups of scales: nothing but f32 holds all of it.
    expect(new Set(planConversion({ source: groups, type: "keep" }).tensors.map(({ type }) => type))).toEqual(
      new Set(["f32"]),
    );
  });

  it("knows its layers by their numbers as texts, also where there are a hundred", () => {
    const names = tensorOrder(112).map(({ name }) => name);
    expect(names).toHaveLength(2 + 12 * 112);
    // Python's order of the paths: "/" comes before every digit.
    const modules = names.map((name) => name.split(":") as [string, string]);
    expect(modules).toEqual([...modules].sort(([a], [b]) => (a < b ? -1 : 1)));
    expect(names[2 + 12 * 3]).toBe("transformer/decoder_layer_100/moe/linear:w");
  });

  it("says where each tensor comes from, in the order of layers", () => {
    const { tensors, kind } = planConversion({ source: groups, type: "f32" });
    expect(kind).toMatch(/12 layers/);
    const from = (name: string) => tensors.find((tensor) => tensor.name === name)!.from;
    expect(from("token_embd.weight")).toBe("tensor00000_000");
    expect(from("output_norm.weight")).toBe("tensor00001_000");
    expect(from("blk.1.ffn_gate_exps.weight")).toBe("tensor00014_000");
    expect(from("blk.10.ffn_gate_exps.weight")).toBe("tensor00026_000");
    expect(from("blk.2.ffn_gate_inp.weight")).toBe("tensor00061_000");
    const layers = tensors.flatMap(({ name }) => /^blk\.(\d+)\./.exec(name)?.[1] ?? []).map(Number);
    expect(layers).toEqual([...layers].sort((a, b) => a - b));
  });

  it("brings its tokenizer along, which puts nothing before a prompt", async () => {
    const source = join(folder, "with-tokenizer");
    cpSync(int8, source, { recursive: true });
    const model = readFileSync(join(root, "tokenizer/sp-bpe.model"));
    const own = tokenizerFromSentencePiece(model, "sp-bpe.model");
    await expect(
      (async () => {
        writeFileSync(join(source, "tokenizer.model"), model);
        return convert(source, "f32");
      })(),
    ).rejects.toThrow(/pieces, and the embedding has 64 rows/);
    replaceEmbedding(source, own.info.vocabSize + 3, 64);
    const file = await convert(source, "f32");
    expect(file.metadata.get("tokenizer.ggml.add_bos_token")).toBe(false);
    const read = tokenizerFromGguf(file.metadata, file.path);
    for (const text of ["", "hello  world\n\n\n 12345", "ñandú\t😀"])
      expect(read.encode(text)).toEqual(own.encode(text));
    file.close();
  });

  /** Puts an embedding of other rows in place of a checkpoint's, and lets its configuration not tell how many. */
  function replaceEmbedding(source: string, rows: number, columns: number): void {
    const elements = new Uint8Array(4 * rows * columns);
    writeFileSync(join(source, "ckpt-0/tensor00000_000"), pickle(array({ shape: [rows, columns], elements })));
    changeConfig(source, (config) => ({ ...config, vocab_size: undefined }));
  }
  type Config = Record<string, unknown> & { model: Record<string, unknown> };
  function changeConfig(source: string, change: (config: Config) => unknown): void {
    const path = join(source, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8")) as Config;
    writeFileSync(path, JSON.stringify(change(config)));
  }
  const metadataOf = async (source: string) => {
    const file = await convert(source, "bf16");
    const get = (key: string) => file.metadata.get(`grok.${key}`);
    file.close();
    return get;
  };

  it("has what its configuration says, flat or nested, and Grok-1's settings without one", async () => {
    const source = join(folder, "configured");
    cpSync(int8, source, { recursive: true });
    const expected = {
      "attention.key_length": 16,
      "attention.head_count": 6,
      context_length: 128,
      logit_scale: Math.fround(0.4),
    };
    const nested = await metadataOf(source);
    for (const [key, value] of Object.entries(expected)) expect(nested(key)).toBe(value);
    changeConfig(source, ({ model, ...rest }) => ({ ...rest, ...model, name: null, unknown: 7 }));
    const flat = await metadataOf(source);
    for (const [key, value] of Object.entries(expected)) expect(flat(key)).toBe(value);
    // The head size follows from the number of heads.
    changeConfig(source, ({ key_size: _, ...rest }) => rest);
    expect((await metadataOf(source))("attention.key_length")).toBe(16);
    rmSync(join(source, "config.json"));
    // 96 columns of queries are no heads of 128.
    await expect(metadataOf(source)).rejects.toThrow(/key_size is 128, and queries of 96 and keys of 48 columns/);
    const own = join(folder, "own");
    mkdirSync(own);
    writeModel(own, { width: 8, heads: 2, kvHeads: 1, headSize: 128, experts: 4, hidden: 8, vocab: 10 });
    const get = await metadataOf(own);
    expect(["attention.key_length", "attention.head_count", "context_length", "expert_used_count"].map(get)).toEqual([
      ...[128, 2, 8192, 2],
    ]);
    expect(["embedding_scale", "logit_scale", "attention.output_scale", "rope.freq_base"].map(get)).toEqual(
      [78.38367176906169, 0.5773502691896257, 0.08838834764831845, 10000].map(Math.fround),
    );
  });

  it.each<[string, (config: Config) => unknown, RegExp]>([
    ["heads", (c) => ({ ...c, model: { ...c.model, num_q_heads: 5 } }), /num_q_heads is 5, and the tensors say 6/],
    ["layers", (c) => ({ ...c, num_layers: 64 }), /num_layers is 64, expected 1 as in model/],
    ["vocabulary", (c) => ({ ...c, vocab_size: 63 }), /vocab_size is 63, and the tensors say 64/],
    ["expert width", (c) => ({ ...c, model: { ...c.model, widening_factor: 8 } }), /experts are 64 wide, not 344/],
    ["experts used", (c) => ({ ...c, model: { ...c.model, num_selected_experts: 9 } }), /there are 8 experts/],
    ["a text for a number", (c) => ({ ...c, sequence_len: "long" }), /sequence_len is "long", expected a whole number/],
    ["a slip of the pen", (c) => ({ ...c, num_q_head: 6 }), /num_q_head is no name of xAI's, whose own is num_q_heads/],
    ["another program's name", (c) => ({ ...c, head_dim: 16 }), /head_dim is no name of xAI's, whose own is key_size/],
    ["a scale of 0", (c) => ({ ...c, output_multiplier_scale: 0 }), /expected a finite number other than 0/],
    ["a list", () => [], /expected a JSON object/],
  ])("is held against its configuration: %s", (_, change, message) => {
    const source = join(folder, "held");
    cpSync(int8, source, { recursive: true });
    changeConfig(source, change);
    expect(() => planConversion({ source, type: "f32" })).toThrow(message);
  });

  it("is refused where files are missing, too many, or of other shapes", () => {
    const source = join(folder, "damaged");
    const checkpoint = join(source, "ckpt-0");
    const refused = (damage: () => void, message: RegExp) => {
      rmSync(source, { recursive: true, force: true });
      cpSync(int8, source, { recursive: true });
      damage();
      expect(() => planConversion({ source, type: "f32" })).toThrow(message);
    };
    const file = (i: number) => join(checkpoint, `tensor${String(i).padStart(5, "0")}_000`);
    refused(() => rmSync(file(5)), /tensor00005_000 is missing/);
    expect(() => planConversion({ source: checkpoint, type: "f32" })).toThrow(
      /name the folder that holds it as ckpt-0/,
    );
    refused(() => {
      rmSync(checkpoint, { recursive: true });
      mkdirSync(checkpoint);
    }, /ckpt-0: holds no tensor files, expected tensor00000_000 and on/);
    refused(
      () => rmSync(checkpoint, { recursive: true }),
      /architectures is missing .*beside xAI's own there is ckpt-0/,
    );
    refused(() => rmSync(file(13)), /13 tensor files, expected 2 and 12 for each layer/);
    refused(() => cpSync(file(3), join(checkpoint, "tensor00003_001")), /tensor00003_001 is a part of another host/);
    refused(() => cpSync(file(5), file(6)), /attention\/linear:w is of shape \[64, 48\], expected \[96, 64\]/);
    refused(() => renameSync(file(12), file(13)), /tensor00012_000 is missing/);
    refused(
      () => writeFileSync(file(12), pickle(array({ shape: [63], elements: new Uint8Array(252) }))),
      /expected \[64\]/,
    );
    const int = (shape: number[]) => ({
      type: "i1",
      shape,
      elements: new Uint8Array(shape.reduce((a, b) => a * b, 1)),
    });
    refused(() => writeFileSync(file(5), pickle(array(int([64, 48])))), /key:w is int8 without scales/);
    const scales = array({ type: "bfloat16", shape: [3, 48], elements: new Uint8Array(288) });
    refused(() => writeFileSync(file(5), pickle(quantized(array(int([64, 48])), scales))), /scales of \[3, 48\]/);
  });

  interface Sizes {
    readonly width: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly headSize: number;
    readonly experts: number;
    readonly hidden: number;
    readonly vocab: number;
  }

  /** A model of one layer; `weight` makes the pickle of each matrix, f32 by default. */
  function writeModel(
    source: string,
    { width, heads, kvHeads, headSize, experts, hidden, vocab }: Sizes,
    weight: (shape: number[]) => PickleParts = plain,
  ): void {
    const [queries, keys] = [heads * headSize, kvHeads * headSize];
    mkdirSync(join(source, "ckpt-0"), { recursive: true });
    const parts = [
      ...[plain([vocab, width]), plain([width])],
      ...[
        [experts, width, hidden],
        [experts, hidden, width],
        [experts, width, hidden],
      ].map(weight),
      ...[
        [width, keys],
        [queries, width],
        [width, queries],
        [width, keys],
      ].map(weight),
      ...[plain([width]), plain([width]), plain([width]), plain([width]), plain([width, experts])],
    ];
    for (const [i, part] of parts.entries()) {
      writeFileSync(join(source, "ckpt-0", `tensor${String(i).padStart(5, "0")}_000`), pickle(part));
    }
  }
  function plain(shape: number[], fortran = false): PickleParts {
    const values = createRandom(shape.length).normal(shape.reduce((a, b) => a * b, 1));
    return array({ shape, fortran, elements: new Uint8Array(values.buffer) });
  }

  it.each(["f4", "f2", "bfloat16", "i1"] as const)("reads %s in C's and in Fortran's order alike", async (type) => {
    const sizes = { width: 66, heads: 2, kvHeads: 1, headSize: 128, experts: 3, hidden: 70, vocab: 10 };
    const random = createRandom(5);
    const size = { f4: 4, f2: 2, bfloat16: 2, i1: 1 }[type];
    const [c, f] = ["c-order", "fortran-order"].map((name) => join(folder, `${name}-${type}`)) as [string, string];
    const weights: Buffer[] = [];
    const scaled = (shape: number[], fortran: boolean, elements: Uint8Array): PickleParts => {
      const weight = array({ type, shape, fortran, elements });
      if (type !== "i1") return weight;
      const groups = [...shape.slice(0, -2), 2, shape.at(-1)!];
      const count = groups.reduce((a, b) => a * b, 1);
      const halves = Uint16Array.from({ length: count }, (_, i) => 0x3c00 + (i % 512));
      const bytes = new Uint8Array(halves.buffer);
      return quantized(
        weight,
        array({ type: "bfloat16", shape: groups, fortran, elements: fortran ? reorder(bytes, groups, 2) : bytes }),
      );
    };
    writeModel(c, sizes, (shape) => {
      const values = Buffer.from(
        Uint8Array.from({ length: shape.reduce((a, b) => a * b, size) }, () => random.below(120)),
      );
      weights.push(values);
      return scaled(shape, false, values);
    });
    writeModel(f, sizes, (shape) => scaled(shape, true, reorder(weights.shift()!, shape, size)));
    const before = await convert(c, "f32");
    const values = new Map([...before.tensors.values()].map((tensor) => [tensor.name, valuesOf(tensor)]));
    before.close();
    const after = await convert(f, "f32");
    for (const tensor of after.tensors.values()) expect(valuesOf(tensor)).toEqual(values.get(tensor.name));
    after.close();
  });

  /** Elements in Fortran's order of those in C's. */
  function reorder(bytes: Uint8Array, shape: readonly number[], size: number): Uint8Array {
    const out = new Uint8Array(bytes.length);
    const count = bytes.length / size;
    for (let i = 0; i < count; i++) {
      let [rest, to, stride] = [i, 0, 1];
      const index = shape.toReversed().map((length) => {
        const at = rest % length;
        rest = Math.floor(rest / length);
        return at;
      });
      for (const [axis, length] of shape.entries()) {
        to += index[shape.length - 1 - axis]! * stride;
        stride *= length;
      }
      out.set(bytes.subarray(i * size, (i + 1) * size), to * size);
    }
    return out;
  }

  it("takes q8_0's nearest blocks where f16 does not hold a scale, never further off than its own rounding", async () => {
    const sizes = { width: 64, heads: 1, kvHeads: 1, headSize: 128, experts: 2, hidden: 64, vocab: 10 };
    const source = join(folder, "far-scales");
    const random = createRandom(6);
    const quantize = (scale: number) => (shape: number[]) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const elements = Uint8Array.from({ length: count }, () => random.below(256));
      const groups = [...shape.slice(0, -2), 1, shape.at(-1)!];
      const scales = new Uint16Array(groups.reduce((a, b) => a * b, 1)).map(() => scale + random.below(0x80));
      return quantized(
        array({ type: "i1", shape, elements }),
        array({ type: "bfloat16", shape: groups, elements: new Uint8Array(scales.buffer) }),
      );
    };
    // Between 2^-22 and 2^-21, of which f16 has few.
    writeModel(source, sizes, quantize(0x3480));
    const exact = await convert(source, "f32");
    const values = new Map([...exact.tensors.values()].map((tensor) => [tensor.name, valuesOf(tensor)]));
    exact.close();
    const file = await convert(source, "q8_0");
    for (const tensor of file.tensors.values()) {
      if (tensor.type !== "q8_0") continue;
      const [wanted, found, own] = [values.get(tensor.name)!, valuesOf(tensor), new Float32Array(32)];
      for (let i = 0; i < wanted.length; i += 32) {
        const block = wanted.subarray(i, i + 32);
        decodeRow("q8_0", encodeRow("q8_0", block), own);
        const error = (other: Float32Array) => block.reduce((sum, value, j) => sum + (value - other[j]!) ** 2, 0);
        expect(error(found.subarray(i, i + 32))).toBeLessThanOrEqual(error(own));
      }
    }
    file.close();
    // Past what f16 has at all.
    writeModel(source, sizes, quantize(0x4780));
    await expect(convert(source, "q8_0")).rejects.toThrow(
      /tensor\d{5}_000: .* has a scale of \d+, and q8_0 holds up to 65504/,
    );
  });
});
