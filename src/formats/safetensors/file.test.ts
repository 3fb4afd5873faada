import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { readTensor } from "../../tensor/tensor.ts";
import { type Dtype, dtypes } from "./dtypes.ts";
import { openSafetensors } from "./file.ts";
import { writeSafetensors } from "./write.ts";

const vectors = new URL("../../../test/vectors/formats/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "grok1-safetensors-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "file.safetensors");

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
/** What numpy held when the Python package wrote `all.safetensors`. */
const expected: Record<string, { dtype: string; shape: number[]; hex: string; values: string[] }> = JSON.parse(
  readFileSync(`${vectors}all.safetensors.json`, "utf8"),
);
const numpyName: Partial<Record<Dtype, string>> = {
  BOOL: "bool",
  U8: "uint8",
  I8: "int8",
  I16: "int16",
  U16: "uint16",
  I32: "int32",
  U32: "uint32",
  I64: "int64",
  U64: "uint64",
  F16: "float16",
  F32: "float32",
  F64: "float64",
};

describe("files of the Python safetensors package", () => {
  it("have the dtypes, shapes, bytes and values that numpy held", () => {
    const file = openSafetensors(`${vectors}all.safetensors`);
    expect([...file.entries.keys()].sort()).toEqual(Object.keys(expected).sort());
    for (const [name, { dtype, shape, hex: bytes, values }] of Object.entries(expected)) {
      const entry = file.entry(name);
      expect([name, numpyName[entry.dtype], entry.shape, hex(entry.bytes())]).toEqual([name, dtype, shape, bytes]);
      const found = Array.from(entry.values() as ArrayLike<number | bigint>);
      expect(found).toHaveLength(values.length);
      for (const [i, text] of values.entries()) {
        const value = text === "True" ? 1 : text === "False" ? 0 : Number(text.replace("inf", "Infinity"));
        if (dtype.endsWith("64") && dtype !== "float64") expect(found[i]).toBe(BigInt(text));
        else expect(found[i]).toBe(value);
      }
    }
    expect(Object.fromEntries(file.metadata)).toEqual({ made: "by the safetensors package", line: "a\nb" });
    file.close();
  });

  it("give tensors where a tensor type is the same", () => {
    const file = openSafetensors(`${vectors}all.safetensors`);
    const tensor = file.entry("f32").tensor();
    expect(tensor).toMatchObject({ name: "f32", type: "f32", shape: [2, 3], source: `${vectors}all.safetensors` });
    expect(hex(readTensor(tensor, 1, 2))).toBe(expected.f32!.hex.slice(24));
    expect(hex(readTensor(file.entry("scalar").tensor(), 0, 1))).toBe(expected.scalar!.hex);
    expect(readTensor(file.entry("empty").tensor(), 0, 0)).toHaveLength(0);
    expect(() => file.entry("u64").tensor()).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringMatching(/u64.*U64/) }),
    );
    expect(() => file.entry("none")).toThrow(
      expect.objectContaining({ code: "shape", message: expect.stringContaining("none") }),
    );
    file.close();
  });

  it("open a sharded model by its index", () => {
    const file = openSafetensors(`${vectors}model.safetensors.index.json`);
    expect([...file.entries.keys()].sort()).toEqual(["a", "b", "c"]);
    expect(hex(file.entry("a").bytes())).toBe(expected.f32!.hex);
    expect(hex(file.entry("c").bytes())).toBe(expected.f64!.hex);
    expect(file.entry("c").source).toBe(`${vectors}model-00002-of-00002.safetensors`);
    file.close();
  });
});

const arbitrary = fc.uniqueArray(
  fc.record({
    name: fc.string({ unit: "grapheme", maxLength: 12 }).filter((name) => name !== "__metadata__"),
    dtype: fc.constantFrom(...(Object.keys(dtypes) as Dtype[])),
    // A multiple of 4 on the last axis makes whole bytes of 4- and 6-bit elements.
    shape: fc.tuple(fc.array(fc.nat(3), { maxLength: 3 }), fc.nat(2)).map(([axes, last]) => [...axes, 4 * last]),
  }),
  { selector: ({ name }) => name, maxLength: 8 },
);
const withData = ({ name, dtype, shape }: { name: string; dtype: Dtype; shape: number[] }, seed: number) => {
  const length = (shape.reduce((a, b) => a * b, 1) * dtypes[dtype].bits) / 8;
  return { name, dtype, shape, data: Uint8Array.from({ length }, (_, i) => i * 7 + seed) };
};

