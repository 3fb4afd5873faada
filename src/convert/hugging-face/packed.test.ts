import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../../formats/gguf/file.ts";
import { openSafetensors } from "../../formats/safetensors/file.ts";
import { type SafetensorToWrite, writeSafetensors } from "../../formats/safetensors/write.ts";
import { createRandom } from "../../kernels/oracle.case.ts";
import { permutedRow } from "../../model/tensors.ts";
import { decodeRow, encodeRow } from "../../tensor/decode.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { convertModel, planConversion } from "../convert.ts";
import { expectedOf, folderWith, valuesOf } from "./packed.case.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-packed-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Matrices [32, 64], packed by each quantizer's published code: see test/oracles/make_packed_vectors.py. */
const packed = openSafetensors(join(import.meta.dirname, "../../../test/vectors/hugging-face/packed.safetensors"));
afterAll(packed.close);
const vectors = { folder, packed };

async function convert(source: string, type: string) {
  const out = join(folder, "out.gguf");
  await convertModel({ source, out, type });
  return openGguf(out);
}

const gptq = { quant_method: "gptq", bits: 4, group_size: 32, desc_act: false, sym: true };
const awq = { quant_method: "awq", bits: 4, group_size: 32, version: "gemm", zero_point: true };

describe.each([
  ["gptq-symmetric", gptq, "q4_0"],
  ["gptq", { ...gptq, sym: false }, "q5_0"],
  ["gptq-v2", { ...gptq, sym: false, checkpoint_format: "gptq_v2" }, "q5_0"],
  ["awq", awq, "q5_0"],
] as const)("4 bits as %s stores them", (name, quantization_config, type) => {
  it.each(["keep", "f32", "q5_0", ...(type === "q4_0" ? ["q4_1"] : [])])("are what they are in %s", async (asked) => {
    const source = await folderWith(
      vectors,
      { quantization_config },
      { "self_attn.k_proj": name, "self_attn.v_proj": name },
    );
    const file = await convert(source, asked);
    for (const part of ["k", "v"]) {
      const tensor = file.tensor(`blk.0.attn_${part}.weight`);
      expect(tensor.type).toBe(asked === "keep" ? type : asked);
      expect(valuesOf(tensor)).toEqual(expectedOf(vectors, name, part === "k"));
    }
    file.close();
  });
});

it("zeros that GPTQModel took ones from as whole words are what they were, also 0", async () => {
  const meta = { quantizer: ["gptqmodel:5.4.2"] };
  const quantization_config = { ...gptq, sym: false, checkpoint_format: "gptq", meta };
  const source = await folderWith(vectors, { quantization_config }, { "self_attn.v_proj": "gptq-v2" }, (tensors) =>
    tensors.map((tensor) => {
      if (!tensor.name.endsWith("qzeros")) return tensor;
      const words = new Uint32Array((tensor.data as Uint8Array).slice().buffer).map((word) => word - 0x11111111);
      return { ...tensor, data: new Uint8Array(words.buffer) };
    }),
  );
  const file = await convert(source, "keep");
  expect(valuesOf(file.tensor("blk.0.attn_v.weight"))).toEqual(expectedOf(vectors, "gptq-v2", false));
  file.close();
});

/** The scales of a matrix in another format, each of them times 1 + 2^-12 or what is left of it there. */
function otherScales(module: string, dtype: "F32" | "BF16") {
  let values = new Float32Array();
  const change = (tensors: SafetensorToWrite[]) =>
    tensors.map((tensor) => {
      if (!tensor.name.endsWith(`${module}.scales`)) return tensor;
      const halves = packed.entry("gptq-symmetric.scales").values() as Float32Array;
      values = Float32Array.from(halves, (half) => half * (1 + 2 ** -12));
      if (dtype === "F32") return { ...tensor, dtype, data: new Uint8Array(values.buffer) };
      const data = encodeRow("bf16", values);
      decodeRow("bf16", data, values);
      return { ...tensor, dtype, data };
    });
  return { change, values: () => values };
}

