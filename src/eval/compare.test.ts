import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadAddon } from "../addon.ts";
import { quantizeModel } from "../convert/quantize.ts";
import type { GrokError } from "../errors.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { runTokens } from "../model/run.case.ts";
import { cutChunks, firstScored } from "./chunks.ts";
import { compareModels, createTally } from "./compare.ts";
import { drawComparison } from "./comparison-chart.ts";
import { openChunkReader } from "./reader.ts";

const vectors = join(import.meta.dirname, "../../test/vectors");
const model = (name: string) => join(vectors, "models", `${name}.gguf`);
const folder = mkdtempSync(join(tmpdir(), "grok1-compare-"));
const text = "The quick brown fox jumps over the lazy dog, and nobody knows why it would. ".repeat(4);

describe("comparing", () => {
  it("has the figures that numpy has", () => {
    let state = 4711;
    const draw = () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) / 2 ** 32;
    };
    const twelve = () => Array.from({ length: 12 }, draw).reduce((sum, x) => sum + x, 0) - 6;
    const [rows, vocab] = [64, 50];
    const a = Float32Array.from({ length: rows * vocab }, () => 2 * twelve());
    const noise = Float32Array.from({ length: rows * vocab }, () => 0.4 * twelve());
    const b = a.map((x, i) => x + noise[i]!);
    const tokens = Int32Array.from({ length: rows }, () => Math.floor(draw() * vocab));
    const tally = createTally();
    // In two parts, as chunks come.
    tally.addRows(a.subarray(0, 20 * vocab), b.subarray(0, 20 * vocab), tokens.subarray(0, 20));
    tally.addRows(a.subarray(20 * vocab), b.subarray(20 * vocab), tokens.subarray(20));
    const expected = JSON.parse(readFileSync(join(vectors, "compare.json"), "utf8"));
    const { perplexity, divergence, sameTop, probability } = tally.result();
    for (const [key, value] of Object.entries({ ...perplexity, ...divergence, ...probability, sameTop })) {
      const all = {
        ...expected.perplexity,
        ...expected.divergence,
        ...expected.probability,
        sameTop: expected.sameTop,
      };
      // Two entries are called mean and are looked at below.
      if (key !== "mean") expect(value, key).toBeCloseTo(all[key], 9);
    }
    expect(divergence.mean).toBeCloseTo(expected.divergence.mean, 9);
    expect(probability.mean).toBeCloseTo(expected.probability.mean, 9);
  });

  it.skipIf(loadAddon().addon === undefined)(
    "is the same where experts of both models are read as they are needed",
    async () => {
      const [a, b] = [join(import.meta.dirname, "../../models/grok1-stories-q8_0.gguf"), join(folder, "b.gguf")];
      await quantizeModel({ source: a, out: b, type: "Q4_0", requantize: true });
      const options = { context: 16, chunks: 2, backend: "native", threads: 2 } as const;
      const all = await compareModels(a, b, text, options);
      const refused: unknown = await compareModels(a, b, text, { ...options, memory: 2 }).catch((error) => error);
      const { needed } = (refused as GrokError).details as { readonly needed: number };
      expect(await compareModels(a, b, text, { ...options, memory: 2 * needed })).toEqual(all);
      expect(all.divergence.mean).toBeGreaterThan(0);
    },
  );

  it("reads both models' chunks, sees their layers and their routers", async () => {
    const a = model("grok-1");
    const ops = createReference();
    const reader = openChunkReader(ops, a, 16);
    const tokens = reader.encode(text);
    const chunks = cutChunks(tokens, reader.tokenizer, { context: 16, least: 1, most: 2, what: "test" });
    reader.close();
    const result = await compareModels(a, a, text, { context: 16, chunks: 2, backend: "reference" });
    expect(result.divergence).toMatchObject({ mean: 0, max: 0 });
    expect(result).toMatchObject({ sameTop: 1, scored: 2 * (16 - firstScored(16)), chunks: 2 });
    expect(result.layers.every((error) => error === 0)).toBe(true);
    expect(result.routers.every((share) => share === 1)).toBe(true);
    const file = openGguf(a);
    let loss = 0;
    for (const chunk of chunks) {
      const { logits } = await runTokens(ops, file, chunk);
      const vocab = logits.length / chunk.length;
      for (let i = firstScored(16); i < 16; i++) {
        const row = logits.slice((i - 1) * vocab, i * vocab);
        loss += Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[chunk[i]!]!;
      }
    }
    file.close();
    expect(result.perplexity.a).toBeCloseTo(Math.exp(loss / result.scored), 6);
    const halves = [0, 1].map((skip) =>
      compareModels(a, a, text, { context: 16, chunks: 1, skip, backend: "reference" }),
    );
    const [first, second] = (await Promise.all(halves)).map(({ perplexity }) => Math.log(perplexity.a));
    expect((first! + second!) / 2).toBeCloseTo(Math.log(result.perplexity.a), 9);
    expect(first).not.toBeCloseTo(second!, 3);
    const other = await compareModels(a, a, text, { context: 16, chunks: 2 });
    expect(other.perplexity.a / result.perplexity.a).toBeCloseTo(1, 1);
    const drawing = drawComparison(result, "a<b>.gguf", "b.gguf");
    expect(drawing).toMatch(/^<svg [\s\S]*a&#60;b&#62;[\s\S]*KL divergence[\s\S]*same experts[\s\S]*<\/svg>\n$/);
    await expect(compareModels(a, a, text, { context: 4 })).rejects.toThrow(/at least 8/);
    await expect(compareModels(a, a, "a", { context: 16 })).rejects.toThrow(/need at least 16/);
  });
});
