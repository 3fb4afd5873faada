import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../../formats/gguf/file.ts";
import { readAdapter } from "../../model/lora/read.ts";
import { finetune } from "./finetune.ts";
import type { FinetuneEvent, FinetuneOptions } from "./options.ts";

const models = join(import.meta.dirname, "../../../test/vectors/models");
const folder = mkdtempSync(join(tmpdir(), "grok1-finetune-"));
afterAll(() => rmSync(folder, { recursive: true }));
const base = (name: string) => join(models, `${name}.gguf`);
const hashOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

let files = 0;
const write = (lines: readonly unknown[], name = `${files++}.jsonl`) => {
  const path = join(folder, name);
  writeFileSync(path, lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join(""));
  return path;
};
/** What follows a letter, which a model of random weights does not know. */
const pairs = [..."abcd"].map((letter, i) => ({ prompt: `${letter}`, answer: [..."wxyz"][i]! }));

const toy = (model: string, out: string, options: Partial<FinetuneOptions> = {}): FinetuneOptions => ({
  ...{ model: base(model), data: [write(pairs)], out: join(folder, out), backend: "reference" },
  ...{ rank: 4, rate: 0.05, steps: 25, warmup: 1, batchTokens: 32, context: 16, heldOut: 0 },
  ...options,
});

