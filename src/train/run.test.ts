import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { loadModel } from "../generate/load.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { runTokens } from "../model/run.case.ts";
import { createRandom } from "../sampling/random.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import type { TrainConfig } from "./config.ts";
import type { EvaluationReport, LogEntry, StepReport } from "./log.ts";
import type { TrainEvent, TrainOptions } from "./options.ts";
import { train } from "./run.ts";
import { listCheckpoints, openCheckpoint } from "./run-checkpoint.ts";
import { lastTensors, makeToy, toyTexts } from "./toy.case.ts";

// Checkpoints are flushed to the disk, which others may keep busy.
vi.setConfig({ testTimeout: 120_000 });
const toy = makeToy();
afterAll(() => rmSync(toy.folder, { recursive: true, force: true }));

const onReference: TrainOptions = { backend: "reference" };

/** Trains until the signal comes at one of the steps given, again and again, each time from the files alone. */
async function trainInPieces(config: TrainConfig, stops: readonly number[]) {
  let resume = false;
  for (;;) {
    const stop = new AbortController();
    const onEvent = (event: TrainEvent) => {
      if (event.type === "step" && stops.includes(event.report.step)) stop.abort();
    };
    const result = await train(config, { ...onReference, resume, signal: stop.signal, onEvent });
    if (result.finished) return result;
    resume = true;
  }
}

