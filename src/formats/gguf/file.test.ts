import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { processorSeconds } from "../../../test/support/time.ts";
import { tensorChunks } from "../../convert/copy.ts";
import { matrixPlaces, readTensor } from "../../tensor/tensor.ts";
import type { GgufValue } from "./encode.ts";
import { openGguf } from "./file.ts";
import { fileChunks, type TensorToWrite, writeGguf } from "./write.ts";

const vectors = new URL("../../../test/vectors/formats/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "grok1-gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "file.gguf");

interface Expected {
  name: string;
  ggml: number;
  shape: number[];
  hex: string;
}
/** What the Python package's reader finds in each file. */
const found: Record<string, Expected[]> = JSON.parse(readFileSync(`${vectors}gguf.json`, "utf8"));

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("files of the Python gguf package", () => {
  it.each(["all.gguf", "version2.gguf", "aligned.gguf"])("%s", (name) => {
    const file = openGguf(vectors + name);
    expect(file.version).toBe(name === "version2.gguf" ? 2 : 3);
    expect(file.alignment).toBe(name === "aligned.gguf" ? 64 : 32);
    expect(
      [...file.tensors.values()].map((t) => ({
        name: t.name,
        ggml: t.ggml,
        shape: t.shape,
        hex: hex(readTensor(t, 0, t.shape[0]!)),
      })),
    ).toEqual(found[name]);

    const { metadata } = file;
    expect(metadata.string("general.architecture")).toBe("test");
    const values = Object.fromEntries(
      [...metadata.keys()].filter((k) => k.startsWith("test.")).map((k) => [k.slice(5), metadata.get(k)]),
    );
    expect(values).toEqual({
      u8: 255,
      i8: -128,
      u16: 65535,
      i16: -32768,
      u32: 2 ** 32 - 1,
      i32: -(2 ** 31),
      f32: 1.5,
      yes: true,
      no: false,
      string: "größe 🐉 \u0000 end",
      u64: 2n ** 64n - 1n,
      u64_exact: 2 ** 53 - 1,
      i64: -(2n ** 63n),
      f64: 0.1,
      strings: ["a", "", "▁grok", "日本語"],
      ints: Int32Array.of(1, -2, 3),
      floats: Float32Array.of(0.5, -0.25),
      bools: [true, false, true],
      u64s: BigUint64Array.of(1n, 2n ** 64n - 1n),
      u8s: Uint8Array.of(0, 128, 255),
      nested: [Int32Array.of(1, 2), Int32Array.of(3)],
      bytes: ["ok", "\ufffd\ufffd", "\ufffd"],
    });
    expect(metadata.byteStrings("test.bytes").map(hex)).toEqual(["6f6b", "fffe", "c3"]);
    expect(hex(metadata.bytes("general.architecture"))).toBe(hex(Buffer.from("test")));
    expect(metadata.head("test.strings", 2)).toEqual(["a", ""]);
    expect(metadata.typeOf("test.nested")).toEqual({ type: "array", items: "array", count: 2 });
    file.close();
  });

  it.each([1, 2, 3])("a split model from its part %i", (part) => {
    const names = [1, 2, 3].map((n) => `split-0000${n}-of-00003.gguf`);
    const file = openGguf(vectors + names[part - 1]);
    expect(file.paths).toEqual(names.map((name) => vectors + name));
    const all = [...file.tensors.values()].map((t) => ({
      name: t.name,
      ggml: t.ggml,
      shape: t.shape,
      hex: hex(readTensor(t, 0, t.shape[0]!)),
    }));
    expect(all).toEqual(names.flatMap((name) => found[name]));
    expect(file.metadata.string("test.string")).toBe("of all");
    file.close();
  });

  it("gives entries of the outermost axis, and whole blocks of a single one", () => {
    const file = openGguf(`${vectors}all.gguf`);
    const stack = file.tensor("stack");
    const bytes = readTensor(stack, 0, 2);
    expect(hex(readTensor(stack, 1, 2))).toBe(hex(bytes.subarray(3 * 32 * 4)));
    expect(hex(Buffer.concat([...tensorChunks(stack, 400)]))).toBe(hex(bytes));
    for (const [start, end] of [
      [-1, 1],
      [1, 3],
      [2, 1],
      [0, 1.5],
    ]) {
      expect(() => readTensor(stack, start!, end!)).toThrow(
        expect.objectContaining({ code: "argument", message: expect.stringContaining("stack") }),
      );
    }
    file.close();
  });
});