it.each(["F32", "BF16"] as const)(
  "takes 4 bits with scales of %s: as they are in f32, near in blocks",
  async (dtype) => {
    const { change, values } = otherScales("v_proj", dtype);
    const modules = { "self_attn.v_proj": "gptq-symmetric" };
    const source = await folderWith(vectors, { quantization_config: gptq }, modules, change);
    const halves = packed.entry("gptq-symmetric.scales").values() as Float32Array;
    const wanted = expectedOf(vectors, "gptq-symmetric", false).map((value, i) => {
      const at = Math.floor((i % 64) / 32) * 32 + Math.floor(i / 64);
      return Math.round(value / halves[at]!) * values()[at]!;
    });
    const exact = await convert(source, "f32");
    expect(valuesOf(exact.tensor("blk.0.attn_v.weight"))).toEqual(wanted);
    exact.close();
    const kept = await convert(source, "keep");
    expect(kept.tensor("blk.0.attn_v.weight").type).toBe("q4_0");
    for (const [i, value] of valuesOf(kept.tensor("blk.0.attn_v.weight")).entries()) {
      expect(Math.abs(value - wanted[i]!)).toBeLessThanOrEqual(2 ** -11 * Math.abs(wanted[i]!));
    }
    kept.close();
  },
);

it("decodes EXL2 of all widths, its columns in their own order", async () => {
  const source = await folderWith(
    vectors,
    {
      quantization_config: { quant_method: "exl2", bits: 4 },
      num_attention_heads: 8,
      hidden_size: 128,
      intermediate_size: 32,
    },
    {},
    () => [],
  );
  const entries = [...packed.entries.values()].filter(
    ({ name }) => name.startsWith("exl2.") && !name.endsWith("expected"),
  );
  const zeros = (name: string, shape: readonly number[]): SafetensorToWrite => ({
    ...{ name, dtype: "F32", shape, data: new Uint8Array(4 * elementCount(shape)) },
  });
  const layer = "model.layers.0";
  const exl2 = (module: string) =>
    entries.map(
      ({ name, dtype, shape, bytes }): SafetensorToWrite => ({
        ...{ name: `${layer}.${module}${name.slice(4)}`, dtype, shape, data: bytes() },
      }),
    );
  await writeSafetensors(join(source, "model.safetensors"), [
    ...[zeros("model.embed_tokens.weight", [8, 128]), zeros("model.norm.weight", [128])],
    ...["input_layernorm", "post_attention_layernorm"].map((name) => zeros(`${layer}.${name}.weight`, [128])),
    ...["q_proj", "o_proj"].map((name) => zeros(`${layer}.self_attn.${name}.weight`, [128, 128])),
    ...[...exl2("self_attn.k_proj"), ...exl2("self_attn.v_proj"), ...exl2("mlp.gate_proj"), ...exl2("mlp.up_proj")],
    zeros(`${layer}.mlp.down_proj.weight`, [128, 32]),
  ]);
  const exact = await convert(source, "f32");
  for (const name of ["attn_v", "ffn_gate", "ffn_up"]) {
    expect(valuesOf(exact.tensor(`blk.0.${name}.weight`))).toEqual(expectedOf(vectors, "exl2", false));
  }
  expect(valuesOf(exact.tensor("blk.0.attn_k.weight"))).toEqual(expectedOf(vectors, "exl2", true));
  exact.close();
  expect(planConversion({ source, type: "keep" }).tensors.find(({ name }) => name.includes("attn_v"))).toMatchObject({
    ...{ type: "f16", stored: "EXL2, 2, 3, 4, 5, 6, 8 bits" },
  });
});

it("decodes int8 by the scale of its rows, and keeps its integers", async () => {
  const settings = { quantization_config: { quant_method: "bitsandbytes", load_in_8bit: true } };
  const source = await folderWith(vectors, settings, { "self_attn.k_proj": "int8", "self_attn.v_proj": "int8" });
  const file = await convert(source, "f32");
  for (const part of ["k", "v"]) {
    expect(valuesOf(file.tensor(`blk.0.attn_${part}.weight`))).toEqual(expectedOf(vectors, "int8", part === "k"));
  }
  file.close();
  const kept = await convert(source, "keep");
  const tensor = kept.tensor("blk.0.attn_v.weight");
  expect(tensor.type).toBe("q8_0");
  // What a scale in float16 costs: half of its last digit.
  const wanted = expectedOf(vectors, "int8", false);
  for (const [i, value] of valuesOf(tensor).entries()) {
    expect(Math.abs(value - wanted[i]!)).toBeLessThanOrEqual(2 ** -11 * Math.abs(wanted[i]!) + 1e-12);
  }
  kept.close();
});

