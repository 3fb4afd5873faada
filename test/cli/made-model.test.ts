import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parseTrace } from "../../src/memory/trace.ts";
import { withoutAddon } from "../support/addon.ts";
import { folder, grok1 } from "./grok1.ts";

const script = resolve(import.meta.dirname, "../../bench/make-model.mjs");
const shape = [
  "--layers",
  "3",
  "--width",
  "256",
  "--hidden",
  "64",
  "--heads",
  "4",
  "--kv-heads",
  "2",
  "--head-size",
  "64",
];

function make(name: string, args: readonly string[]): string {
  const path = join(folder, name);
  execFileSync(process.execPath, [script, path, ...shape, "--vocabulary", "2000", "--type", "q8_0", ...args]);
  return path;
}

/** Of each layer, the share of choices that its two most used experts have together. */
async function shares(model: string): Promise<number[]> {
  const trace = join(folder, "routing.jsonl");
  const args = ["-p", "1", "-n", "150", "-r", "1", "-t", "1", "--trace", trace];
  expect(await grok1(["bench", "-m", model, ...args])).toMatchObject({ status: 0, stderr: "" });
  const { layers, experts, passes } = parseTrace(readFileSync(trace, "utf8"), trace);
  return Array.from({ length: layers }, (_, layer) => {
    const counts = new Array<number>(experts).fill(0);
    for (const { asked } of passes) for (const expert of asked[layer]!) counts[expert]!++;
    const [first = 0, second = 0] = counts.sort((a, b) => b - a);
    return (first + second) / counts.reduce((sum, count) => sum + count, 0);
  });
}

describe.skipIf(withoutAddon !== "")("a made model", () => {
  it("is the same whenever it is made, and skewed as far as it was asked to be", async () => {
    const hash = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
    const [skewed, again] = [make("skewed.gguf", ["--skew", "2"]), make("again.gguf", ["--skew", "2"])];
    expect(hash(again)).toBe(hash(skewed));
    const [plain, strong] = [await shares(make("plain.gguf", [])), await shares(skewed)];
    // By a Zipf law with exponent 2 the first two of eight are chosen first in 82 % of draws.
    for (const share of strong) expect(share).toBeGreaterThan(0.5);
    for (const [layer, share] of plain.entries()) expect(strong[layer]).toBeGreaterThan(share + 0.1);
  });
});
