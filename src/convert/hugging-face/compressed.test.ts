import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../../formats/gguf/file.ts";
import { openSafetensors } from "../../formats/safetensors/file.ts";
import type { SafetensorToWrite } from "../../formats/safetensors/write.ts";
import { convertModel, planConversion } from "../convert.ts";
import { expectedOf, folderWith, valuesOf } from "./packed.case.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-compressed-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Matrices [32, 64] that the compressed-tensors package packed: see test/oracles/make_compressed_vectors.py. */
const packed = openSafetensors(join(import.meta.dirname, "../../../test/vectors/hugging-face/compressed.safetensors"));
afterAll(packed.close);
const vectors = { folder, packed };

const schemes = {
  int4: { num_bits: 4, type: "int", symmetric: true, strategy: "group", group_size: 32 },
  "int4-asymmetric": { num_bits: 4, type: "int", symmetric: false, strategy: "group", group_size: 32 },
  int8: { num_bits: 8, type: "int", symmetric: true, strategy: "group", group_size: 32 },
  "int8-asymmetric": { num_bits: 8, type: "int", symmetric: false, strategy: "channel", group_size: null },
} as const;

const settingsOf = (groups: Readonly<Record<string, object>>, more: object = {}) => ({
  quantization_config: {
    ...{ quant_method: "compressed-tensors", format: "pack-quantized", ignore: ["lm_head"], ...more },
    config_groups: Object.fromEntries(
      Object.entries(groups).map(([name, weights]) => [name, { targets: ["Linear"], weights }]),
    ),
  },
});
const keysAndValues = (name: string) => ({ "self_attn.k_proj": name, "self_attn.v_proj": name });

async function convert(source: string, type: string) {
  const out = join(folder, "out.gguf");
  await convertModel({ source, out, type });
  return openGguf(out);
}

describe.each([
  ["int4", "q4_0", 0],
  ["int4-asymmetric", "q5_0", 0],
  ["int8", "q8_0", 0],
  ["int8-asymmetric", "f16", 2 ** -11],
] as const)("%s as compressed-tensors packs it", (name, kept, off) => {
  it.each(["f32", "keep"])("is what it is in %s", async (type) => {
    const source = await folderWith(vectors, settingsOf({ group_0: schemes[name] }), keysAndValues(name));
    const file = await convert(source, type);
    for (const part of ["k", "v"]) {
      const tensor = file.tensor(`blk.0.attn_${part}.weight`);
      expect(tensor.type).toBe(type === "keep" ? kept : type);
      const wanted = expectedOf(vectors, name, part === "k");
      for (const [i, value] of valuesOf(tensor).entries()) {
        expect(Math.abs(value - wanted[i]!)).toBeLessThanOrEqual(type === "keep" ? off * Math.abs(wanted[i]!) : 0);
      }
    }
    file.close();
  });
});

it("matrices of one model are each in their own group's bits, and those that are ignored as they are", async () => {
  const settings = settingsOf(schemes, { format: "mixed-precision" });
  for (const group of Object.values(settings.quantization_config.config_groups)) {
    Object.assign(group, { format: "pack-quantized" });
  }
  const source = await folderWith(vectors, settings, {
    ...{ "self_attn.k_proj": "int4-asymmetric", "self_attn.v_proj": "int8-asymmetric" },
  });
  const file = await convert(source, "f32");
  expect(valuesOf(file.tensor("blk.0.attn_k.weight"))).toEqual(expectedOf(vectors, "int4-asymmetric", true));
  expect(valuesOf(file.tensor("blk.0.attn_v.weight"))).toEqual(expectedOf(vectors, "int8-asymmetric", false));
  file.close();
});

