import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { relativeError } from "../kernels/oracle.case.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { readConfig } from "../model/config.ts";
import { adaptOps } from "../model/lora/apply.ts";
import { makeAdapter } from "../model/lora/lora.case.ts";
import { listModules } from "../model/lora/modules.ts";
import { readAdapter } from "../model/lora/read.ts";
import { writeAdapter } from "../model/lora/write.ts";
import { bindModel } from "../model/registry.ts";
import { runTokens } from "../model/run.case.ts";
import { readTensor } from "../tensor/tensor.ts";
import { keptType, mergeAdapters } from "./merge.ts";

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
    const bound = adapted.follow(bindModel(adapted.ops, file), () => use);
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
      const result = await mergeAdapters(model, out, { adapters: [{ path: adapter, scale: 0.5 }], type });
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
    await expect(mergeAdapters(model, model, { adapters })).rejects.toMatchObject({ code: "argument" });
    const before = readdirSync(folder).sort();
    const signal = AbortSignal.abort();
    await expect(mergeAdapters(model, join(folder, "cut.gguf"), { adapters, signal })).rejects.toMatchObject({
      code: "cancelled",
    });
    await expect(
      mergeAdapters(model, join(folder, "other.gguf"), { adapters: [{ path: join(folder, "mixtral") }] }),
    ).rejects.toMatchObject({ code: "shape" });
    expect(readdirSync(folder).sort()).toEqual(before);
  });

  it("keeps a type that can be written, and goes up from one that cannot", () => {
    expect(["f32", "bf16", "q4_1", "q8_0", "q4_k", "q6_k"].map((type) => keptType(type as "f32"))).toEqual([
      ...["f32", "bf16", "q4_1", "q8_0", "q4_k", "q6_k"],
    ]);
    expect(["q2_k", "q3_k", "q5_k", "iq4_nl", "iq4_xs"].map((type) => keptType(type as "f32"))).toEqual([
      ...["q4_k", "q4_k", "q6_k", "q5_0", "q4_k"],
    ]);
  });
});