describe("writing", () => {
  it("round trips any tensors and metadata", async () => {
    const metadata = fc.dictionary(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), {
      noNullPrototype: true,
    });
    await fc.assert(
      fc.asyncProperty(arbitrary, metadata, async (shapes, about) => {
        const tensors = shapes.map(withData);
        await writeSafetensors(
          path,
          tensors.map((t) => ({ ...t, data: () => [t.data.subarray(0, 3), t.data.subarray(3)] })),
          about,
        );
        const file = openSafetensors(path);
        expect([...file.metadata]).toEqual(Object.entries(about));
        expect(
          [...file.entries.values()].map((e) => ({
            name: e.name,
            dtype: e.dtype,
            shape: e.shape,
            hex: hex(e.bytes()),
          })),
        ).toEqual(tensors.map(({ data, ...rest }) => ({ ...rest, hex: hex(data) })));
        file.close();
      }),
      { numRuns: 60 },
    );
  });

  const good = { name: "t", dtype: "F32", shape: [2], data: new Uint8Array(8) } as const;
  it.each([
    ["a name twice", [good, good]],
    ["the name __metadata__", [{ ...good, name: "__metadata__" }]],
    ["a negative axis", [{ ...good, shape: [-2] }]],
    ["half a byte", [{ ...good, dtype: "F4", shape: [1] }]],
    ["too little data", [{ ...good, shape: [3] }]],
    ["too much data", [{ ...good, shape: [1] }]],
  ] as const)("refuses %s", async (_, tensors) => {
    const before = readdirSync(folder);
    await expect(writeSafetensors(join(folder, "refused.safetensors"), tensors)).rejects.toMatchObject({
      code: "argument",
    });
    expect(readdirSync(folder)).toEqual(before);
  });
});

