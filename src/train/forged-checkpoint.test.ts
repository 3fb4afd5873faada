import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { openSafetensors } from "../formats/safetensors/file.ts";
import { writeSafetensors } from "../formats/safetensors/write.ts";
import { finetune } from "./lora/finetune.ts";
import { train } from "./run.ts";
import { listCheckpoints } from "./run-checkpoint.ts";
import { makeToy } from "./toy.case.ts";

vi.setConfig({ testTimeout: 120_000 });
const folder = mkdtempSync(join(tmpdir(), "grok1-forged-"));
const toy = makeToy();
afterAll(() => {
  rmSync(folder, { recursive: true });
  rmSync(toy.folder, { recursive: true, force: true });
});

/** A checkpoint with another state, and the checksum that goes with it. */
async function forge(path: string, key: string, change: (state: State) => unknown, to = path) {
  const file = openSafetensors(path);
  const state = JSON.stringify(change(JSON.parse(file.metadata.get(key)!) as State));
  const tensors = [...file.entries.values()].map(({ name, dtype, shape, bytes }) => ({
    ...{ name, dtype, shape, data: Buffer.from(bytes()) },
  }));
  file.close();
  const hash = createHash("sha256").update(state);
  for (const { data } of tensors) hash.update(data);
  await writeSafetensors(to, tensors, { [key]: state, sha256: hash.digest("hex") });
}

type State = Record<string, unknown> & { readonly stream: { readonly sources: readonly object[] } };
const source = (changes: object) => (state: State) => ({
  ...state,
  stream: { ...state.stream, sources: state.stream.sources.map((each) => ({ ...each, ...changes })) },
});
const set = (changes: object) => (state: State) => ({ ...state, ...changes });
const deep = (depth: number): unknown => JSON.parse("[".repeat(depth) + "]".repeat(depth));

const common: [what: string, change: (state: State) => unknown, entry: string][] = [
  ["a null state", () => null, "expected an object, found null"],
  ["a list for a state", () => [], "expected an object"],
  ["another version", set({ version: 2 }), "version"],
  ["no step", set({ step: undefined }), "step: expected a whole number"],
  ["half a step", set({ step: 1.5 }), "step"],
  ["a step below 0", set({ step: -1 }), "step"],
  ["a null stream", set({ stream: null }), "stream: expected an object, found null"],
  [
    "a stream without a fingerprint",
    (state) => set({ stream: { ...state.stream, fingerprint: 5 } })(state),
    "fingerprint",
  ],
  ["no sources", (state) => set({ stream: { ...state.stream, sources: [] } })(state), "sources"],
  ["a null source", (state) => set({ stream: { ...state.stream, sources: [null] } })(state), "sources[0]"],
  ["an offset of 1e18", source({ offset: 1e18 }), "offset"],
  ["an offset of 1e15", source({ offset: 1e15 }), "offset"],
  ["an offset past its sequence", source({ offset: 17 }), "offset"],
  ["a position past the source", source({ position: 1e6 }), "position"],
  ["a position below 0", source({ position: -1 }), "position"],
  ["text for tokens", set({ tokens: "5" }), "tokens"],
];

describe("forged contents of a training's checkpoint", () => {
  const config = toy.config({ steps: 4 });
  const running = train(config, { backend: "reference" });

  const own: typeof common = [
    ["a null model", set({ model: null }), "model: expected an object, found null"],
    ["seconds that never end", set({ seconds: "forever" }), "seconds"],
    ["choices that are none", set({ chosen: [1, "x"] }), "chosen"],
    ["a vocabulary of 0", set({ vocab: 0 }), "vocab"],
    ["another step than its name", set({ step: 1 }), "step is 1, expected 4"],
  ];
  it.each([...common, ...own])("%s: refused by file and entry", async (_, change, entry) => {
    await running;
    const { path } = listCheckpoints(config.out).at(-1)!;
    const copy = { ...config, out: mkdtempSync(join(folder, "run-")) };
    mkdirSync(join(copy.out, "checkpoints"));
    const to = path.replace(config.out, copy.out);
    await forge(path, "state", change, to);
    await expect(train({ ...copy, steps: 6 }, { backend: "reference", resume: true })).rejects.toMatchObject({
      code: "format",
      message: expect.stringContaining(entry),
    });
    await expect(train({ ...copy, steps: 6 }, { backend: "reference", resume: true })).rejects.toThrow(to);
  });

  it("a model of deep lists is another model", async () => {
    await running;
    const { path } = listCheckpoints(config.out).at(-1)!;
    const copy = { ...config, out: mkdtempSync(join(folder, "run-")) };
    mkdirSync(join(copy.out, "checkpoints"));
    await forge(path, "state", set({ model: { layers: deep(1000), toString: 5 } }), path.replace(config.out, copy.out));
    await expect(train(copy, { backend: "reference", resume: true })).rejects.toMatchObject({ code: "argument" });
  });
});

describe("forged contents of a fine-tuning's checkpoint", () => {
  const data = join(folder, "pairs.jsonl");
  writeFileSync(data, [..."abcd"].map((prompt) => `${JSON.stringify({ prompt, answer: "z" })}\n`).join(""));
  const model = join(import.meta.dirname, "../../test/vectors/models/llama.gguf");
  const options = (out: string) => ({
    ...({ model, data: [data], out, backend: "reference", rank: 2, steps: 2, batchTokens: 16, context: 8 } as const),
    ...{ heldOut: 0, evaluationInterval: 1 },
  });
  const running = finetune(options(join(folder, "adapter")));

  const own: typeof common = [
    ["settings of another kind", set({ settings: [null] }), "settings"],
    ["a batch of a million billion", set({ batchTokens: 1e15 }), "batchTokens"],
    ["passes without end", set({ accumulation: 1e12 }), "accumulation"],
    ["a loss that is text", set({ firstLoss: "low" }), "firstLoss"],
  ];
  it.each([...common, ...own])("%s: refused by file and entry", async (_, change, entry) => {
    await running;
    const out = mkdtempSync(join(folder, "cut-"));
    await forge(
      join(folder, "adapter", "checkpoint.safetensors"),
      "finetune",
      change,
      join(out, "checkpoint.safetensors"),
    );
    await expect(finetune({ ...options(out), resume: true })).rejects.toMatchObject({
      code: "format",
      message: expect.stringContaining(entry),
    });
  });
});
