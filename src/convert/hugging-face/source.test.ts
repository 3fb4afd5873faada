import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../../formats/gguf/file.ts";
import { backends } from "../../kernels/backends.case.ts";
import { relativeError } from "../../kernels/oracle.case.ts";
import { readArrays, runTokens } from "../../model/run.case.ts";
import { decodeRow } from "../../tensor/decode.ts";
import { elementCount, readTensor, type Tensor } from "../../tensor/tensor.ts";
import { tokenizerFromGguf } from "../../tokenizer/gguf.ts";
import { convertModel, planConversion } from "../convert.ts";

const vectors = join(import.meta.dirname, "../../../test/vectors");
const folder = mkdtempSync(join(tmpdir(), "grok1-hugging-face-"));
afterAll(() => rmSync(folder, { recursive: true }));
const fixture = (name: string) => join(vectors, "hugging-face", name);

function valuesOf(tensor: Tensor): Float32Array {
  const values = new Float32Array(elementCount(tensor.shape));
  decodeRow(tensor.type, readTensor(tensor, 0, tensor.shape[0]!), values);
  return values;
}

async function convert(source: string, type = "f32") {
  const out = join(folder, "out.gguf");
  await convertModel({ source, out, type });
  return openGguf(out);
}

/** A copy of a fixture, some of whose files are changed. */
function altered(name: string, change: (path: string) => void): string {
  const path = mkdtempSync(join(folder, `${name}-`));
  cpSync(fixture(name), path, { recursive: true });
  change(path);
  return path;
}

/** Changes fields of a JSON file. */
const edit = (file: string, fields: Record<string, unknown>) => (path: string) => {
  const place = join(path, file);
  const before = existsSync(place) ? JSON.parse(readFileSync(place, "utf8")) : {};
  writeFileSync(place, JSON.stringify({ ...before, ...fields }));
};

describe.each(["llama-2", "llama-3", "mixtral"])("%s as transformers saves it", (name) => {
  /** Made by llama.cpp's converter: see test/oracles/make_hugging_face_vectors.py. */
  const oracle = JSON.parse(readFileSync(`${fixture(name)}.expected.json`, "utf8")) as {
    metadata: Record<string, unknown>;
    tensors: Record<string, { shape: number[]; sha256?: string; values?: number[] }>;
  };

  it("has the metadata and the tensors of llama.cpp's converter", async () => {
    const file = await convert(fixture(name));
    // Its names of a model come from the folder's; the unknown token's type is SentencePiece's only where no settings name it.
    const expected = Object.entries(oracle.metadata).filter(
      ([key]) => !/^general\.(name|basename|version|size_label)$/.test(key),
    );
    for (const [key, value] of expected) {
      // Of SentencePiece as JSON only the order of merges is known, which the next test holds against the model's.
      if (name === "mixtral" && /scores|token_type$/.test(key)) continue;
      const found = file.metadata.get(key);
      const plain = typeof found === "object" ? Array.from(found as ArrayLike<unknown>) : found;
      expect([key, plain]).toEqual([key, value]);
    }
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(oracle.tensors).sort());
    for (const [key, { shape, sha256, values }] of Object.entries(oracle.tensors)) {
      const tensor = file.tensor(key);
      expect([key, tensor.shape]).toEqual([key, shape]);
      if (values !== undefined) {
        expect(relativeError(valuesOf(tensor), values)).toBeLessThan(1e-6);
        continue;
      }
      const hash = createHash("sha256")
        .update(new Uint8Array(valuesOf(tensor).buffer))
        .digest("hex");
      expect([key, hash]).toEqual([key, sha256]);
    }
    file.close();
  });

  describe.each(backends)("on $name", ({ create, skip }) => {
    it.skipIf(skip !== undefined)(`gives transformers' logits${skip ? ` (skipped: ${skip})` : ""}`, async () => {
      const file = await convert(fixture(name));
      const expected = readArrays(`${fixture(name)}.expected.safetensors`);
      const ops = create();
      const { logits } = await runTokens(ops, file, expected.get("tokens") as Int32Array);
      expect(relativeError(logits, expected.get("logits")!)).toBeLessThan(1e-5);
      ops.close();
      file.close();
    });
  });

  it("keeps 16 bits where they are stored", async () => {
    const exact = await convert(fixture(name));
    const values = new Map([...exact.tensors].map(([key, tensor]) => [key, valuesOf(tensor)]));
    exact.close();
    const file = await convert(fixture(name), "keep");
    const type = name === "llama-2" ? "f16" : "bf16";
    for (const [key, tensor] of file.tensors) {
      const plain = tensor.shape.length === 1 || key.endsWith("ffn_gate_inp.weight");
      expect([key, tensor.type]).toEqual([key, plain ? "f32" : type]);
      expect(valuesOf(tensor)).toEqual(values.get(key));
    }
    expect(file.metadata.number("general.file_type")).toBe(name === "llama-2" ? 1 : 32);
    file.close();
  });
});

