// Writes GGUF and safetensors files with grok1, and what is in them as JSON, for check_formats.py to read with the Python packages.
// Usage: node test/oracles/write_format_samples.mjs FOLDER   (after npm run build)
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeGguf } from "../../dist/formats/gguf/write.js";
import { writeSafetensors } from "../../dist/formats/safetensors/write.js";
import { tensorTypes } from "../../dist/tensor/types.js";

const folder = process.argv[2];
const bytesOf = (length, seed) => Uint8Array.from({ length }, (_, i) => (i * 37 + seed * 11) & 255);
const hex = (bytes) => Buffer.from(bytes).toString("hex");

const metadata = [
  ["general.architecture", { type: "string", value: "test" }],
  ["general.alignment", { type: "u32", value: 64 }],
  ["s.u8", { type: "u8", value: 200 }],
  ["s.i8", { type: "i8", value: -100 }],
  ["s.u16", { type: "u16", value: 60000 }],
  ["s.i16", { type: "i16", value: -30000 }],
  ["s.u32", { type: "u32", value: 4e9 }],
  ["s.i32", { type: "i32", value: -2e9 }],
  ["s.f32", { type: "f32", value: 0.25 }],
  ["s.f64", { type: "f64", value: 0.1 }],
  ["s.u64", { type: "u64", value: 2 ** 53 - 1 }],
  ["s.i64", { type: "i64", value: -(2 ** 53 - 1) }],
  ["s.bool", { type: "bool", value: true }],
  ["s.string", { type: "string", value: "größe 🐉" }],
  ["a.strings", { type: "array", items: "string", value: ["a", "", "日本"] }],
  ["a.i32", { type: "array", items: "i32", value: [1, -2, 3] }],
  ["a.f32", { type: "array", items: "f32", value: [0.5, -0.5] }],
  ["a.bool", { type: "array", items: "bool", value: [true, false] }],
  ["a.u64", { type: "array", items: "u64", value: [1, 2 ** 53 - 1] }],
];
// Rows of two blocks of every type, but for q8_1, which is not stored in files: the package counts 40 bytes a block, ggml 36.
const types = Object.entries(tensorTypes).filter(([type]) => type !== "q8_1");
const tensors = types.map(([type, { blockSize, blockBytes }], i) => ({
  name: `t.${type}`,
  type,
  shape: [2, 3, 2 * blockSize],
  bytes: bytesOf(2 * 3 * 2 * blockBytes, i),
}));
await writeGguf(join(folder, "sample.gguf"), {
  metadata,
  tensors: tensors.map((t) => ({ ...t, data: () => [t.bytes.subarray(0, 9), t.bytes.subarray(9)] })),
});

const widths = { BOOL: 1, U8: 1, I8: 1, I16: 2, U16: 2, F16: 2, I32: 4, U32: 4, F32: 4, F64: 8, I64: 8, U64: 8 };
const entries = Object.entries(widths).map(([dtype, width], i) => ({
  name: `größe "${dtype}"`,
  dtype,
  shape: [3, 5],
  data: dtype === "BOOL" ? bytesOf(15, i).map((b) => b & 1) : bytesOf(15 * width, i),
}));
entries.push({ name: "scalar", dtype: "F32", shape: [], data: bytesOf(4, 1) });
entries.push({ name: "empty", dtype: "F32", shape: [0, 4], data: new Uint8Array(0) });
await writeSafetensors(join(folder, "sample.safetensors"), entries, { made: "by grok1", line: "a\nb" });

writeFileSync(
  join(folder, "expected.json"),
  JSON.stringify({
    metadata: Object.fromEntries(metadata.map(([key, { value }]) => [key, value])),
    gguf: tensors.map(({ name, type, shape, bytes }) => ({
      name,
      ggml: tensorTypes[type].ggml,
      shape,
      hex: hex(bytes),
    })),
    safetensors: entries.map(({ name, shape, data }) => ({ name, shape, hex: hex(data) })),
  }),
);