describe("fine-tuning", () => {
  it.each([
    ["llama", 0.3, ["attention", "experts"]],
    // Its logits are scaled down, and its last norm and embedding are frozen.
    ["grok-1", 0.8, ["attention", "experts", "router"]],
    ["mixtral", 0.3, ["experts"]],
  ] as const)("teaches %s a mapping and leaves the file as it is", async (name, share, targets) => {
    const before = hashOf(base(name));
    const events: FinetuneEvent[] = [];
    const result = await finetune(toy(name, `learn-${name}`, { targets, onEvent: (event) => events.push(event) }));
    const losses = events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
    expect(losses).toHaveLength(25);
    expect(losses[0]).toBeGreaterThan(3);
    expect(losses.at(-1)).toBeLessThan(share * losses[0]!);
    expect(result).toMatchObject({ finished: true, step: 25 });
    expect(result.frozenShare).toBeCloseTo(1 - result.trainable / (result.trainable + parametersOf(name)), 12);
    expect(hashOf(base(name))).toBe(before);
    const file = openGguf(base(name));
    const { terms } = readAdapter(join(folder, `learn-${name}`), file);
    expect([...new Set(terms.map(({ target }) => target.target))].sort()).toEqual([...targets].sort());
    expect(terms.every(({ b }) => b.some((value) => value !== 0))).toBe(true);
    file.close();
  });

  it("goes on after an interruption as if there had been none", async () => {
    const data = [write([...pairs, { prompt: "e", answer: "v" }])];
    const options = { data, steps: 6, checkpointInterval: 2, evaluationInterval: 3, heldOut: 0 };
    await finetune(toy("llama", "whole", options));
    for (const at of [1, 3, 5]) {
      const out = `cut-${at}`;
      const controller = new AbortController();
      const onEvent = (event: FinetuneEvent) => {
        if (event.type === "step" && event.step === at) controller.abort();
      };
      const cut = await finetune(toy("llama", out, { ...options, signal: controller.signal, onEvent }));
      expect(cut).toMatchObject({ finished: false, step: at });
      const rest = await finetune(toy("llama", out, { ...options, resume: true }));
      expect(rest).toMatchObject({ finished: true, step: 6 });
      for (const name of ["adapter_model.safetensors", "checkpoint.safetensors"]) {
        expect(hashOf(join(folder, out, name))).toBe(hashOf(join(folder, "whole", name)));
      }
    }
  });

  it("refuses a bound on memory that nothing fits, and says what would", async () => {
    await expect(finetune(toy("llama", "never", { memory: 2 ** 20 }))).rejects.toMatchObject({
      code: "capacity",
      message: expect.stringMatching(/MiB of memory are needed at least .* the bound is 1 MiB/),
    });
    expect(readdirSync(folder)).not.toContain("never");
  });

  it("learns conversations, and scores what is held out", async () => {
    const chats = [..."abcdefgh"].map((letter) => ({
      messages: [
        { role: "user", content: letter },
        { role: "assistant", content: "z" },
      ],
    }));
    const result = await finetune(
      toy("llama", "chat", { data: [write(chats)], heldOut: 0.4, steps: 12, context: 64, batchTokens: 128 }),
    );
    expect(result.heldOutAfter).toBeLessThan(0.7 * result.heldOutBefore!);
  });

  it("says no score that it has not measured, and can be stopped while it measures", async () => {
    const other = write([{ prompt: "e", answer: "v" }], "scored.jsonl");
    const rest = { data: [write(pairs)], steps: 3, heldOut: other };
    const stopAt = async (out: string, type: FinetuneEvent["type"], step: number) => {
      const controller = new AbortController();
      const onEvent = (event: FinetuneEvent) => {
        if (event.type === type && (event.type === "start" ? step === 0 : "step" in event && event.step === step))
          controller.abort();
      };
      return finetune(toy("llama", out, { ...rest, signal: controller.signal, onEvent }));
    };
    const whole = await finetune(toy("llama", "scored", rest));
    const early = await stopAt("early", "start", 0);
    expect(early).toMatchObject({ finished: false, step: 0, heldOutBefore: undefined, heldOutAfter: undefined });
    const middle = await stopAt("middle", "step", 2);
    expect(middle).toMatchObject({
      finished: false,
      step: 2,
      heldOutBefore: whole.heldOutBefore,
      heldOutAfter: undefined,
    });
    const last = await stopAt("last", "step", 3);
    expect(last).toMatchObject({ finished: false, step: 3, heldOutAfter: undefined });
    for (const out of ["early", "middle", "last"]) {
      const { heldOutBefore, heldOutAfter } = whole;
      const resumed = await finetune(toy("llama", out, { ...rest, resume: true }));
      expect(resumed).toMatchObject({ finished: true, step: 3, heldOutBefore, heldOutAfter });
    }
  });

  it("takes a context that its passes hold", async () => {
    const { context: _, ...given } = toy("llama", "passes", {
      data: [write(pairs)],
      steps: 1,
      heldOut: 0,
      batchTokens: 16,
    });
    expect(await finetune(given)).toMatchObject({ finished: true });
    await expect(finetune({ ...given, out: join(folder, "wide"), context: 32 })).rejects.toMatchObject({
      code: "argument",
      message: "batchTokens is 16, less than the context, 32",
    });
  });

  const long = { prompt: "x".repeat(100), answer: "y" };
  const bad: [what: string, options: () => Partial<FinetuneOptions>, code: string, message: RegExp][] = [
    ["an empty file", () => ({ data: [write([], "empty.jsonl")] }), "format", /empty\.jsonl: the file is empty/],
    [
      "what is not JSON",
      () => ({ data: [write([pairs[0], "{x"], "a.jsonl")] }),
      "format",
      /a\.jsonl, line 2: not JSON/,
    ],
    [
      "other keys",
      () => ({ data: [write([{ a: 1 }], "b.jsonl")] }),
      "format",
      /b\.jsonl, line 1: there is no "prompt"/,
    ],
    [
      "a line of 10 MB",
      () => ({ data: [write(["x".repeat(1e7)], "c.jsonl")] }),
      "format",
      /c\.jsonl, line 1: the object has/,
    ],
    [
      "a text past the context",
      () => ({ data: [write([pairs[0], long], "d.jsonl")] }),
      "format",
      /d\.jsonl, line 2: .* tokens/,
    ],
    ["no file", () => ({ data: [join(folder, "none.jsonl")] }), "io", /none\.jsonl/],
    [
      "a backend that is none",
      () => ({ backend: "cuda" as never }),
      "argument",
      /backend is the text "cuda", expected auto/,
    ],
    ["a seed that is no number", () => ({ seed: Number.NaN }), "argument", /seed is NaN, expected a whole number/],
    ["a warm-up below none", () => ({ warmup: -1 }), "argument", /warmup is -1, expected a whole number/],
    ["a rank of 0", () => ({ rank: 0 }), "argument", /rank is 0, expected a whole number from 1 to/],
    ["a rank past the matrices", () => ({ rank: 4096 }), "argument", /rank is 4096, expected a whole number/],
    [
      "a router without experts",
      () => ({ targets: ["router"] }),
      "argument",
      /llama\.gguf: there is nothing for the target router: expected some of attention/,
    ],
    ["nothing to resume", () => ({ resume: true }), "argument", /no checkpoint to resume/],
    ["a context past the model's", () => ({ context: 1 << 20 }), "argument", /more than the model's/],
  ];
  it.each(bad)("refuses %s and leaves nothing behind", async (_, options, code, message) => {
    await expect(finetune(toy("llama", "refused", options()))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(readdirSync(folder)).not.toContain("refused");
  });

  it("refuses a folder in use, other settings, and a damaged checkpoint", async () => {
    const out = join(folder, "used");
    const data = [write(pairs)];
    await finetune(toy("llama", "used", { steps: 1, data }));
    await expect(finetune(toy("llama", "used", { data }))).rejects.toMatchObject({ code: "argument" });
    await expect(finetune(toy("llama", "used", { steps: 1, rank: 2, data, resume: true }))).rejects.toMatchObject({
      code: "argument",
      message: expect.stringMatching(/begun with rank 4, and goes on with 2/),
    });
    const other = readFileSync(base("llama"));
    for (let i = other.length >> 1; i < other.length; i++) other[i]! ^= 1;
    writeFileSync(join(folder, "other.gguf"), other);
    const more = write([...pairs, { prompt: "e", answer: "v" }]);
    for (const [changed, message] of [
      [
        { model: join(folder, "other.gguf") },
        /begun on another model than .*other\.gguf, its weights have changed, or an earlier grok1 began it/,
      ],
      [{ overlong: "skip" }, /begun with overlong error, and goes on with skip/],
      [{ heldOut: 0.25 }, /begun with heldOut 0, and goes on with 0\.25/],
      [{ context: 12 }, /begun with context 16, and goes on with 12/],
      [{ data: [more] }, /the place in the data is of other data/],
      [{ steps: 2 }, /begun with steps 1, and goes on with 2/],
    ] as const) {
      const options = toy("llama", "used", { steps: 1, data, resume: true, ...changed });
      await expect(finetune(options)).rejects.toMatchObject({
        code: "argument",
        message: expect.stringMatching(message),
      });
    }
    const path = join(out, "checkpoint.safetensors");
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(path, bytes);
    await expect(finetune(toy("llama", "used", { steps: 1, data, resume: true }))).rejects.toMatchObject({
      code: "format",
      message: expect.stringMatching(/checkpoint\.safetensors: the checkpoint is damaged/),
    });
  });
});

function parametersOf(name: string): number {
  const file = openGguf(base(name));
  const count = [...file.tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  file.close();
  return count;
}
