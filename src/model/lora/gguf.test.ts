import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { GgufValue } from "../../formats/gguf/encode.ts";
import { openGguf } from "../../formats/gguf/file.ts";
import { type TensorToWrite, writeGguf } from "../../formats/gguf/write.ts";
import { encodeRow } from "../../tensor/decode.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { encodedBytes, type TensorType } from "../../tensor/types.ts";
import type { LoraAdapter } from "./adapter.ts";
import { makeAdapter } from "./lora.case.ts";
import { listModules } from "./modules.ts";
import { readAdapter } from "./read.ts";

const models = join(import.meta.dirname, "../../../test/vectors/models");
const folder = mkdtempSync(join(tmpdir(), "grok1-lora-gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));
const open = (name: string) => openGguf(join(models, `${name}.gguf`));

const text = (value: string): GgufValue => ({ type: "string", value });
const kind: [string, GgufValue][] = [
  ["general.type", text("adapter")],
  ["general.architecture", text("llama")],
  ["adapter.type", text("lora")],
  ["adapter.lora.alpha", { type: "f32", value: 6 }],
];

function tensor(name: string, shape: readonly number[], values: Float32Array, type: TensorType = "f32"): TensorToWrite {
  const bytes = new Uint8Array(encodedBytes(type, elementCount(shape)));
  encodeRow(type, values, bytes);
  return { name, type, shape, data: () => [bytes] };
}

/** As llama.cpp's converter: experts in stacks, which need every expert's terms. */
function tensorsOf({ terms }: LoraAdapter, type: TensorType = "f32"): TensorToWrite[] {
  const names = [...new Set(terms.map(({ target }) => target.tensor))];
  return names.flatMap((name) => {
    const own = terms.filter(({ target }) => target.tensor === name);
    const [{ target, rank }] = own as [LoraAdapter["terms"][0]];
    const join = (part: "a" | "b") => Float32Array.from(own.flatMap((term) => [...term[part]]));
    const stack = target.experts === undefined ? [] : [target.experts];
    return [
      tensor(`${name}.lora_a`, [...stack, rank, target.in], join("a"), type),
      tensor(`${name}.lora_b`, [...stack, target.out, rank], join("b"), type),
    ];
  });
}

describe("GGUF adapters", () => {
  it.each(["grok-1", "grok-2", "llama", "mixtral"])("are read for %s, every matrix and every expert", async (name) => {
    const model = open(name);
    const adapter = makeAdapter(listModules(model));
    const path = join(folder, `${name}.gguf`);
    const metadata = kind.map(([key, value]): [string, GgufValue] => [
      key,
      key === "general.architecture" ? text(model.metadata.string(key)) : value,
    ]);
    await writeGguf(path, { metadata, tensors: tensorsOf(adapter) });
    const read = readAdapter(path, model);
    const byTarget = ({ terms }: LoraAdapter) =>
      terms.toSorted((one, other) => (one.target.module < other.target.module ? -1 : 1));
    expect(byTarget(read)).toEqual(byTarget(adapter));
    model.close();
  });

  it.each(["llama", "mixtral"])("are what llama.cpp's converter makes of peft's, for %s", (name) => {
    const model = open(name);
    const vectors = join(import.meta.dirname, "../../../test/vectors/lora", `gguf-${name}`);
    const byTarget = ({ terms }: LoraAdapter) =>
      terms.toSorted((one, other) => (one.target.module < other.target.module ? -1 : 1));
    const read = byTarget(readAdapter(join(vectors, "adapter.gguf"), model));
    expect(read).toEqual(byTarget(readAdapter(vectors, model)));
    // All matrices, with the queries' and keys' rows in the file's order and each expert of a stack, but one layer's values.
    const own = listModules(model).map(({ module }) => module);
    expect(read.map(({ target }) => target.module)).toEqual(
      own.filter((module) => !module.endsWith("layers.1.self_attn.v_proj") && !/(gate|lm_head)$/.test(module)).sort(),
    );
    model.close();
  });

  it("of half the precision, and without an alpha, which is a scale of 1", async () => {
    const model = open("llama");
    const adapter = makeAdapter(listModules(model), { wanted: ({ module }) => module.endsWith("v_proj") });
    const path = join(folder, "half.gguf");
    await writeGguf(path, { metadata: kind.slice(0, 3), tensors: tensorsOf(adapter, "f16") });
    const { terms } = readAdapter(path, model);
    expect(terms.map(({ scale }) => scale)).toEqual(adapter.terms.map(() => 1));
    for (const [i, { a }] of terms.entries()) {
      expect(a.every((value, at) => Math.abs(value - adapter.terms[i]!.a[at]!) < 1e-3)).toBe(true);
    }
    model.close();
  });

  const refusals: [string, { metadata?: [string, GgufValue][]; rename?: (name: string) => string }, string, RegExp][] =
    [
      [
        "another type",
        { metadata: [["general.type", text("model")]] },
        "format",
        /general\.type is "model", expected an adapter/,
      ],
      ["a control vector", { metadata: [["adapter.type", text("cvec")]] }, "unsupported", /adapter\.type is "cvec"/],
      [
        "another architecture",
        { metadata: [["general.architecture", text("gemma")]] },
        "shape",
        /an adapter for "gemma"/,
      ],
      [
        "activated LoRA",
        { metadata: [["adapter.alora.invocation_tokens", { type: "array", items: "u32", value: [1] }]] },
        "unsupported",
        /adapter\.alora\.invocation_tokens is set/,
      ],
      [
        "an alpha that is no number",
        { metadata: [["adapter.lora.alpha", { type: "f32", value: Number.NaN }]] },
        "format",
        /adapter\.lora\.alpha is NaN/,
      ],
      [
        "a norm",
        { rename: (name) => name.replace(/^blk.1.attn_v.weight.lora_a/, "blk.1.attn_norm.weight") },
        "unsupported",
        /attn_norm\.weight is no part of a low-rank/,
      ],
      [
        "half a pair",
        { rename: (name) => name.replace("1.attn_v.weight.lora_a", "1.attn_q.weight.lora_a") },
        "format",
        /lacks its lora_/,
      ],
      [
        "an embedding",
        { rename: (name) => name.replace(/blk.1.attn_v/, "token_embd") },
        "shape",
        /of embeddings, and of a head/,
      ],
      [
        "another model's layer",
        { rename: (name) => name.replace("blk.1.", "blk.9.") },
        "shape",
        /blk\.9\.attn_v\.weight is not a/,
      ],
      ["another model's shape", { rename: (name) => name.replace("1.attn_v", "1.attn_q") }, "shape", /expected \[/],
    ];
  it.each(refusals)("are refused: %s", async (_, { metadata = [], rename }, code, message) => {
    const model = open("llama");
    const adapter = makeAdapter(listModules(model), { wanted: ({ module }) => module.endsWith("v_proj") });
    const path = join(folder, "refused.gguf");
    const changed = new Map([...kind, ...metadata]);
    const tensors = tensorsOf(adapter).map((one) => ({ ...one, name: rename?.(one.name) ?? one.name }));
    const attempt = async () => {
      await writeGguf(path, { metadata: changed, tensors });
      readAdapter(path, model);
    };
    await expect(attempt()).rejects.toMatchObject({
      code: code,
      message: expect.stringMatching(message),
    });
    model.close();
  });
});

describe("adapters of other programs are named, with what to do", () => {
  const put = (name: string, file: string, bytes: string | Buffer) => {
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, file), bytes);
    return path;
  };
  const pickle = Buffer.from([0x80, 0x02, 0x7d, 0x71, 0x00, 0x2e]);
  it.each([
    [put("mlx", "adapters.safetensors", "x"), /adapters\.safetensors: an adapter of MLX: fuse it .* mlx_lm\.fuse/],
    [put("bin", "adapter_model.bin", pickle), /adapter_model\.bin: an adapter as a Python pickle: load it with peft/],
    [join(put("pickle", "x.pt", pickle), "x.pt"), /x\.pt: an adapter as a Python pickle/],
    [
      join(put("text", "hi.txt", "hi there"), "hi.txt"),
      /hi\.txt: not an adapter: it begins with "hi t", expected safetensors or GGUF/,
    ],
    [join(put("none", "x", ""), "x"), /x: not an adapter: it is empty, expected safetensors or GGUF/],
    [
      join(put("short", "adapter_model.safetensors", "{}"), "adapter_model.safetensors"),
      /not an adapter: it begins with "\{}"/,
    ],
    [join(put("torch", "x.safetensors", "PK\x03\x04....."), "x.safetensors"), /an adapter as a Python pickle/],
    [put("nothing", "README.md", "x"), /adapter_model\.safetensors: not there: the folder holds no adapter/],
    ["/dev/null", /not a regular file/],
  ])("%s", (path, message) => {
    const model = open("llama");
    expect(() => readAdapter(path, model)).toThrow(message);
    model.close();
  });
});
