import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readTensor } from "../../tensor/tensor.ts";
import { createSink } from "./encode.ts";
import { openGguf } from "./file.ts";

const vectors = new URL("../../../test/vectors/formats/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "grok1-gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "file.gguf");

/** Builds files that the writer refuses to write. */
function raw(
  keys: [key: string, type: number, value: Uint8Array][],
  tensors: { name: string; dimensions: (number | bigint)[]; ggml: number; offset: number | bigint }[],
  dataBytes = 0,
  version = 3,
): string {
  const sink = createSink();
  sink.bytes(Buffer.from("GGUF"));
  sink.u32(version);
  sink.u64(tensors.length);
  sink.u64(keys.length);
  for (const [key, type, value] of keys) {
    sink.string(key);
    sink.u32(type);
    sink.bytes(value);
  }
  for (const { name, dimensions, ggml, offset } of tensors) {
    sink.string(name);
    sink.u32(dimensions.length);
    for (const n of dimensions) sink.u64(n);
    sink.u32(ggml);
    sink.u64(offset);
  }
  const header = sink.done();
  writeFileSync(path, Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), Buffer.alloc(dataBytes)]));
  return path;
}

describe("damaged and hostile files", () => {
  const u32 = (n: number) => Buffer.from(Uint32Array.of(n).buffer);
  const u64 = (n: bigint) => Buffer.from(BigUint64Array.of(n).buffer);
  const f32 = (name: string, dimensions: (number | bigint)[], offset: number | bigint = 0) => ({
    name,
    dimensions,
    ggml: 0,
    offset,
  });
  const deep = (levels: number) =>
    Buffer.concat([...Array.from({ length: levels }, () => Buffer.concat([u32(9), u64(1n)])), u32(0), u64(0n)]);

  const cases: [what: string, message: RegExp, make: () => string][] = [
    [
      "a key twice",
      /key a is there twice/,
      () =>
        raw(
          [
            ["a", 0, Buffer.of(1)],
            ["a", 0, Buffer.of(1)],
          ],
          [],
        ),
    ],
    ["an unknown value type", /value type 13/, () => raw([["a", 13, Buffer.of(1)]], [])],
    ["a bool of 2", /a bool is 2/, () => raw([["a", 7, Buffer.of(2)]], [])],
    ["an empty key", /has 0 bytes, expected 1/, () => raw([["", 0, Buffer.of(1)]], [])],
    [
      "an array longer than the file",
      /does not fit in the/,
      () => raw([["a", 9, Buffer.concat([u32(8), u64(1n << 62n)])]], []),
    ],
    ["a string longer than the file", /expected a string of/, () => raw([["a", 8, u64((1n << 64n) - 1n)]], [])],
    ["arrays nested too deep", /nested more than 8 deep/, () => raw([["a", 9, deep(20)]], [])],
    ["alignment 0", /general.alignment is 0/, () => raw([["general.alignment", 4, u32(0)]], [])],
    ["alignment 3", /general.alignment is 3/, () => raw([["general.alignment", 4, u32(3)]], [])],
    ["alignment of text", /general.alignment is string/, () => raw([["general.alignment", 8, u64(0n)]], [])],
    ["a tensor twice", /tensor t is there twice/, () => raw([], [f32("t", [8]), f32("t", [8], 32)], 64)],
    ["five dimensions", /has 5 dimensions/, () => raw([], [f32("t", [1, 1, 1, 1, 1])], 64)],
    ["a length past 2^53 of nothing", /more than 2\^53/, () => raw([], [f32("t", [0, 1n << 62n])], 64)],
    ["a product past 2^53", /more than 2\^53/, () => raw([], [f32("t", [1n << 32n, 1n << 32n, 1n << 32n])], 64)],
    ["a product of 2^64", /more than 2\^53/, () => raw([], [f32("t", [1n << 63n, 2])], 64)],
    ["data past the end", /takes bytes .* of a file of/, () => raw([], [f32("t", [17])], 64)],
    ["an offset past the end", /takes bytes .* of a file of/, () => raw([], [f32("t", [8], 1n << 40n)], 64)],
    ["an offset of 2^64 - 32", /takes bytes .* of a file of/, () => raw([], [f32("t", [8], (1n << 64n) - 32n)], 64)],
    ["a misaligned offset", /expected a multiple of 32/, () => raw([], [f32("t", [8], 8)], 64)],
    ["overlap", /inside tensor t/, () => raw([], [f32("t", [16]), f32("u", [8], 32)], 96)],
    ["half a block", /whole blocks of 32/, () => raw([], [{ name: "t", dimensions: [48], ggml: 2, offset: 0 }], 64)],
  ];
  it.each(cases)("%s", (_, message, make) => {
    const made = make();
    expect(() => openGguf(made)).toThrow(
      expect.objectContaining({ code: "format", message: expect.stringMatching(message) }),
    );
    expect(() => openGguf(made)).toThrow(made);
  });

  it.each([
    ["version 1", 1, /GGUF version 1;/],
    ["version 4", 4, /GGUF version 4;/],
    ["big-endian", 0x03000000, /big-endian/],
  ])("%s is unsupported", (_, version, message) => {
    expect(() => openGguf(raw([], [], 0, version))).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringMatching(message) }),
    );
  });

  it("says what a file that is not GGUF looks like", () => {
    writeFileSync(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    expect(() => openGguf(path)).toThrow("Git LFS pointer");
    writeFileSync(path, "{}");
    expect(() => openGguf(path)).toThrow("only 2 bytes");
    for (const [begins, what] of [
      ["PK\u0003\u0004 archive", "an archive, as PyTorch writes weights: llama.cpp's convert_hf_to_gguf.py"],
      ["\x80\x02}q\x00", "a Python pickle"],
      ["\x40\0\0\0\0\0\0\0{}", "a safetensors file: `grok1 convert` makes"],
      ['{"architectures": []}', "JSON"],
      ["tjgg\x01\0\0\0", "from before GGUF"],
      ["GIF89a", 'it begins with "GIF8"'],
    ] as const) {
      writeFileSync(path, begins, "latin1");
      expect(() => openGguf(path)).toThrow(what);
      expect(() => openGguf(path)).toThrow('expected "GGUF"');
    }
  });

  it("says what a folder holds, where it is given in place of a file", () => {
    for (const [name, what] of [
      ["model-00001-of-00002.safetensors", "it holds a model as safetensors: `grok1 convert`"],
      ["pytorch_model.bin", "as Python pickles"],
      ["ckpt-0", "as xAI published it"],
      ["small.gguf", "name a file in it, such as small.gguf"],
    ] as const) {
      const place = join(path, "..", `folder of ${name}`);
      mkdirSync(place);
      writeFileSync(join(place, name), "");
      expect(() => openGguf(place)).toThrow(what);
      expect(() => openGguf(place)).toThrow("cannot open: it is a folder: ");
    }
    expect(() => openGguf(join(path, ".."))).toThrow("it is a folder");
  });

  it("accepts the alignments that either the specification or GGML allows", () => {
    for (const alignment of [1, 2, 4, 16, 24, 32, 1024])
      expect(openGguf(raw([["general.alignment", 4, u32(alignment)]], [])).alignment).toBe(alignment);
  });

  it("lists a tensor without elements, wherever it says that it begins", () => {
    const file = openGguf(
      raw([], [f32("some", [8]), f32("none", [8, 0]), f32("nothing", [0], 32), f32("more", [8], 32)], 64),
    );
    expect([...file.tensors.values()].map(({ name, shape }) => [name, shape])).toEqual([
      ["some", [8]],
      ["none", [0, 8]],
      ["nothing", [0]],
      ["more", [8]],
    ]);
    expect(readTensor(file.tensor("none"), 0, 0)).toEqual(new Uint8Array(0));
    file.close();
  });

  it("lists a tensor of unknown type, and names it when it is used", () => {
    const file = openGguf(
      raw([], [f32("known", [8]), { name: "removed", dimensions: [32, 2], ggml: 31, offset: 32 }], 96),
    );
    expect(file.opaque.get("removed")).toMatchObject({ shape: [2, 32], ggml: 31, typeName: "q4_0_4_4" });
    expect(file.tensors.size).toBe(1);
    expect(() => file.tensor("removed")).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringMatching(/removed.*q4_0_4_4/) }),
    );
    expect(() => file.tensor("none")).toThrow(
      expect.objectContaining({ code: "shape", message: expect.stringContaining("none is missing") }),
    );
  });

  it("reports a split model's missing, renamed, and mixed-up parts", () => {
    const names = [1, 2, 3].map((n) => `split-0000${n}-of-00003.gguf`);
    const copies = names.map((name) => join(folder, name));
    copyFileSync(vectors + names[0], copies[0]!);
    expect(() => openGguf(copies[0]!)).toThrow(
      expect.objectContaining({ code: "io", message: expect.stringContaining(names[1]!) }),
    );
    copyFileSync(vectors + names[2], copies[1]!);
    expect(() => openGguf(copies[0]!)).toThrow(/says it is part 2 of 3 .*expected 1 of 3/);
    copyFileSync(vectors + names[0], join(folder, "renamed.gguf"));
    expect(() => openGguf(join(folder, "renamed.gguf"))).toThrow("-00001-of-00003.gguf");
  });
});
