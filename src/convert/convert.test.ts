import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { writeGguf } from "../formats/gguf/write.ts";
import { decodeRow, encodeRow } from "../tensor/decode.ts";
import { elementCount, placesOf, readTensor, type Tensor } from "../tensor/tensor.ts";
import type { TensorType } from "../tensor/types.ts";
import { convertModel, planConversion } from "./convert.ts";

const models = join(import.meta.dirname, "../../test/vectors/models");
const folder = mkdtempSync(join(tmpdir(), "grok1-convert-"));
afterAll(() => rmSync(folder, { recursive: true }));

const bytesOf = (tensor: Tensor) => readTensor(tensor, 0, tensor.shape[0] ?? 1);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

function valuesOf(tensor: Tensor): Float32Array {
  const values = new Float32Array(elementCount(tensor.shape));
  decodeRow(tensor.type, bytesOf(tensor), values);
  return values;
}

describe("experts in a tensor each, as files from before stacks have them", () => {
  /** The model with its experts taken out of their stacks, the last first. */
  async function unstack(name: string, change: (tensors: Tensor[]) => Tensor[] = (tensors) => tensors) {
    const file = openGguf(join(models, `${name}.gguf`));
    const path = join(folder, `${name}-parts.gguf`);
    const tensors = [...file.tensors.values()].flatMap((tensor) => {
      if (!tensor.name.includes("_exps")) return [tensor];
      const { name: stack, shape } = tensor;
      const part = (e: number) => {
        const places = placesOf(tensor, e, e + 1);
        return { ...tensor, name: stack.replace("_exps.", `.${e}.`), shape: shape.slice(1), places };
      };
      return Array.from({ length: shape[0]! }, (_, e) => part(shape[0]! - 1 - e));
    });
    await writeGguf(path, {
      metadata: [...file.metadata.keys()].map((key) => [key, file.metadata.encoded(key)] as const),
      tensors: change(tensors).map((tensor) => ({
        ...{ name: tensor.name, shape: tensor.shape, type: tensor.type },
        data: () => [bytesOf(tensor)],
      })),
    });
    file.close();
    return path;
  }

  it.each(["grok-1", "mixtral"])("%s: become stacks again, to the byte", async (name) => {
    const source = await unstack(name);
    const out = join(folder, `${name}-stacked.gguf`);
    await convertModel({ source, out, type: "keep" });
    const [expected, found] = [openGguf(join(models, `${name}.gguf`)), openGguf(out)];
    expect([...found.tensors.keys()]).toEqual([...expected.tensors.keys()]);
    for (const [key, tensor] of found.tensors) {
      if (!key.includes("_exps")) continue;
      const { shape, type } = expected.tensor(key);
      expect([key, tensor.type, tensor.shape]).toEqual([key, type, shape]);
      expect([key, Buffer.compare(bytesOf(tensor), bytesOf(expected.tensor(key)))]).toEqual([key, 0]);
    }
    expected.close();
    found.close();
  });

  it("are refused where one is missing, of another shape, or in a stack too", async () => {
    const part = "blk.0.ffn_up.1.weight";
    const last = "blk.0.ffn_up.5.weight";
    const named = (tensors: Tensor[]) => tensors.find(({ name }) => name === part)!;
    const out = join(folder, "refused.gguf");
    const cases: [(tensors: Tensor[]) => Tensor[], string][] = [
      [(tensors) => tensors.filter(({ name }) => name !== part), `tensor ${part} is missing`],
      [(tensors) => tensors.filter(({ name }) => name !== last), `tensor ${last} is missing`],
      [
        (tensors) =>
          tensors.map((tensor) => (tensor.name === part ? { ...tensor, shape: tensor.shape.toReversed() } : tensor)),
        `tensor ${part} has shape`,
      ],
      [
        (tensors) => [...tensors, { ...named(tensors), name: "blk.0.ffn_up_exps.weight" }],
        "tensor blk.0.ffn_up_exps.weight is there, and",
      ],
    ];
    for (const [change, problem] of cases) {
      const source = await unstack("mixtral", change);
      await expect(convertModel({ source, out, type: "keep" })).rejects.toThrow(problem);
    }
  });
});