describe("the tokenizer", () => {
  const texts = ["the sun and the moon", "It's 1234 o'clock, they'll say", "  señor café\n\nüber", "🦊 ran"];

  it("of a tokenizer.json is the library's", async () => {
    const file = await convert(fixture("llama-3"));
    const tokenizer = tokenizerFromGguf(file.metadata, "test");
    expect(tokenizer).toMatchObject({ bos: tokenizer.idOf("<|begin_of_text|>"), addBos: true, addEos: false });
    expect([...tokenizer.endOfGeneration].sort()).toEqual(
      [tokenizer.idOf("<|end_of_text|>"), tokenizer.idOf("<|eot_id|>")].sort(),
    );
    expect(file.metadata.string("tokenizer.chat_template")).toContain("<|start|>");
    for (const text of texts) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect([...tokenizer.encode("a[[note]]b<|start|>", { special: true })].map(tokenizer.piece)).toEqual(
      expect.arrayContaining(["[[note]]", "<|start|>"]),
    );
    file.close();
  });

  it("of SentencePiece as JSON is that of the model it was made of", async () => {
    const own = await convert(fixture("llama-2"));
    const fromModel = tokenizerFromGguf(own.metadata, "test");
    const file = await convert(fixture("mixtral"));
    const fromJson = tokenizerFromGguf(file.metadata, "test");
    for (const text of texts) expect([...fromJson.encode(text)]).toEqual([...fromModel.encode(text)]);
    own.close();
    file.close();
  });
});