describe("metadata getters", () => {
  const { metadata } = openGguf(`${vectors}all.gguf`);

  it("name file and key when a value is missing or of another kind", () => {
    const wrong: [string, () => unknown][] = [
      ["test.none", () => metadata.string("test.none")],
      ["test.none", () => metadata.head("test.none", 1)],
      ["test.u8", () => metadata.string("test.u8")],
      ["test.string", () => metadata.number("test.string")],
      ["test.u64", () => metadata.number("test.u64")],
      ["test.yes", () => metadata.number("test.yes")],
      ["test.u8", () => metadata.boolean("test.u8")],
      ["test.ints", () => metadata.strings("test.ints")],
      ["test.strings", () => metadata.numbers("test.strings")],
      ["test.u64s", () => metadata.numbers("test.u64s")],
      ["test.u8", () => metadata.numbers("test.u8")],
      ["test.ints", () => metadata.byteStrings("test.ints")],
      ["test.u8", () => metadata.string("test.u8", "fallback")],
    ];
    for (const [key, get] of wrong) {
      expect(get).toThrow(
        expect.objectContaining({ code: "format", message: expect.stringMatching(`all.gguf: metadata key ${key} `) }),
      );
    }
  });

  it("give the fallback only when the key is absent", () => {
    expect(metadata.number("test.none", 5)).toBe(5);
    expect(metadata.string("test.none", undefined)).toBeUndefined();
    expect(metadata.number("test.u8", 5)).toBe(255);
    expect(metadata.numbers("test.none", null)).toBeNull();
    expect(metadata.get("test.none")).toBeUndefined();
  });
});

describe("large files", () => {
  it("opens a vocabulary of 131,072 entries quickly and decodes it only when asked", async () => {
    const tokens = Array.from({ length: 131_072 }, (_, i) => `▁token${i}`);
    const metadata: [string, GgufValue][] = [
      ["tokenizer.ggml.tokens", { type: "array", items: "string", value: tokens }],
      ["tokenizer.ggml.scores", { type: "array", items: "f32", value: tokens.map((_, i) => -i) }],
    ];
    await writeGguf(path, { metadata, tensors: [] });
    const whole = processorSeconds(() => {
      const file = openGguf(path);
      expect(file.metadata.strings("tokenizer.ggml.tokens").at(-1)).toBe("▁token131071");
      file.close();
    }, 5);
    // Against nothing but making the strings, measured in the same run: about twice as long.
    const bytes = tokens.map((token) => Buffer.from(token));
    const alone = processorSeconds(() => void bytes.map((each) => each.toString("utf8")), 5);
    expect(whole).toBeLessThan(Math.max(0.1, 20 * alone));
  });

  it("reads only the header of a file of 40 GiB, and bytes from its far end", async () => {
    const experts = 20;
    const expertBytes = 2 ** 31;
    const shape = [experts, 2 ** 9, 2 ** 20];
    // The header as the writer makes it; the data is a hole in the file, which takes no disk.
    const header: Uint8Array[] = [];
    const last = Uint8Array.of(1, 2, 3, 4);
    const data = (): Generator<Uint8Array> => {
      throw new Error("the header is enough");
    };
    const tensors: TensorToWrite[] = [
      { name: "experts", type: "f32", shape, data },
      { name: "last", type: "i8", shape: [4], data },
    ];
    for await (const chunk of fileChunks({ metadata: [], tensors })) {
      header.push(Uint8Array.from(chunk));
      if (header.length === 2) break;
    }
    const handle = await open(path, "w");
    const start = header[0]!.length + header[1]!.length;
    await handle.write(Buffer.concat(header));
    await handle.write(last, 0, 4, start + experts * expertBytes);
    await handle.close();
    const file = openGguf(path);
    const stack = file.tensor("experts");
    expect(hex(readTensor(file.tensor("last"), 0, 4))).toBe("01020304");
    const far = matrixPlaces(stack)[19];
    expect(far).toMatchObject({ offset: start + 19 * expertBytes, bytes: expertBytes });
    expect(() => readTensor(stack, 0, 20)).toThrow(
      expect.objectContaining({ code: "capacity", message: expect.stringContaining(path) }),
    );
    file.close();
  });
});