describe.each(["grok-1", "grok-2", "mixtral"])("%s converted", (name) => {
  const source = join(models, `${name}.gguf`);

  it.each(["f32", "bf16", "q8_0", "q4_k"] as const)(
    "holds the source's values in %s, and what else it says",
    async (type) => {
      const out = join(folder, `${name}-${type}.gguf`);
      const result = await convertModel({ source, out, type });
      const [before, after] = [openGguf(source), openGguf(out)];
      expect([...after.tensors.keys()]).toEqual([...before.tensors.keys()]);
      for (const [key, tensor] of after.tensors) {
        const from = before.tensor(key);
        expect(tensor.shape).toEqual(from.shape);
        const plain = key.endsWith("ffn_gate_inp.weight") || tensor.shape.length === 1;
        const fits: TensorType = type === "q4_k" && tensor.shape.at(-1)! % 256 !== 0 ? "q5_0" : type;
        const wanted = plain ? "f32" : tensor.shape.at(-1)! % 32 !== 0 && type.startsWith("q") ? "f16" : fits;
        expect([key, tensor.type]).toEqual([key, wanted]);
        const expected = wanted === from.type ? bytesOf(from) : encodeRow(wanted, valuesOf(from));
        expect(Buffer.compare(bytesOf(tensor), expected)).toBe(0);
      }
      const told = (file: typeof after) =>
        [...file.metadata.keys()].filter((key) => !/file_type|quantization_v/.test(key));
      expect(told(after).sort()).toEqual(told(before).sort());
      for (const key of told(after)) expect(after.metadata.get(key)).toEqual(before.metadata.get(key));
      expect(after.metadata.number("general.file_type")).toBe({ f32: 0, bf16: 32, q8_0: 7, q4_k: 15 }[type]);
      expect(result.bytes).toBe(after.size);
      expect(planConversion({ source, type })).toMatchObject({ tensors: result.tensors, bytes: result.bytes });
      before.close();
      after.close();
    },
  );

  it("kept as it is has the same tensors to the byte", async () => {
    const out = join(folder, `${name}-keep.gguf`);
    await convertModel({ source, out, type: "keep" });
    const [before, after] = [openGguf(source), openGguf(out)];
    for (const [key, tensor] of before.tensors) {
      const now = after.tensor(key);
      expect(now.type === "f32" || now.type === tensor.type).toBe(true);
      if (now.type === tensor.type) expect(Buffer.compare(bytesOf(now), bytesOf(tensor))).toBe(0);
      else expect(Buffer.compare(bytesOf(now), Buffer.from(valuesOf(tensor).buffer))).toBe(0);
    }
    before.close();
    after.close();
  });
});

describe("converting", () => {
  const source = join(models, "grok-1.gguf");

  it("writes hashes beside the file: of the whole, and of each tensor", async () => {
    const out = join(folder, "hashed.gguf");
    const { sha256: told } = await convertModel({ source, out, type: "q8_0" });
    expect(told).toBe(sha256(readFileSync(out)));
    expect(readFileSync(`${out}.sha256`, "utf8")).toBe(`${told}  hashed.gguf\n`);
    const manifest = JSON.parse(readFileSync(`${out}.manifest.json`, "utf8"));
    const file = openGguf(out);
    expect(manifest).toMatchObject({ file: "hashed.gguf", size: file.size, sha256: told });
    expect(manifest.tensors).toEqual(
      [...file.tensors.values()].map((tensor) => ({
        ...{ name: tensor.name, type: tensor.type, shape: tensor.shape },
        ...{ offset: tensor.offset, bytes: tensor.byteLength, sha256: sha256(bytesOf(tensor)) },
      })),
    );
    file.close();
  });

  it("is continued after an interruption, to the same bytes, and begins anew when source or type changed", async () => {
    const copy = join(folder, "source.gguf");
    copyFileSync(source, copy);
    const whole = await convertModel({ source: copy, out: join(folder, "whole.gguf"), type: "q8_0" });
    const out = join(folder, "interrupted.gguf");
    /** Runs up to a tensor; how many tensors an earlier run had written. */
    const run = async (type: string, until = Number.POSITIVE_INFINITY) => {
      const controller = new AbortController();
      const onProgress = ({ index }: { index: number }) => index >= until && controller.abort();
      const running = convertModel({ source: copy, out, type, signal: controller.signal, onProgress });
      return running.catch((error: { code: string }) => expect(error.code).toBe("cancelled"));
    };
    await run("q8_0", 9);
    expect(existsSync(out)).toBe(false);
    expect(await run("q8_0")).toMatchObject({ sha256: whole.sha256, kept: 10 });
    await run("q8_0", 9);
    expect(await run("q4_0")).toMatchObject({ kept: 0 });
    await run("q8_0", 9);
    utimesSync(copy, new Date(), new Date(2020, 1, 1));
    expect(await run("q8_0")).toMatchObject({ sha256: whole.sha256, kept: 0 });
    expect(readdirSync(folder).filter((name) => /partial|journal/.test(name))).toEqual([]);
  });

  it("refuses what it would write over, unknown types, and values that a type cannot hold", async () => {
    const out = join(folder, "refused.gguf");
    await expect(convertModel({ source, out: source, type: "f32" })).rejects.toMatchObject({ code: "argument" });
    await expect(convertModel({ source, out, type: "q9_9" })).rejects.toMatchObject({
      code: "argument",
      message: expect.stringMatching(/type is q9_9, expected one of keep, f32, .*q4_k/),
    });
    expect(() => planConversion({ source, type: "" })).toThrow(/type is empty/);
    const large = join(folder, "large.gguf");
    const values = new Float32Array(64).fill(1);
    values[37] = 7e4;
    const tensor = {
      name: "a.weight",
      type: "f32",
      shape: [2, 32],
      data: () => [new Uint8Array(values.buffer)],
    } as const;
    const metadata = [["general.architecture", { type: "string", value: "llama" }]] as const;
    await writeGguf(large, { metadata, tensors: [tensor] });
    for (const type of ["f16", "q8_0", "q4_0"]) {
      await expect(convertModel({ source: large, out, type })).rejects.toMatchObject({
        code: "argument",
        message: expect.stringMatching(/tensor a\.weight: the value at \[1, 5\] is 70000: type/),
      });
    }
    expect(existsSync(out)).toBe(false);
    expect((await convertModel({ source: large, out, type: "bf16" })).tensors).toHaveLength(1);
  });
});
