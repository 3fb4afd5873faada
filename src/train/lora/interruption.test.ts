import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { merge } from "../../convert/merge.ts";
import { createRandom } from "../../sampling/random.ts";
import { openFinetuneCheckpoint } from "./checkpoint.ts";
import { finetune } from "./finetune.ts";
import type { FinetuneEvent, FinetuneOptions } from "./options.ts";

const fault = vi.hoisted(() => ({ file: "", code: "", after: 0 }));

/** The real file system, but for files whose name `fault` has a part of: they take `after` short writes, then no more. */
vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  return {
    ...fs,
    async open(path: string, flags: string, mode?: number) {
      const file = await fs.open(path, flags, mode);
      if (fault.file === "" || !path.includes(fault.file)) return file;
      let left = fault.after;
      const write = file.write.bind(file);
      const failing = async (bytes: Uint8Array, offset: number, length: number) => {
        if (left-- > 0) return write(bytes, offset, Math.min(length, 1000));
        throw Object.assign(new Error("injected"), { code: fault.code });
      };
      return Object.assign(file, { write: failing });
    },
  };
});

afterEach(() => void Object.assign(fault, { file: "", code: "", after: 0 }));
// Checkpoints are flushed to the disk, which others may keep busy.
vi.setConfig({ testTimeout: 120_000 });
const models = join(import.meta.dirname, "../../../test/vectors/models");
const folder = mkdtempSync(join(tmpdir(), "grok1-interruption-"));
afterAll(() => rmSync(folder, { recursive: true }));

const data = join(folder, "pairs.jsonl");
const letters = [..."abcdefghijkl"];
writeFileSync(data, letters.map((prompt, i) => `${JSON.stringify({ prompt, answer: letters[11 - i]! })}\n`).join(""));

const files = ["adapter_config.json", "adapter_model.safetensors", "checkpoint.safetensors"];
const options = (name: string, rest: Partial<FinetuneOptions> = {}): FinetuneOptions => ({
  ...{ model: join(models, "mixtral.gguf"), data: [data], out: join(folder, name), backend: "reference", threads: 1 },
  ...{ rank: 2, targets: ["attention", "experts", "router"], rate: 0.02, steps: 24, warmup: 3 },
  ...{ batchTokens: 16, context: 8, heldOut: 0.2, checkpointInterval: 2, evaluationInterval: 5, ...rest },
});
const bytesOf = (name: string) => files.map((file) => readFileSync(join(folder, name, file)).toString("base64"));

/** Stops after a step: cleanly, or as a killed process does, whose folder then holds what was there at that moment. */
async function interrupt(name: string, at: number, kind: "clean" | "kill", rest: Partial<FinetuneOptions>) {
  const stop = new AbortController();
  const kept = join(folder, `${name}-kept`);
  const onEvent = (event: FinetuneEvent) => {
    if (event.type !== "step" || event.step !== at) return;
    stop.abort();
    if (kind === "clean") return;
    mkdirSync(kept);
    for (const file of readdirSync(join(folder, name))) copyFileSync(join(folder, name, file), join(kept, file));
  };
  await finetune(options(name, { ...rest, signal: stop.signal, onEvent }));
  if (kind === "clean") return;
  rmSync(join(folder, name), { recursive: true });
  mkdirSync(join(folder, name));
  for (const file of readdirSync(kept)) copyFileSync(join(kept, file), join(folder, name, file));
  rmSync(kept, { recursive: true });
}