describe("8 bits with a scale for each block", () => {
  const random = createRandom(9);
  // Finite in E4M3, whose numbers with a sign bit are the others' negatives.
  const bytes = Uint8Array.from(
    { length: 32 * 64 },
    () => Math.floor(127 * random.next()) + 128 * Math.round(random.next()),
  );
  /** Its meaning by the specification (OCP, 2023): 4 bits of exponent, 3 of fraction. */
  const e4m3 = (byte: number) => {
    const [exponent, fraction] = [(byte >> 3) & 15, byte & 7];
    const size = exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7);
    return byte > 127 ? -size : size;
  };
  const withBlocks =
    (dtype: "F8_E4M3" | "I8", [high, wide]: readonly [number, number], name: string) =>
    (tensors: SafetensorToWrite[]): SafetensorToWrite[] => [
      ...tensors.filter((each) => !/[kv]_proj/.test(each.name)),
      ...["k_proj", "v_proj"].flatMap((module): SafetensorToWrite[] => {
        const [down, across] = [Math.ceil(32 / high), Math.ceil(64 / wide)];
        const scales = Float32Array.from({ length: down * across }, (_, i) => 0.01 * (i + 1));
        return [
          { name: `model.layers.0.self_attn.${module}.weight`, dtype, shape: [32, 64], data: bytes },
          {
            ...{ name: `model.layers.0.self_attn.${module}.${name}`, dtype: "F32", shape: [down, across] },
            data: new Uint8Array(scales.buffer),
          },
        ];
      }),
    ];
  const wanted = (number: (byte: number) => number, [high, wide]: readonly [number, number], key: boolean) =>
    Float32Array.from(bytes, (_, i) => {
      const [row, column] = [key ? permutedRow(Math.floor(i / 64), 16) : Math.floor(i / 64), i % 64];
      const scale = Math.fround(0.01 * (Math.floor(row / high) * Math.ceil(64 / wide) + Math.floor(column / wide) + 1));
      return scale * number(bytes[row * 64 + column]!);
    });
  const fp8 = (size: unknown) => ({ quantization_config: { quant_method: "fp8", weight_block_size: size } });
  const compressed = (weights: object) => ({
    quantization_config: {
      ...{ quant_method: "compressed-tensors", format: "int-quantized" },
      config_groups: { group_0: { targets: ["Linear"], weights } },
    },
  });
  const int8 = (byte: number) => (byte << 24) >> 24;

  it.each([
    ["DeepSeek's", "F8_E4M3", fp8([16, 32]), [16, 32], "weight_scale_inv", "bf16"],
    ["DeepSeek's, cut at the edges", "F8_E4M3", fp8([24, 48]), [24, 48], "weight_scale_inv", "bf16"],
    [
      "compressed-tensors' groups of int8",
      "I8",
      compressed({ strategy: "group", group_size: 32 }),
      [1, 32],
      "weight_scale",
      "q8_0",
    ],
    [
      "compressed-tensors' small groups",
      "I8",
      compressed({ strategy: "group", group_size: 16 }),
      [1, 16],
      "weight_scale",
      "f32",
    ],
    [
      "compressed-tensors' blocks",
      "I8",
      compressed({ strategy: "block", block_structure: [8, 32] }),
      [8, 32],
      "weight_scale",
      "q8_0",
    ],
  ] as const)("is decoded: %s", async (_, dtype, settings, block, name, kept) => {
    const source = await folderWith(vectors, settings, {}, withBlocks(dtype, block, name));
    const file = await convert(source, "f32");
    for (const part of ["k", "v"]) {
      const number = dtype === "I8" ? int8 : e4m3;
      expect(valuesOf(file.tensor(`blk.0.attn_${part}.weight`))).toEqual(wanted(number, block, part === "k"));
    }
    file.close();
    const same = await convert(source, "keep");
    const tensor = same.tensor("blk.0.attn_v.weight");
    expect(tensor.type).toBe(kept);
    const exact = wanted(dtype === "I8" ? int8 : e4m3, block, false);
    const most = kept === "f32" ? 0 : kept === "bf16" ? 2 ** -8 : 2 ** -11;
    for (const [i, value] of valuesOf(tensor).entries()) {
      expect(Math.abs(value - exact[i]!)).toBeLessThanOrEqual(most * Math.abs(exact[i]!));
    }
    same.close();
  });

  it.each([
    ["of another size", fp8([16, 64]), /_proj.weight_scale_inv has shape \[2, 2\], expected .* or \[2, 1\]/],
    ["of a size that nobody says", {}, /weight_scale_inv has shape \[2, 2\], expected \[32, 1\]/],
    ["of no size", fp8("many"), /weight_block_size is "many", expected two whole numbers/],
  ])("is refused: %s", async (_, settings, message) => {
    const blocks = withBlocks("F8_E4M3", [16, 32], "weight_scale_inv");
    const source = await folderWith(vectors, settings, {}, blocks);
    expect(() => planConversion({ source, type: "f32" })).toThrow(message);
  });
});

