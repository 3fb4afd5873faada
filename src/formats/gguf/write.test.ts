import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { tensorChunks } from "../../convert/copy.ts";
import { readTensor } from "../../tensor/tensor.ts";
import { tensorTypes } from "../../tensor/types.ts";
import type { GgufArray, GgufValue } from "./encode.ts";
import { openGguf } from "./file.ts";
import { type TensorToWrite, writeGguf } from "./write.ts";

const vectors = new URL("../../../test/vectors/formats/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "grok1-gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "file.gguf");

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("writeGguf", () => {
  it.each(["all.gguf", "aligned.gguf", "version2.gguf"])(
    "gives the bytes of the Python package's %s again",
    async (name) => {
      const file = openGguf(vectors + name);
      await writeGguf(path, {
        metadata: [...file.metadata.keys()].map((key) => [key, file.metadata.encoded(key)] as const),
        tensors: [...file.tensors.values()].map((tensor) => ({ ...tensor, data: () => tensorChunks(tensor, 100) })),
      });
      const expected = readFileSync(vectors + name);
      expected[4] = 3;
      expect(Buffer.compare(readFileSync(path), expected)).toBe(0);
    },
  );

  it("round trips any metadata and tensors, to the byte", async () => {
    const number = {
      u8: fc.nat(255),
      i8: fc.integer({ min: -128, max: 127 }),
      u16: fc.nat(65535),
      i16: fc.integer({ min: -32768, max: 32767 }),
      u32: fc.nat(2 ** 31 - 1),
      i32: fc.integer(),
      f32: fc.float(),
      f64: fc.double(),
      u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      i64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    };
    const text = fc.oneof(fc.string({ unit: "binary" }), fc.uint8Array({ maxLength: 20 }));
    const numbers = Object.entries(number).map(([items, value]) =>
      fc.record({ type: fc.constant("array"), items: fc.constant(items), value: fc.array<unknown>(value) }),
    );
    const flat = [
      ...numbers,
      fc.record({ type: fc.constant("array"), items: fc.constant("bool"), value: fc.array(fc.boolean()) }),
      fc.record({ type: fc.constant("array"), items: fc.constant("string"), value: fc.array(text) }),
    ];
    const nested = fc.record({
      type: fc.constant("array"),
      items: fc.constant("array"),
      value: fc.array(fc.oneof(...flat), { maxLength: 4 }),
    });
    const value = fc.oneof(
      ...Object.entries(number).map(([type, v]) =>
        fc.record({ type: fc.constant(type), value: v as fc.Arbitrary<unknown> }),
      ),
      fc.record({ type: fc.constant("bool"), value: fc.boolean() }),
      fc.record({ type: fc.constant("string"), value: text }),
      ...flat,
      nested,
    ) as unknown as fc.Arbitrary<GgufValue>;
    const key = fc.stringMatching(/^[a-z_.0-9]{1,40}$/);
    const tensor = fc.record({
      name: fc.string({ minLength: 1, maxLength: 16, unit: "grapheme-ascii" }),
      type: fc.constantFrom("f32", "f16", "q4_0", "q8_0", "i8", "i64"),
      axes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 0, maxLength: 3 }),
      row: fc.integer({ min: 1, max: 3 }),
      fill: fc.nat(255),
    });
    const model = fc.record({
      metadata: fc.uniqueArray(fc.tuple(key, value), { selector: ([k]) => k, maxLength: 8 }),
      tensors: fc.uniqueArray(tensor, { selector: (t) => t.name, maxLength: 6 }),
      alignment: fc.constantFrom(8, 32, 64, 4096),
    });

    await fc.assert(
      fc.asyncProperty(model, async ({ metadata, tensors, alignment }) => {
        const entries = [
          ...metadata.filter(([k]) => k !== "general.alignment"),
          ["general.alignment", { type: "u32", value: alignment }] as const,
        ];
        const written = tensors.map(({ name, type, axes, row, fill }) => {
          const { blockSize, blockBytes } = tensorTypes[type];
          const shape = [...axes, row * blockSize];
          const bytes = Uint8Array.from({ length: axes.reduce((a, b) => a * b, row) * blockBytes }, (_, i) => i + fill);
          return { name, type, shape, bytes, data: () => [bytes.subarray(0, 5), bytes.subarray(5)] };
        });
        await writeGguf(path, { metadata: entries, tensors: written });
        const file = openGguf(path);
        expect([...file.metadata.keys()]).toEqual(entries.map(([k]) => k));
        for (const [k, v] of entries) expect(normal(file.metadata.get(k))).toEqual(normal(v));
        expect([...file.tensors.keys()]).toEqual(written.map((t) => t.name));
        for (const { name, shape, bytes } of written) {
          expect(file.tensor(name).shape).toEqual(shape);
          expect(file.tensor(name).offset % alignment).toBe(0);
          expect(hex(readTensor(file.tensor(name), 0, shape[0]!))).toBe(hex(bytes));
        }
        const once = readFileSync(path);
        await writeGguf(path, {
          metadata: [...file.metadata.keys()].map((k) => [k, file.metadata.encoded(k)] as const),
          tensors: [...file.tensors.values()].map((t) => ({ ...t, data: () => tensorChunks(t) })),
        });
        expect(Buffer.compare(readFileSync(path), once)).toBe(0);
        file.close();
      }),
      { numRuns: 60 },
    );
  });

  const one: TensorToWrite = { name: "t", type: "f32", shape: [2], data: () => [new Uint8Array(8)] };
  const refused: [string, [string, GgufValue][], TensorToWrite[]][] = [
    [
      "a key twice",
      [
        ["a", { type: "u8", value: 1 }],
        ["a", { type: "u8", value: 1 }],
      ],
      [],
    ],
    ["a key that is not ASCII", [["größe", { type: "u8", value: 1 }]], []],
    ["a number out of range", [["a", { type: "u8", value: 256 }]], []],
    ["a fraction", [["a", { type: "i32", value: 1.5 }]], []],
    ["an alignment of 24", [["general.alignment", { type: "u32", value: 24 }]], []],
    ["a tensor twice", [], [one, one]],
    ["a name of 65 bytes", [], [{ ...one, name: "x".repeat(65) }]],
    ["an axis of -1", [], [{ ...one, shape: [-1] }]],
    ["five axes", [], [{ ...one, shape: [1, 1, 1, 1, 2] }]],
    ["half a block", [], [{ ...one, type: "q4_0", shape: [48] }]],
    ["too little data", [], [{ ...one, data: () => [new Uint8Array(7)] }]],
    ["too much data", [], [{ ...one, data: () => [new Uint8Array(8), new Uint8Array(1)] }]],
  ];
  it.each(refused)("refuses %s", async (_, metadata, tensors) => {
    const target = join(folder, "refused.gguf");
    await expect(writeGguf(target, { metadata, tensors })).rejects.toMatchObject({ code: "argument" });
    expect(() => readFileSync(target)).toThrow("ENOENT");
  });
});

/** A value as plain arrays, so that what was given and what was read compare; bytes that are not UTF-8 as they decode. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array && !(value instanceof Buffer)) return [...value].map(normal);
  if (typeof value === "object" && value !== null && "type" in value) {
    const { type, items, value: inner } = value as { type: string; items?: string; value: unknown };
    if (type === "string") return decoded(inner);
    if (items === "string") return (inner as unknown[]).map(decoded);
    if (type === "array") return Array.from((value as GgufArray).value as ArrayLike<unknown>, normal);
    return normal(inner);
  }
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, normal);
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  return value;
}

function decoded(text: unknown): string {
  return Buffer.from(text as string).toString("utf8");
}
