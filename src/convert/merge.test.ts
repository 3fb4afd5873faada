import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { type TensorToWrite, writeGguf } from "../formats/gguf/write.ts";
import { relativeError } from "../kernels/oracle.case.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { readConfig } from "../model/config.ts";
import { adaptOps } from "../model/lora/apply.ts";
import { makeAdapter, noise } from "../model/lora/lora.case.ts";
import { type LoraModule, listModules } from "../model/lora/modules.ts";
import { readAdapter } from "../model/lora/read.ts";
import { writeAdapter } from "../model/lora/write.ts";
import { bindModel } from "../model/registry.ts";
import { runTokens } from "../model/run.case.ts";
import { decodeRow, encodeRow } from "../tensor/decode.ts";
import { elementCount, readPlace, readTensor } from "../tensor/tensor.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";
import { merge } from "./merge.ts";

const models = join(import.meta.dirname, "../../test/vectors/models");
const folder = mkdtempSync(join(tmpdir(), "grok1-merge-"));
afterAll(() => rmSync(folder, { recursive: true }));
const tokens = Int32Array.of(4, 18, 9, 33, 2, 57);

async function make(name: string) {
  const model = join(models, `${name}.gguf`);
  const file = openGguf(model);
  const adapter = join(folder, name);
  const { terms } = makeAdapter(listModules(file), { rank: 4, alpha: 8, size: 0.1 });
  await writeAdapter(adapter, { terms, rank: 4, alpha: 8, base: model, headSize: readConfig(file).headSize });
  return { model, file, adapter };
}

describe.each(["grok-1", "grok-2", "llama", "mixtral"])("%s merged", (name) => {
  it("computes what the base with its adapter does, within its type", async () => {
    const { model, file, adapter } = await make(name);
    const ops = createReference();
    const adapted = adaptOps(ops);
    const use = [[{ adapter: adapted.bind(readAdapter(adapter, file)), scale: 0.5 }]];
    const rows = Int32Array.from(tokens, (_, i) => i);
    const bound = bindModel(adapted.ops, file);
    adapted.follow(() => use);
    const cache = bound.kvCache({ pages: 1, pageTokens: 16, type: "f32" });
    const sequences = [{ start: 0, count: tokens.length, pages: Int32Array.of(0) }];
    const logits = await bound.forward({ tokens, positions: rows, sequences, outputs: rows }, cache);
    const expected = Float64Array.from(await ops.read(logits));
    const before = createHash("sha256").update(readFileSync(model)).digest("hex");
    for (const [type, most] of [
      ["f32", 1e-6],
      ["f16", 1e-3],
      ["keep", 0.1],
    ] as const) {
      const out = join(folder, `${name}-${type}.gguf`);
      const result = await merge({ model, out, adapters: [{ path: adapter, scale: 0.5 }], type });
      expect(result.changed.length + result.copied).toBe(file.tensors.size);
      const merged = openGguf(out);
      const { logits: found } = await runTokens(ops, merged, tokens);
      expect(relativeError(Float64Array.from(found), expected)).toBeLessThan(most);
      for (const [key, tensor] of file.tensors) {
        const changed = result.changed.find((each) => each.name === key);
        expect(merged.tensor(key).type).toBe(changed === undefined ? tensor.type : changed.to);
        if (changed !== undefined) continue;
        const end = tensor.shape[0]!;
        expect(Buffer.compare(readTensor(merged.tensor(key), 0, end), readTensor(tensor, 0, end))).toBe(0);
      }
      expect([...merged.metadata.keys()]).toEqual([...file.metadata.keys()]);
      merged.close();
    }
    expect(createHash("sha256").update(readFileSync(model)).digest("hex")).toBe(before);
    ops.close();
    file.close();
  });
});