describe.each([
  ["reference", ""],
  ["native", withoutAddon],
] as const)("ten interruptions on the %s backend%s", (backend, skip) => {
  it.skipIf(skip !== "")("change no bit of what comes of it", async () => {
    const random = createRandom(5);
    await finetune(options(`${backend}-whole`, { backend }));
    const name = `${backend}-cut`;
    let [step, resume] = [0, false];
    const kinds: string[] = [];
    for (let i = 0; i < 10; i++) {
      const at = step + 1 + Math.floor(random.uniform() * 3);
      const kind = random.uniform() < 0.5 && (resume || at > 2) ? "kill" : "clean";
      kinds.push(kind);
      await interrupt(name, Math.min(at, 24), kind, { backend, resume });
      const checkpoint = openFinetuneCheckpoint(join(folder, name));
      step = checkpoint.state.step;
      checkpoint.close();
      // Nothing is lost beyond the last checkpoint.
      expect(at - step).toBeLessThanOrEqual(kind === "clean" ? 0 : 2);
      resume = true;
    }
    expect(new Set(kinds).size).toBe(2);
    expect(await finetune(options(name, { backend, resume }))).toMatchObject({ finished: true, step: 24 });
    expect(bytesOf(name)).toEqual(bytesOf(`${backend}-whole`));
  });
});

describe("a full disk", () => {
  it("ends a fine-tuning at the checkpoint, the one before stays, and it goes on from there", async () => {
    await finetune(options("disk-whole", { steps: 6 }));
    const out = join(folder, "disk");
    const onEvent = (event: FinetuneEvent) => {
      if (event.type === "step" && event.step === 3) {
        Object.assign(fault, { file: "checkpoint.safetensors", code: "ENOSPC", after: 1 });
      }
    };
    await expect(finetune(options("disk", { steps: 6, onEvent }))).rejects.toMatchObject({
      code: "io",
      message: expect.stringMatching(/disk.checkpoint\.safetensors: cannot write: no space left on the disk/),
    });
    expect(readdirSync(out)).toEqual(["checkpoint.safetensors"]);
    Object.assign(fault, { file: "" });
    const checkpoint = openFinetuneCheckpoint(out);
    expect(checkpoint.state.step).toBe(2);
    checkpoint.close();
    await finetune(options("disk", { steps: 6, resume: true }));
    expect(bytesOf("disk")).toEqual(bytesOf("disk-whole"));
  });

  it("loses no step where only the adapter found no room", async () => {
    const out = join(folder, "disk-end");
    Object.assign(fault, { file: "adapter_model.safetensors", code: "EDQUOT" });
    await expect(finetune(options("disk-end", { steps: 3 }))).rejects.toMatchObject({
      code: "io",
      message: expect.stringMatching(/adapter_model\.safetensors: cannot write: the disk quota is used up/),
    });
    expect(readdirSync(out).sort()).toEqual(["adapter_config.json", "checkpoint.safetensors"]);
    Object.assign(fault, { file: "" });
    const steps: number[] = [];
    const onEvent = (event: FinetuneEvent) => void (event.type === "step" && steps.push(event.step));
    expect(await finetune(options("disk-end", { steps: 3, resume: true, onEvent }))).toMatchObject({ finished: true });
    expect(steps).toEqual([]);
    await finetune(options("disk-end-whole", { steps: 3 }));
    expect(bytesOf("disk-end")).toEqual(bytesOf("disk-end-whole"));
  });

  it("leaves no merged file, and the one before whole", async () => {
    const model = join(models, "mixtral.gguf");
    await finetune(options("merge", { steps: 2 }));
    const out = join(folder, "merged.gguf");
    const adapters = [{ path: join(folder, "merge") }];
    for (const before of [undefined, "what was there"]) {
      if (before !== undefined) writeFileSync(out, before);
      const names = readdirSync(folder).sort();
      for (const after of [0, 2]) {
        Object.assign(fault, { file: "merged.gguf", code: "ENOSPC", after });
        await expect(merge({ model, out, adapters, type: "f32" })).rejects.toMatchObject({
          code: "io",
          message: expect.stringMatching(/merged\.gguf: cannot write: no space left/),
        });
      }
      expect(readdirSync(folder).sort()).toEqual(names);
      if (before !== undefined) expect(readFileSync(out, "utf8")).toBe(before);
    }
  });
});