it("decodes 8 bits by a scale of each row or of all, integers and floating-point numbers", async () => {
  const weight = packed.entry("int8.weight");
  const expected = expectedOf(vectors, "int8", false);
  const scales = Float32Array.from(packed.entry("int8.SCB").values() as Float32Array, (largest) => largest / 127);
  // Without what is no number in each.
  const f8 = (dtype: "F8_E4M3" | "F8_E5M2", scale: number): SafetensorToWrite[] => [
    {
      name: "model.layers.0.self_attn.v_proj.weight",
      dtype,
      shape: [32, 64],
      data: Uint8Array.from({ length: 2048 }, (_, i) => i % (dtype === "F8_E4M3" ? 127 : 124)),
    },
    ...[{ name: "model.layers.0.self_attn.v_proj.weight_scale", dtype: "F32" as const, shape: [] }].map((tensor) => ({
      ...{ ...tensor, data: new Uint8Array(Float32Array.of(scale).buffer) },
    })),
  ];
  const withOwn = (own: readonly SafetensorToWrite[]) => (tensors: SafetensorToWrite[]) => [
    ...tensors.filter(({ name }) => !name.includes("v_proj")),
    ...own,
  ];
  const valuesIn = async (own: readonly SafetensorToWrite[]) => {
    const file = await convert(await folderWith(vectors, {}, {}, withOwn(own)), "f32");
    const values = valuesOf(file.tensor("blk.0.attn_v.weight"));
    file.close();
    return values;
  };
  const name = "model.layers.0.self_attn.v_proj";
  const rows = await valuesIn([
    { name: `${name}.weight`, dtype: "I8", shape: [32, 64], data: weight.bytes() },
    { name: `${name}.weight_scale`, dtype: "F32", shape: [32, 1], data: new Uint8Array(scales.buffer) },
  ]);
  for (const [i, value] of rows.entries())
    expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(1e-6 * Math.abs(expected[i]!));
  // Values of single bytes by the formats' specification (OCP, 2023).
  const e4m3 = await valuesIn(f8("F8_E4M3", 0.5));
  expect([0x00, 0x01, 0x08, 0x38, 0x7e].map((byte) => e4m3[byte])).toEqual([0, 2 ** -10, 2 ** -7, 0.5, 224]);
  const kept = await convert(await folderWith(vectors, {}, {}, withOwn(f8("F8_E4M3", 0.3))), "keep");
  const tensor = kept.tensor("blk.0.attn_v.weight");
  expect(tensor.type).toBe("bf16");
  for (const [i, value] of valuesOf(tensor).entries()) {
    const wanted = (e4m3[i]! / 0.5) * Math.fround(0.3);
    expect(Math.abs(value - wanted)).toBeLessThanOrEqual(2 ** -7.99 * Math.abs(wanted));
  }
  kept.close();
  const e5m2 = await valuesIn(f8("F8_E5M2", 2));
  expect([0x00, 0x01, 0x04, 0x3c, 0x7b].map((byte) => e5m2[byte])).toEqual([0, 2 ** -15, 2 ** -13, 2, 114688]);
});

