import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { GrokError } from "../errors.ts";
import { parseTrainConfig, readTrainConfig } from "./config.ts";

const model = {
  ...{ name: "small", layers: 2, width: 64, heads: 4, kvHeads: 2, headSize: 16, experts: 4, used: 2, hidden: 96 },
  context: 128,
};
const source = { path: "stories/*.txt", format: "text" };
const smallest = {
  ...{ model, tokenizer: "tokenizer.model", out: "../out", steps: 50 },
  data: { sources: [source], cache: "cache" },
};

/** The smallest configuration with one entry changed; `undefined` takes it away. */
function change(path: string, value: unknown): unknown {
  const config = JSON.parse(JSON.stringify(smallest));
  const keys = path.split(".");
  let at = config;
  for (const key of keys.slice(0, -1)) {
    at[key] ??= {};
    at = at[key];
  }
  at[keys.at(-1)!] = value;
  return JSON.parse(JSON.stringify(config));
}

describe("training configuration", () => {
  it("fills in the published defaults and takes paths from the file's folder", () => {
    expect(parseTrainConfig(smallest, "/runs/a/config.json")).toEqual({
      path: "/runs/a/config.json",
      model: { ...model, architecture: "grok", ropeBase: 10_000 },
      tokenizer: "/runs/a/tokenizer.model",
      out: "/runs/out",
      data: {
        cache: "/runs/a/cache",
        sources: [
          {
            ...{ name: "stories/*.txt", path: "/runs/a/stories/*.txt", format: "text", weight: 1, heldOut: 0 },
            ...{ separator: "<|endoftext|>", overlong: "error" },
            keys: {
              ...{ text: "text", prompt: "prompt", input: "input", answer: "answer" },
              ...{ messages: "messages", role: "role", content: "content" },
            },
          },
        ],
      },
      optimizer: {
        rate: 6e-4,
        finalShare: 0.1,
        warmup: 50,
        weightDecay: 0.1,
        betas: [0.9, 0.95],
        epsilon: 1e-8,
        clip: 1,
      },
      losses: { balance: 0.01, routerZ: 0.001 },
      ...{ steps: 50, batchTokens: 8192, accumulation: 1, replicas: 1, seed: 1 },
      evaluation: { interval: 250, maxTokens: 50_000 },
      checkpoint: { interval: 250, keep: 2 },
    });
  });

  it.each<[string, unknown, RegExp]>([
    ["model", undefined, /^c\.json: model: expected an object, found nothing$/],
    ["model.layers", "two", /^c\.json: model\.layers: expected a whole number from 1 to 1024, found "two"$/],
    ["model.layers", 2.5, /model\.layers: .* found 2\.5/],
    ["model.kvHeads", 3, /model\.kvHeads: 3 does not divide heads, 4/],
    ["model.headSize", 15, /model\.headSize: 15 is odd/],
    ["model.used", 5, /model\.used: 5 is more than experts, 4/],
    ["model.architecture", "gpt", /model\.architecture: expected one of grok/],
    ["model.deep", 1, /model\.deep: there is no such entry; known are vocabulary, architecture/],
    ["about", { license: 5 }, /about\.license: expected a text, found 5/],
    ["about", { licence: "MIT" }, /about\.licence: there is no such entry; known are author, description, license/],
    ["optimiser", {}, /optimiser: there is no such entry/],
    ["optimizer.rate", -1, /optimizer\.rate: expected a number from 0 to 1, found -1/],
    ["optimizer.betas", [0.9], /optimizer\.betas: expected two numbers/],
    ["optimizer.betas", [0.9, 1], /optimizer\.betas/],
    ["optimizer.warmup", 51, /optimizer\.warmup: 51 is more than steps, 50/],
    ["batchTokens", 64, /batchTokens: 64 is less than model\.context, 128/],
    ["data.sources", [], /data\.sources: expected a list of objects, found \[\]/],
    ["data.sources", [5], /data\.sources\[0\]: expected an object, found 5/],
    ["data.sources", [{ ...source, format: "csv" }], /data\.sources\[0\]\.format: expected one of text, book/],
    ["data.sources", [{ ...source, weight: 0 }], /data\.sources\[0\]\.weight/],
    ["data.sources", [{ ...source, heldOut: 1 }], /data\.sources\[0\]\.heldOut: expected a share/],
    ["data.sources", [{ ...source, keys: { text: 5 } }], /data\.sources\[0\]\.keys\.text: expected a text, found 5/],
    ["data.sources", [{ ...source, format: "chat" }], /chatTemplate: needed/],
    ["tokenizer", "", /tokenizer: expected a text, found ""/],
  ])("%s = %j is an error that names file and entry", (path, value, message) => {
    let failure: unknown;
    try {
      parseTrainConfig(change(path, value), "c.json");
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(GrokError);
    expect((failure as GrokError).code).toBe("argument");
    expect((failure as GrokError).message).toMatch(message);
  });

  it("reads files, and names one that is missing or no JSON", () => {
    const folder = mkdtempSync(join(tmpdir(), "grok1-config-"));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, "config.json");
    expect(() => readTrainConfig(path)).toThrow(/config\.json: cannot open: no such file/);
    writeFileSync(path, "{");
    expect(() => readTrainConfig(path)).toThrow(/config\.json: not JSON/);
    writeFileSync(path, `\ufeff${JSON.stringify(smallest)}`);
    expect(readTrainConfig(path).tokenizer).toBe(join(folder, "tokenizer.model"));
  });
});