describe("damaged and hostile files", () => {
  const write = (header: string, dataBytes = 8, length?: bigint) => {
    const text = Buffer.from(header);
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(length ?? BigInt(text.length));
    writeFileSync(path, Buffer.concat([bytes, text, Buffer.alloc(dataBytes)]));
  };
  const t = (fields: string) => `{"t":{${fields}}}`;
  const f32 = '"dtype":"F32","shape":[2],"data_offsets":[0,8]';

  const manyTensors = (count: number) =>
    `{${Array.from({ length: count }, (_, i) => `"${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`).join(",")}}`;

  const cases: [what: string, message: RegExp, make: () => void][] = [
    ["an empty file", /only 0 bytes/, () => writeFileSync(path, "")],
    ["a header longer than 100 MB", /at most 100000000/, () => write("{}", 0, 100_000_001n)],
    ["a header of 2^64 - 1 bytes", /at most 100000000/, () => write("{}", 0, (1n << 64n) - 1n)],
    ["a header longer than the file", /has 2 more bytes/, () => write("{}", 0, 3n)],
    ["a header that begins with a space", /does not begin with "\{"/, () => write(" {}", 0)],
    ["text after the header", /expected the end/, () => write("{} x", 0)],
    ["a tensor twice", /key "t" is there twice/, () => write(`{"t":{${f32}},"t":{${f32}}}`)],
    ["a tensor twice, once escaped", /key "t" is there twice/, () => write(`{"t":{${f32}},"\\u0074":{${f32}}}`)],
    ["a field twice", /key "shape" is there twice/, () => write(t(`${f32},"shape":[2]`))],
    ["an unknown dtype", /unknown dtype "F33"/, () => write(t('"dtype":"F33","shape":[2],"data_offsets":[0,8]'))],
    [
      "a dtype from the prototype",
      /unknown dtype "toString"/,
      () => write(t('"dtype":"toString","shape":[2],"data_offsets":[0,8]')),
    ],
    ["no dtype", /lacks a dtype/, () => write(t('"shape":[2],"data_offsets":[0,8]'))],
    [
      "a size that is not the shape's",
      /expected 12 bytes/,
      () => write(t('"dtype":"F32","shape":[3],"data_offsets":[0,8]')),
    ],
    [
      "offsets the wrong way round",
      /data_offsets \[8, 0\]/,
      () => write(t('"dtype":"F32","shape":[2],"data_offsets":[8,0]')),
    ],
    ["three offsets", /more than 2 numbers/, () => write(t('"dtype":"F32","shape":[2],"data_offsets":[0,4,8]'))],
    ["a negative axis", /a whole number/, () => write(t('"dtype":"F32","shape":[-2],"data_offsets":[0,8]'))],
    ["a fraction", /a whole number/, () => write(t('"dtype":"F32","shape":[2.0],"data_offsets":[0,8]'))],
    ["an exponent", /a whole number/, () => write(t('"dtype":"F32","shape":[2e0],"data_offsets":[0,8]'))],
    [
      "a number past 2^53",
      /above 2\^53/,
      () => write(t('"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,8]')),
    ],
    [
      "a product past 2^53",
      /more elements than/,
      () => write(t('"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]'), 0),
    ],
    [
      "a hole",
      /begins 8 bytes into the data, expected 0/,
      () => write(t('"dtype":"F32","shape":[2],"data_offsets":[8,16]'), 16),
    ],
    [
      "overlap",
      /expected 8: no hole/,
      () => write(`{"t":{${f32}},"u":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12),
    ],
    ["data past the end", /ends at byte/, () => write(t(f32), 7)],
    ["bytes after the data", /the tensors end at byte/, () => write(t(f32), 9)],
    ["metadata that is not text", /expected __metadata__'s a, found "1"/, () => write('{"__metadata__":{"a":1}}', 0)],
    ["deep nesting", /nested more than 64 deep/, () => write(`{"t":{"x":${"[".repeat(1_000_000)}`, 0)],
    [
      "millions of values in an unknown field",
      /more than 1000000 values/,
      () => write(t(`"x":[${"1,".repeat(1_000_000)}1]`), 0),
    ],
    ["too many tensors", /more than 100000 tensors/, () => write(manyTensors(100_001), 0)],
    ["a string without an end", /has no end/, () => write('{"t', 0)],
    ["a wrong escape", /wrong escape/, () => write('{"\\x":1}', 0)],
  ];
  it.each(cases)("%s", (_, message, make) => {
    make();
    expect(() => openSafetensors(path)).toThrow(
      expect.objectContaining({ code: "format", message: expect.stringMatching(message) }),
    );
    expect(() => openSafetensors(path)).toThrow(path);
  });

  it.each([
    ["a file in another folder", '{"weight_map":{"t":"../x.safetensors"}}', "format"],
    ["an absolute path", '{"weight_map":{"t":"/etc/passwd"}}', "format"],
    ["a missing file", '{"weight_map":{"t":"none.safetensors"}}', "io"],
    ["no weight_map", '{"metadata":{}}', "format"],
    ["a tensor that is not where it should be", '{"weight_map":{"none":"one.safetensors"}}', "format"],
    ["no JSON", "weight_map", "format"],
  ])("an index with %s", async (_, text, code) => {
    await writeSafetensors(join(folder, "one.safetensors"), []);
    const index = join(folder, "bad.index.json");
    writeFileSync(index, text);
    expect(() => openSafetensors(index)).toThrow(expect.objectContaining({ code }));
  });

  it("passes over fields that it does not know", () => {
    write(t(`"extra":{"a":[1,-2.5e3,null,true,false,"x",{"a":1}],"b":{}},${f32}`));
    expect(openSafetensors(path).entry("t").byteLength).toBe(8);
  });

  it("says that 8-bit floats cannot be decoded, and lists them", () => {
    write(t('"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]'));
    const entry = openSafetensors(path).entry("t");
    expect(entry).toMatchObject({ dtype: "F8_E4M3", shape: [8], byteLength: 8 });
    expect(() => entry.values()).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringMatching(/t is of dtype F8_E4M3/) }),
    );
  });
});

it("decodes BF16 as the upper half of float32", async () => {
  const values = Float32Array.of(1, -2, 0.5, Number.POSITIVE_INFINITY, 3.140625, 0, 2 ** -133);
  const halves = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);
  await writeSafetensors(path, [{ name: "t", dtype: "BF16", shape: [7], data: new Uint8Array(halves.buffer) }]);
  expect(openSafetensors(path).entry("t").values()).toEqual(values);
});