describe("a quantized folder", () => {
  const keys = { "self_attn.k_proj": "gptq" };
  const orderOf = (order: (column: number) => number) => (tensors: SafetensorToWrite[]) =>
    tensors.map((tensor) =>
      tensor.name.endsWith("g_idx")
        ? { ...tensor, data: new Uint8Array(Int32Array.from({ length: 64 }, (_, i) => order(i)).buffer) }
        : tensor,
    );

  it("in activation order whose order is missing is refused", async () => {
    const source = await folderWith(vectors, { quantization_config: { ...gptq, desc_act: true } }, keys, (tensors) =>
      tensors.filter(({ name }) => !name.endsWith("g_idx")),
    );
    expect(() => planConversion({ source, type: "f32" })).toThrow(
      /desc_act is true, expected false where a matrix has no g_idx/,
    );
  });

  it("whose settings name activation order is read where columns are in their own", async () => {
    const source = await folderWith(vectors, { quantization_config: { ...gptq, desc_act: true } }, keys);
    expect(planConversion({ source, type: "keep" }).tensors.length).toBe(11);
  });

  it.each([
    ["activation order", gptq, keys, orderOf((column) => column % 2), /k_proj.g_idx: columns are in activation order/],
    ["8 bits", { ...gptq, bits: 8 }, keys, undefined, /quantization_config.bits is 8, expected 4/],
    ["a Marlin layout", { ...gptq, checkpoint_format: "marlin" }, keys, undefined, /checkpoint_format is "marlin"/],
    [
      "groups that do not divide",
      { ...gptq, group_size: 48 },
      keys,
      undefined,
      /group_size is 48, and a matrix has 64/,
    ],
    [
      "AWQ for a vector product",
      { ...awq, version: "gemv" },
      { "self_attn.k_proj": "awq" },
      undefined,
      /version is "gemv"/,
    ],
    ["AWQ of GPTQModel's formats", { ...awq, version: undefined, format: "gemv" }, {}, undefined, /format is "gemv"/],
    ["AWQ of another packer", { ...awq, backend: "llm-awq" }, {}, undefined, /backend is "llm-awq"/],
    ["rotated inputs", { ...gptq, rotation: "hadamard" }, keys, undefined, /rotation is "hadamard"/],
    [
      "4 bits of bitsandbytes",
      { quant_method: "bitsandbytes", load_in_4bit: true },
      {},
      undefined,
      /load_in_4bit is true/,
    ],
    ["another method", { quant_method: "quanto" }, {}, undefined, /quant_method is "quanto"/],
  ] as const)("with %s is refused by name", async (_, quantization_config, modules, change, message) => {
    const source = await folderWith(vectors, { quantization_config }, modules, change);
    expect(() => planConversion({ source, type: "f32" })).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringMatching(message) }),
    );
  });

  it("may have a bias of zeros beside a matrix, and no other", async () => {
    const bias = (value: number) => (tensors: SafetensorToWrite[]) => [
      ...tensors,
      {
        ...{ name: "model.layers.0.self_attn.k_proj.bias", dtype: "F32" as const, shape: [32] },
        data: new Uint8Array(new Float32Array(32).fill(value).buffer),
      },
    ];
    const quantization_config = gptq;
    const fine = await folderWith(vectors, { quantization_config }, keys, bias(-0));
    expect(planConversion({ source: fine, type: "f32" }).tensors.length).toBe(11);
    const source = await folderWith(vectors, { quantization_config }, keys, bias(0.5));
    expect(() => planConversion({ source, type: "f32" })).toThrow(/k_proj.bias: a bias/);
  });
});