describe("a packed folder", () => {
  const values = { "self_attn.v_proj": "int4-asymmetric" };
  const scheme = schemes["int4-asymmetric"];
  const module = "model.layers.0.self_attn.v_proj";
  type Change = (tensors: SafetensorToWrite[]) => SafetensorToWrite[];
  const without =
    (ending: string): Change =>
    (tensors) =>
      tensors.filter(({ name }) => !name.endsWith(ending));
  const withOne =
    (ending: string, dtype: "I32" | "I64", shape: readonly number[], data: Uint8Array): Change =>
    (tensors) => [...without(ending)(tensors), { name: `${module}.${ending}`, dtype, shape, data }];
  const order = (of: (column: number) => number) =>
    new Uint8Array(Int32Array.from({ length: 64 }, (_, column) => of(column)).buffer);

  it.each([
    ["as it is", () => 1, 32],
    ["-1 of all columns", () => -1, 0],
  ])("may have an order that is none: %s", async (_, at, group) => {
    const data = order((column) => (group === 0 ? at() : Math.floor(column / group)));
    const settings = settingsOf({ group_0: { ...scheme, actorder: "group" } });
    const source = await folderWith(vectors, settings, values, withOne("weight_g_idx", "I32", [64], data));
    const file = await convert(source, "f32");
    expect(valuesOf(file.tensor("blk.0.attn_v.weight"))).toEqual(expectedOf(vectors, "int4-asymmetric", false));
    file.close();
  });

  const same: Change = (tensors) => tensors;
  const size = new Uint8Array(BigInt64Array.of(64n, 32n).buffer);
  it.each<[string, object, Change, RegExp]>([
    [
      "in activation order",
      { group_0: scheme },
      withOne(
        "weight_g_idx",
        "I32",
        [64],
        order((column) => column % 2),
      ),
      /weight_g_idx: columns are in activation order/,
    ],
    [
      "in activation order that is missing",
      { group_0: { ...scheme, actorder: "group" } },
      same,
      /config_groups has no group of what .*v_proj.weight_packed is: 4-bit, in groups of 32, asymmetric/,
    ],
    ["without its zero points", { group_0: scheme }, without("weight_zero_point"), /is: 4-bit, .* symmetric$/],
    ["without scales", { group_0: scheme }, without("weight_scale"), /v_proj.weight_scale is missing/],
    ["without its shape", { group_0: scheme }, without("weight_shape"), /v_proj.weight_shape is missing/],
    [
      "of another shape",
      { group_0: scheme },
      withOne("weight_shape", "I64", [2], size),
      /weight_shape says \[64, 32\], expected \[32, 64\]/,
    ],
    ["in groups of another size", { group_0: { ...scheme, group_size: 64 } }, same, /has no group of what/],
    [
      "in 3 bits",
      { group_0: { ...scheme, num_bits: 3 } },
      same,
      /config_groups.group_0.weights.num_bits is 3, expected 4 or 8/,
    ],
    [
      "in floating-point numbers",
      { group_0: { ...scheme, type: "float" } },
      same,
      /weights.type is "float", expected int/,
    ],
    ["in no group", {}, same, /has no group of what/],
  ])("%s is refused by name", async (_, groups, change, message) => {
    const source = await folderWith(vectors, settingsOf(groups as Record<string, object>), values, change);
    expect(() => planConversion({ source, type: "f32" })).toThrow(message);
  });

  it.each([
    [
      "another packing of one group",
      { format: "mixed-precision" },
      { format: "nvfp4-pack-quantized" },
      /group_0.format is "nvfp4/,
    ],
    ["rotated inputs", { transform_config: { config_groups: { u: { type: "hadamard" } } } }, {}, /transform_config is/],
    ["sparse matrices", { format: "marlin-24" }, {}, /format is "marlin-24"/],
  ])("with %s is refused by name", async (_, more, ofGroup, message) => {
    const settings = settingsOf({ group_0: scheme }, more);
    Object.assign(settings.quantization_config.config_groups.group_0!, ofGroup);
    const source = await folderWith(vectors, settings, values);
    expect(() => planConversion({ source, type: "f32" })).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringMatching(message) }),
    );
  });
});
