import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import {
  type FinetuneOptions,
  finetune,
  loadModel,
  type MergeOptions,
  merge,
  readTrainConfig,
  train,
} from "../../src/index.ts";

vi.setConfig({ testTimeout: 120_000 });
const folder = mkdtempSync(join(tmpdir(), "grok1-library-training-"));
afterAll(() => rmSync(folder, { recursive: true }));
const vectors = resolve(import.meta.dirname, "../vectors");
const model = join(vectors, "models/llama.gguf");
const data = join(folder, "pairs.jsonl");
writeFileSync(data, [..."abcd"].map((prompt) => `${JSON.stringify({ prompt, answer: "z" })}\n`).join(""));
const small = { backend: "reference", heldOut: 0, steps: 2, rank: 2, context: 16, batchTokens: 32 } as const;

describe("training from the library", () => {
  it("fine-tunes and merges, each with one object of options", async () => {
    const steps: number[] = [];
    const out = join(folder, "adapter");
    const tuned = await finetune({
      ...{ model, data: [data], out, ...small },
      onEvent: (event) => event.type === "step" && steps.push(event.step),
    });
    expect(steps).toEqual([1, 2]);
    const merged = await merge({ model, out: join(folder, "merged.gguf"), adapters: [{ path: out }] });
    expect(merged.changed.length).toBeGreaterThan(0);
    expect(merged.changed.every(({ good, kept }) => good && Math.abs(kept.update - 1) <= 0.05)).toBe(true);
    expect(tuned.adapter.startsWith(out)).toBe(true);
  });

  it("measures what merging costs the answers", async () => {
    const out = join(folder, "taught");
    await finetune({ model, data: [data], out, ...small, rank: 4, steps: 15, warmup: 1, rate: 0.03 });
    const adapters = [{ path: out }];
    const told: string[] = [];
    const options = {
      model,
      out: join(folder, "measured.gguf"),
      adapters,
      data: [data],
      backend: "reference",
    } as const;
    const { loss } = await merge({ ...options, type: "f32", onScored: (done, texts) => told.push(`${done}/${texts}`) });
    expect(told).toEqual(Array.from({ length: 8 }, (_, i) => `${i + 1}/8`));
    expect(loss!.merged).toBeCloseTo(loss!.adapter, 4);
    // The same, from the log-probabilities of each pair's answer and the end after it.
    await using adapted = await loadModel(model, { backend: "reference", adapters });
    const { eos } = adapted.tokenizer;
    let [sum, tokens] = [0, 0];
    for (const prompt of "abcd") {
      const asked = [...adapted.encode(prompt)];
      const whole = [...adapted.encode(`${prompt}z`), eos!];
      expect(whole.slice(0, asked.length)).toEqual(asked);
      for (const value of await adapted.logprobs(whole, { from: asked.length })) {
        sum -= value;
        tokens++;
      }
    }
    expect(loss!.tokens).toBe(tokens);
    expect(loss!.adapter).toBeCloseTo(sum / tokens, 4);
    // Half of the update is another loss, on both sides alike.
    const half = await merge({ ...options, adapters: [{ path: out, scale: 0.5 }], type: "f32" });
    expect(Math.abs(half.loss!.adapter - loss!.adapter)).toBeGreaterThan(1e-3);
    expect(half.loss!.merged).toBeCloseTo(half.loss!.adapter, 4);
  });

  it("reads the data before it merges", async () => {
    const out = join(folder, "never.gguf");
    const adapters = [{ path: join(vectors, "lora/llama") }];
    await expect(merge({ model, out, adapters, data: [join(folder, "none.jsonl")] })).rejects.toMatchObject({
      code: "io",
      message: expect.stringContaining("none.jsonl"),
    });
    expect(existsSync(out)).toBe(false);
  });

  it("trains from a configuration's path, or what was read of it", async () => {
    const sizes = {
      layers: 1,
      width: 8,
      heads: 1,
      kvHeads: 1,
      headSize: 8,
      experts: 2,
      used: 1,
      hidden: 8,
      context: 16,
    };
    const path = join(folder, "config.json");
    writeFileSync(join(folder, "texts.txt"), "abc abc abd<|endoftext|>abd abc");
    const config = {
      ...{ model: { name: "small", ...sizes }, tokenizer: join(vectors, "tokenizer/sp-bpe.model"), out: "run" },
      data: { cache: "cache", sources: [{ name: "texts", path: "texts.txt", format: "text" }] },
      ...{ steps: 2, batchTokens: 16, optimizer: { rate: 0.01, warmup: 1 } },
    };
    writeFileSync(path, JSON.stringify(config));
    expect(await train(path, { backend: "reference" })).toMatchObject({ finished: true, step: 2 });
    const again = { ...readTrainConfig(path), out: join(folder, "again") };
    expect(await train(again, { backend: "reference" })).toMatchObject({ finished: true, step: 2 });
  });

  const wrong: [what: string, run: () => Promise<unknown>, message: RegExp][] = [
    [
      "a slip of the pen",
      () => finetune({ model, data: [data], out: "x", rnak: 4 } as FinetuneOptions),
      /did you mean rank\?/,
    ],
    [
      "another slip",
      () => merge({ model, out: "x", adapters: [{ path: "a" }], typ: "f16" } as MergeOptions),
      /mean type\?/,
    ],
    ["a third", () => train("none.json", { thread: 1 } as object), /did you mean threads\?/],
    ["no options", () => finetune(undefined as unknown as FinetuneOptions), /finetune: the options are undefined/],
    [
      "no data",
      () => finetune({ model, out: "x" } as unknown as FinetuneOptions),
      /data is undefined, expected a list/,
    ],
    ["an empty list", () => finetune({ model, data: [], out: "x" }), /data is empty, expected a list/],
    ["a file that is none", () => finetune({ model, data: [5 as unknown as string], out: "x" }), /data\[0\] is 5/],
    [
      "no model",
      () => merge({ out: "x", adapters: [{ path: "a" }] } as unknown as MergeOptions),
      /model is undefined, expected a text/,
    ],
    [
      "measuring without data",
      () => merge({ model, out: "x", adapters: [{ path: "a" }], format: "pairs" }),
      /format is for measuring, which needs data/,
    ],
    [
      "data that is no list",
      () => merge({ model, out: "x", adapters: [{ path: "a" }], data: "x" as unknown as string[] }),
      /data is .*, expected a list/,
    ],
    ["no adapter", () => merge({ model, out: "x", adapters: [] }), /adapters is empty, expected a list/],
    [
      "a path that is none",
      () => merge({ model, out: "x", adapters: [{} as { path: string }] }),
      /adapters\[0\]\.path is/,
    ],
  ];
  it.each(wrong)("refuses %s by name", async (_, run, message) => {
    await expect(run()).rejects.toMatchObject({ code: "argument", message: expect.stringMatching(message) });
  });
});