describe("a folder", () => {
  const refused = (path: string, code: string, message: RegExp) =>
    expect(() => planConversion({ source: path, type: "f32" })).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  const rope = (parameters: object) => edit("config.json", { rope_parameters: { rope_theta: 10000, ...parameters } });
  const without = (file: string) => (path: string) => rmSync(join(path, file));

  it.each([
    [
      "another architecture",
      edit("config.json", { architectures: ["BertModel"] }),
      "unsupported",
      /architectures is "BertModel"/,
    ],
    ["no architectures", edit("config.json", { architectures: null }), "format", /architectures is missing/],
    ["a bias", edit("config.json", { attention_bias: true }), "unsupported", /attention_bias is true/],
    ["another activation", edit("config.json", { hidden_act: "relu" }), "unsupported", /hidden_act is "relu"/],
    [
      "a field that is not known",
      edit("config.json", { residual_multiplier: 0.22 }),
      "unsupported",
      /residual_multiplier is 0.22/,
    ],
    ["longrope", rope({ rope_type: "longrope", factor: 4 }), "unsupported", /rope_type is "longrope"/],
    ["dynamic scaling", rope({ rope_type: "dynamic", factor: 4 }), "unsupported", /rope_type is "dynamic"/],
    [
      "yarn with mscale",
      rope({ rope_type: "yarn", factor: 4, mscale: 0.7 }),
      "unsupported",
      /rope_parameters.mscale is 0.7/,
    ],
    ["no layers", edit("config.json", { num_hidden_layers: 0 }), "format", /num_hidden_layers is 0/],
    [
      "more layers",
      edit("config.json", { num_hidden_layers: 3 }),
      "shape",
      /model.layers.2.input_layernorm.weight is missing/,
    ],
    [
      "fewer layers",
      edit("config.json", { num_hidden_layers: 1 }),
      "unsupported",
      /"model.layers.1.*none of the model's/,
    ],
    [
      "another width",
      edit("config.json", { hidden_size: 32 }),
      "shape",
      /embed_tokens.weight has shape \[352, 16\], expected \[352, 32\]/,
    ],
    ["another vocabulary", edit("config.json", { vocab_size: 353 }), "shape", /expected \[353, 16\]/],
    [
      "another quantization",
      edit("config.json", { quantization_config: { quant_method: "hqq" } }),
      "unsupported",
      /quant_method is "hqq"/,
    ],
    [
      "a shard that is missing",
      without("model-00002-of-00002.safetensors"),
      "io",
      /1 of 2 files are missing: model-00002/,
    ],
    [
      "an index to another folder",
      (path: string) => {
        writeFileSync(
          join(path, "model.safetensors.index.json"),
          JSON.stringify({ weight_map: { a: "../x.safetensors" } }),
        );
      },
      "format",
      /"..\/x.safetensors"/,
    ],
    [
      "no tensors",
      (path: string) => {
        for (const file of [
          "model-00001-of-00002.safetensors",
          "model-00002-of-00002.safetensors",
          "model.safetensors.index.json",
        ])
          without(file)(path);
      },
      "unsupported",
      /no safetensors files/,
    ],
    [
      "pickles",
      (path: string) => {
        for (const n of [1, 2])
          renameSync(join(path, `model-0000${n}-of-00002.safetensors`), join(path, `pytorch_model-${n}.bin`));
        without("model.safetensors.index.json")(path);
      },
      "unsupported",
      /programs \(pickles\)/,
    ],
    [
      "a configuration without an end",
      (path: string) => writeFileSync(join(path, "config.json"), "["),
      "format",
      /not JSON/,
    ],
    [
      "an id that is none",
      edit("added_tokens.json", { "<x>": -1 }),
      "format",
      /an added token without a content or an id/,
    ],
    [
      "a tensor in two files",
      (path: string) => {
        rmSync(join(path, "model.safetensors.index.json"));
        cpSync(join(path, "model-00001-of-00002.safetensors"), join(path, "more.safetensors"));
      },
      "format",
      /is in .*model-00001-of-00002.safetensors and in .*more.safetensors/,
    ],
    [
      "a field that goes deep",
      (path: string) => {
        const text = readFileSync(join(path, "config.json"), "utf8");
        const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
        writeFileSync(join(path, "config.json"), text.replace("{", `{"deep": ${deep},`));
      },
      "unsupported",
      /deep is a list/,
    ],
    [
      "a configuration that is none by its size",
      (path: string) => writeFileSync(join(path, "config.json"), `{"a": "${"x".repeat(2 ** 22)}"}`),
      "format",
      /config.json: \d+ bytes, expected at most/,
    ],
  ] as const)("with %s is refused", (_, change, code, message) => {
    refused(altered("llama-2", change), code, message);
  });

  it("without an index is read by its files' numbers, all of which are to be there", async () => {
    const path = altered("llama-2", without("model.safetensors.index.json"));
    const plain = await convert(fixture("llama-2"));
    const names = [...plain.tensors.keys()];
    plain.close();
    expect(planConversion({ source: path, type: "f32" }).tensors.map(({ name }) => name)).toEqual(names);
    without("model-00001-of-00002.safetensors")(path);
    refused(path, "io", /1 of 2 files are missing: model-00001-of-00002/);
  });

  it.each([
    ["pretokenizers", "pre_tokenizer"],
    ["normalizers", "normalizer"],
  ])("whose tokenizer.json nests its %s without end is refused", (key, field) => {
    const depth = 20_000;
    const nested = `${`{"type":"Sequence","${key}":[`.repeat(depth)}${"]}".repeat(depth)}`;
    const path = altered("mixtral", (at) => {
      const text = readFileSync(join(at, "tokenizer.json"), "utf8");
      const content = JSON.parse(text) as Record<string, unknown>;
      const rest = JSON.stringify({ ...content, [field]: undefined });
      writeFileSync(join(at, "tokenizer.json"), `{"${field}":${nested},${rest.slice(1)}`);
    });
    refused(path, "unsupported", /"Sequence", expected/);
  });

  it("whose tokenizer has a token past the embedding gives a file without that", async () => {
    const file = await convert(altered("llama-2", edit("added_tokens.json", { "<pad>": 352 })));
    expect(file.metadata.typeOf("tokenizer.ggml.tokens")?.count).toBe(352);
    file.close();
  });

  it("without a tokenizer gives a file without one", async () => {
    const path = altered("llama-2", (at) => without("tokenizer.model")(at));
    const file = await convert(path);
    expect([...file.metadata.keys()].filter((key) => key.startsWith("tokenizer."))).toEqual([]);
    file.close();
  });

  it("says how its rotary embedding is stretched, and which window it has", async () => {
    const scaling = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64 };
    const path = altered("llama-2", (at) => {
      edit("config.json", { rope_parameters: undefined, rope_theta: 5e5, rope_scaling: scaling, sliding_window: 128 })(
        at,
      );
    });
    const { metadata, ...file } = await convert(path);
    expect(metadata.number("llama.rope.freq_base")).toBe(5e5);
    expect(metadata.string("llama.rope.scaling.type")).toBe("yarn");
    expect(metadata.number("llama.rope.scaling.factor")).toBe(4);
    expect(metadata.number("llama.rope.scaling.yarn_attn_factor")).toBe(1);
    expect(metadata.number("llama.rope.scaling.original_context_length")).toBe(64);
    expect(metadata.number("llama.attention.sliding_window")).toBe(128);
    file.close();
  });
});