describe("merging", () => {
  it("refuses to write over the base, and leaves nothing when it fails", async () => {
    const { model, file, adapter } = await make("llama");
    file.close();
    const adapters = [{ path: adapter }];
    await expect(merge({ model, out: model, adapters })).rejects.toMatchObject({ code: "argument" });
    const before = readdirSync(folder).sort();
    const signal = AbortSignal.abort();
    await expect(merge({ model, out: join(folder, "cut.gguf"), adapters, signal })).rejects.toMatchObject({
      code: "cancelled",
    });
    await expect(
      merge({ model, out: join(folder, "other.gguf"), adapters: [{ path: join(folder, "mixtral") }] }),
    ).rejects.toMatchObject({ code: "shape" });
    expect(readdirSync(folder).sort()).toEqual(before);
  });

  /** A base whose matrices are of one type, or hold what `change` makes of a tensor. */
  async function recode(name: string, type: TensorType, more: readonly TensorToWrite[] = []) {
    const file = openGguf(join(models, `${name}.gguf`));
    const path = join(folder, `${name}-in-${type}-${more.length}.gguf`);
    const metadata = [...file.metadata.keys()].map((key) => [key, file.metadata.encoded(key)] as const);
    const tensors = [...file.tensors.values()].map(({ name: key, shape, type: from, ...tensor }): TensorToWrite => {
      const into = shape.length > 1 && shape.at(-1)! % tensorTypes[type].blockSize === 0 ? type : "f32";
      const values = new Float32Array(elementCount(shape));
      decodeRow(from, readTensor({ name: key, shape, type: from, ...tensor }, 0, shape[0]!), values);
      return { name: key, shape, type: into, data: () => [encodeRow(into, values)] };
    });
    await writeGguf(path, { metadata, tensors: [...tensors, ...more] });
    file.close();
    return path;
  }
  async function adapterOf(name: string, size: number, wanted?: (module: LoraModule) => boolean) {
    const file = openGguf(join(models, `${name}.gguf`));
    const path = join(folder, `${name}-${size}-${wanted === undefined}`);
    const { terms } = makeAdapter(listModules(file), { rank: 4, alpha: 4, size, ...(wanted && { wanted }) });
    await writeAdapter(path, { terms, rank: 4, alpha: 4, base: "", headSize: readConfig(file).headSize });
    file.close();
    return path;
  }
  const out = join(folder, "merged.gguf");

  it.each([
    ["llama", "q4_0"],
    ["mixtral", "q4_1"],
    ["grok-1", "q4_0"],
    ["llama", "bf16"],
  ] as const)(
    "keeps a small update on a base of %s in %s, and says where a type that was asked for does not",
    async (name, type) => {
      const base = await recode(name, type);
      const adapters = [{ path: await adapterOf(name, type === "bf16" ? 0.002 : 0.05) }];
      const kept = await merge({ model: base, out, adapters });
      expect(kept.changed.length).toBeGreaterThan(8);
      for (const { kept: share, good } of kept.changed) {
        expect(good).toBe(true);
        expect(share.update).toBeGreaterThanOrEqual(0.95);
      }
      expect(kept.changed.some(({ from, to }) => from !== to)).toBe(true);
      const insisted = await merge({ model: base, out, adapters, type });
      expect(insisted.changed.every(({ to }) => to === type)).toBe(true);
      const bad = insisted.changed.filter(({ good }) => !good);
      expect(bad.length).toBeGreaterThan(0);
      // A second merge, on the first one's result, is held to the same.
      const again = await merge({ model: out, out: join(folder, "again.gguf"), adapters });
      expect(again.changed.every(({ good }) => good)).toBe(true);
    },
  );

  it("refuses a type that cannot hold the sums, naming the tensor, and takes one that can", async () => {
    const adapters = [{ path: await adapterOf("llama", 200) }];
    const base = join(models, "llama.gguf");
    for (const type of ["f16", "q8_0", "q4_0"] as const) {
      await expect(merge({ model: base, out, adapters, type })).rejects.toMatchObject({
        code: "argument",
        message: expect.stringMatching(/tensor blk\.\S+: the merged value at \[\d+, \d+\] is -?\d+/),
      });
    }
    expect((await merge({ model: base, out, adapters, type: "bf16" })).changed.every(({ good }) => good)).toBe(true);
    const { changed } = await merge({ model: base, out, adapters });
    const merged = openGguf(out);
    for (const { name, to } of changed) {
      const tensor = merged.tensor(name);
      const values = new Float32Array(elementCount(tensor.shape));
      decodeRow(to, readTensor(tensor, 0, tensor.shape[0]!), values);
      expect(values.every(Number.isFinite)).toBe(true);
    }
    merged.close();
    // Factors that 32 bits hold, and a product that they do not.
    const far = [{ path: await adapterOf("llama", 1e37) }];
    await expect(merge({ model: base, out, adapters: far })).rejects.toMatchObject({
      code: "argument",
      message: expect.stringMatching(/tensor blk\.\S+: .*f32/),
    });
  });

  it("copies tensors of types that nobody knows, and refuses those whose end the file does not tell", async () => {
    const bytes = noise(16, 4);
    const secret = (name: string, byteLength: number): TensorToWrite => {
      return { name, shape: [3, 5], ggml: 99, byteLength, data: () => [new Uint8Array(bytes.buffer, 0, byteLength)] };
    };
    const adapters = [{ path: await adapterOf("llama", 0.1) }];
    const base = await recode("llama", "f16", [secret("future.weight", 64), secret("last.weight", 33)]);
    const { changed, copied } = await merge({ model: base, out, adapters });
    const merged = openGguf(out);
    expect(changed.length + copied).toBe(merged.tensors.size + merged.opaque.size);
    expect([...merged.opaque.keys()]).toEqual(["future.weight", "last.weight"]);
    for (const { shape, ggml, places, name } of merged.opaque.values()) {
      expect([shape, ggml]).toEqual([[3, 5], 99]);
      const length = name === "last.weight" ? 33 : 64;
      expect(Buffer.compare(readPlace(places[0]!).subarray(0, length), Buffer.from(bytes.buffer, 0, length))).toBe(0);
    }
    merged.close();
    const twice = await recode("llama", "f16", [secret("a.weight", 0), secret("b.weight", 32), secret("c.weight", 32)]);
    await expect(merge({ model: twice, out, adapters })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/tensor a\.weight is of type 99, and the file does not tell where its bytes end/),
    });
  });

  it("leaves alone what an adapter does not change: matrices with a scale of 0, and other experts", async () => {
    const base = await recode("mixtral", "q4_0");
    const nothing = await merge({ model: base, out, adapters: [{ path: await adapterOf("mixtral", 0.1), scale: 0 }] });
    expect(nothing.changed).toEqual([]);
    expect(Buffer.compare(readFileSync(out), readFileSync(base))).toBe(0);
    const first = (module: LoraModule) => module.tensor.endsWith("_exps.weight") && module.expert === 2;
    const adapters = [{ path: await adapterOf("mixtral", 0.3, first) }];
    const { changed } = await merge({ model: base, out, adapters, type: "q4_0" });
    const [before, after] = [openGguf(base), openGguf(out)];
    for (const { name } of changed) {
      const same = [0, 1, 2, 3, 4, 5].filter(
        (expert) =>
          Buffer.compare(
            readTensor(before.tensor(name), expert, expert + 1),
            readTensor(after.tensor(name), expert, expert + 1),
          ) === 0,
      );
      expect(same).toEqual([0, 1, 3, 4, 5]);
    }
    before.close();
    after.close();
  });
});