describe("a run", () => {
  const about = { author: "Ada", description: "A toy.", license: "Apache-2.0" };
  const config = toy.config({ about, steps: 60, evaluation: { interval: 30 }, checkpoint: { interval: 30, keep: 2 } });
  const events: TrainEvent[] = [];
  const running = train(config, { ...onReference, type: "f32", onEvent: (event) => events.push(event) });
  const reports = () => events.flatMap((event) => (event.type === "step" ? [event.report] : []));

  it("learns what only the order of words tells", async () => {
    const result = await running;
    expect(result).toMatchObject({ finished: true, step: 60 });
    // Words without their order: the entropy of how often each token is a target, which is the least that a model which knows
    // only that can reach.
    const file = openGguf(result.model!);
    const tokenizer = tokenizerFromGguf(file.metadata);
    file.close();
    const targets = toyTexts().flatMap((text) => [...tokenizer.encode(text), tokenizer.eos!]);
    const counts = new Map<number, number>();
    for (const target of targets) counts.set(target, (counts.get(target) ?? 0) + 1);
    const entropy = [...counts.values()].reduce(
      (sum, n) => sum - (n / targets.length) * Math.log(n / targets.length),
      0,
    );
    const last = reports().slice(-5);
    const loss = last.reduce((sum, report) => sum + report.loss, 0) / last.length;
    expect(reports()[0]!.loss).toBeGreaterThan(entropy);
    expect(loss).toBeLessThan(0.6 * entropy);
    expect(result.heldOut![0]!.loss).toBeLessThan(0.6 * entropy);
  });

  it("leaves checkpoints, a log and a plot of what it reported", async () => {
    await running;
    expect(listCheckpoints(config.out).map(({ step }) => step)).toEqual([30, 60]);
    const log = readFileSync(join(config.out, "log.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as StepReport | EvaluationReport);
    expect(log.filter((entry) => "loss" in entry)).toEqual(reports());
    const evaluations = log.filter((entry) => "heldOut" in entry);
    expect(evaluations.map(({ step }) => step)).toEqual([30, 60]);
    for (const { experts } of evaluations) {
      expect(experts).toHaveLength(2);
      for (const shares of experts) expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
    }
    const plot = readFileSync(join(config.out, "loss.svg"), "utf8");
    const curves = [...plot.matchAll(/<polyline points="([^"]*)"/g)].map((match) => match[1]!.split(" ").length);
    expect(curves).toEqual([60, 2]);
    expect(readdirSync(config.out).sort()).toEqual(["checkpoints", "log.jsonl", "loss.svg", "toy-f32.gguf"]);
  });

  it("counts bits per byte as a plain forward pass over each text does", async () => {
    const { model, heldOut } = await running;
    const file = openGguf(model!);
    const tokenizer = tokenizerFromGguf(file.metadata);
    const ops = createReference();
    let bits = 0;
    let bytes = 0;
    for (const text of toyTexts().slice(0, 2)) {
      const tokens = Int32Array.of(tokenizer.bos!, ...tokenizer.encode(text), tokenizer.eos!);
      // Longer ones would be scored in windows.
      expect(tokens.length).toBeLessThanOrEqual(17);
      const { logits } = await runTokens(ops, file, tokens);
      const vocab = logits.length / tokens.length;
      for (let t = 1; t < tokens.length; t++) {
        const row = logits.slice((t - 1) * vocab, t * vocab).map(Math.exp);
        bits -= Math.log2(row[tokens[t]!]! / row.reduce((sum, value) => sum + value, 0));
      }
      bytes += Buffer.byteLength(text);
    }
    expect(heldOut![0]!.bitsPerByte).toBeCloseTo(bits / bytes, 5);
    ops.close();
    file.close();
  });

  it("exports a model that goes on in the toy language, in every type", async () => {
    const { model } = await running;
    const written = [model!];
    for (const type of ["f16", "q8_0", "q4_0"] as const) {
      written.push((await train(config, { ...onReference, resume: true, type })).model!);
    }
    for (const path of written) {
      const loaded = await loadModel(path, { backend: "reference" });
      try {
        expect(loaded.description).toMatchObject({ architecture: "grok", name: "toy", config: { contextLength: 16 } });
        // An answer ends where its marker or the text does.
        expect([...loaded.tokenizer.endOfGeneration].map((id) => loaded.tokenizer.piece(id))).toEqual([
          "[EOS]",
          "<|end|>",
        ]);
        expect(loaded.chatTemplate).toBe(readFileSync(join(toy.folder, "template.jinja"), "utf8"));
        const answer = await loaded.generate("moon fox sea", { maxTokens: 8, temperature: 0 }).result;
        expect(answer.text.trimStart()).toMatch(/^tree( bird)?/);
      } finally {
        await loaded.close();
      }
    }
  });

  it("exports what the configuration says of the model, and where an answer ends", async () => {
    const file = openGguf((await running).model!);
    for (const [key, value] of Object.entries(about)) expect(file.metadata.string(`general.${key}`)).toBe(value);
    expect(file.metadata.boolean("tokenizer.ggml.add_bos_token")).toBe(true);
    expect(file.metadata.strings("tokenizer.ggml.tokens")[file.metadata.number("tokenizer.ggml.eot_token_id")]).toBe(
      "<|end|>",
    );
    file.close();
  });

  it("is refused where one is, and where there is none to resume", async () => {
    await running;
    await expect(train(config, onReference)).rejects.toMatchObject({
      code: "argument",
      message: expect.stringContaining(config.out),
    });
    await expect(train(toy.config(), { ...onReference, resume: true })).rejects.toMatchObject({ code: "argument" });
    await expect(train(toy.config(), { ...onReference, processes: 2 })).rejects.toMatchObject({
      code: "argument",
      message: expect.stringContaining("replicas"),
    });
  });

  it("refuses what it would need at its end before it begins, and takes what is undefined as not given", async () => {
    const wrong = { type: ["int8", null, 1], backend: ["cuda", null], processes: [0, 1.5, "2", Number.NaN] };
    const refused = Object.entries({ ...wrong, threads: [0, "many"], memory: [-1, "1G"] }).flatMap(([name, values]) =>
      values.map((value) => [name, value] as const),
    );
    for (const [name, value] of refused) {
      await expect(train(toy.config(), { ...onReference, [name]: value })).rejects.toMatchObject({
        code: "argument",
        message: expect.stringMatching(`^${name} is `),
      });
    }
    const absent = { type: undefined, processes: undefined, threads: undefined, memory: undefined } as TrainOptions;
    const { model } = await train(toy.config({ steps: 1, optimizer: { rate: 0.01, warmup: 0 } }), {
      ...onReference,
      ...absent,
    });
    expect(model).toMatch(/-f16\.gguf$/);
  });

  it("goes on from another's checkpoint or model where the configuration says so", async () => {
    const { model, heldOut } = await running;
    for (const initial of [config.out, model!]) {
      const next = toy.config({ initial, steps: 1, optimizer: { rate: 0, warmup: 0 } });
      const result = await train(next, onReference);
      expect(result.heldOut![0]!.bitsPerByte).toBeCloseTo(heldOut![0]!.bitsPerByte, 5);
    }
    const other = toy.config({ initial: config.out, model: { ...config.model, hidden: 24 } });
    await expect(train(other, onReference)).rejects.toMatchObject({ code: "shape" });
  });
});

describe("an interrupted run", () => {
  it("ends where an uninterrupted one does, to the bit, wherever it is stopped", async () => {
    const whole = toy.config({ steps: 12, accumulation: 2, replicas: 2 });
    await train(whole, onReference);
    const random = createRandom(11);
    const stops = Array.from({ length: 4 }, () => 1 + Math.floor(random.uniform() * 11));
    const pieces = toy.config({ steps: 12, accumulation: 2, replicas: 2 });
    await trainInPieces(pieces, stops);
    expect(lastTensors(pieces)).toEqual(lastTensors(whole));
    const losses = (config: TrainConfig) =>
      readFileSync(join(config.out, "log.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Partial<StepReport>)
        .flatMap(({ step, loss, norm }) => (loss === undefined ? [] : [[step, loss, norm]]));
    expect(losses(pieces)).toEqual(losses(whole));
    const states = [whole, pieces].map(({ out }) => {
      const checkpoint = openCheckpoint(listCheckpoints(out).at(-1)!.path);
      checkpoint.close();
      return { ...checkpoint.state, seconds: 0 };
    });
    expect(states[1]).toEqual(states[0]);
  });

  it("logs what an uninterrupted one does, experts' shares and all, wherever it is cut off", async () => {
    const settings = { steps: 8, evaluation: { interval: 3 }, checkpoint: { interval: 2 } };
    const logOf = ({ out }: TrainConfig) =>
      readFileSync(join(out, "log.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => ({ ...(JSON.parse(line) as LogEntry), tokensPerSecond: 0 }));
    const whole = toy.config(settings);
    await train(whole, onReference);
    expect(logOf(whole).some((entry) => "experts" in entry && entry.experts.length === 2)).toBe(true);
    for (const [type, step] of [
      ["step", 3],
      ["evaluation", 3],
      ["step", 5],
      ["checkpoint", 6],
      ["step", 7],
    ] as const) {
      const config = toy.config(settings);
      const stop = new AbortController();
      const onEvent = (event: TrainEvent) => {
        const at = "report" in event ? event.report.step : "step" in event ? event.step : -1;
        if (event.type !== type || at !== step) return;
        // The signal, or the end of the process at once.
        stop.abort();
        if (type === "checkpoint") throw new Error("cut");
      };
      const first = train(config, { ...onReference, signal: stop.signal, onEvent });
      if (type === "checkpoint") await expect(first).rejects.toThrow("cut");
      else expect((await first).finished).toBe(false);
      await train(config, { ...onReference, resume: true });
      expect(logOf(config), `${type} ${step}`).toEqual(logOf(whole));
    }
  });

  it("loses no more than what came after the last checkpoint when it is cut off", async () => {
    const whole = toy.config();
    await train(whole, onReference);
    const cut = toy.config();
    const failing = train(cut, {
      ...onReference,
      onEvent(event) {
        if (event.type === "step" && event.report.step === 5) throw new Error("cut");
      },
    });
    await expect(failing).rejects.toThrow("cut");
    expect(listCheckpoints(cut.out).map(({ step }) => step)).toEqual([2, 4]);
    await train(cut, { ...onReference, resume: true });
    expect(lastTensors(cut)).toEqual(lastTensors(whole));
  });
});

describe("replicas", () => {
  it("add up to the same bits in any number of processes", async () => {
    const settings = { steps: 3, replicas: 3, evaluation: { interval: 3 } };
    const configs = [1, 2, 3].map((processes) => ({ processes, config: toy.config(settings) }));
    for (const { processes, config } of configs) await train(config, { ...onReference, processes });
    const [one, two, three] = configs.map(({ config }) => lastTensors(config));
    expect(two).toEqual(one);
    expect(three).toEqual(one);
  });

  it("share out one step as if it were one batch", async () => {
    const settings = { steps: 1, optimizer: { rate: 0.01, warmup: 0 }, losses: { balance: 0, routerZ: 0 } };
    const apart = toy.config({ ...settings, batchTokens: 16, replicas: 2 });
    const accumulated = toy.config({ ...settings, batchTokens: 16, accumulation: 2 });
    for (const config of [apart, accumulated]) await train(config, onReference);
    const [a, b] = [lastTensors(apart), lastTensors(accumulated)];
    for (const [name, values] of a) {
      if (!name.startsWith("mean/")) continue;
      const largest = Math.max(...values.map(Math.abs));
      const error = Math.max(...values.map((value, i) => Math.abs(value - b.get(name)![i]!)));
      expect(error, name).toBeLessThan(1e-9 * Math.max(largest, 1e-9));
    }
  });
});
