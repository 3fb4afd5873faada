import { existsSync, linkSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { folder, grok1, models } from "./grok1.ts";

const exact = join(folder, "exact.gguf");
const text = join(folder, "text.txt");
beforeAll(async () => {
  await grok1(["convert", join(models, "mixtral.gguf"), exact, "--type", "f32"]);
  writeFileSync(text, "The quick brown fox jumps over the lazy dog, and nobody knows why it would. ".repeat(20));
});

describe("imatrix, quantize and compare", () => {
  it("make importance, use it, and say what the result costs", async () => {
    const [importance, small, plain, chart] = ["im.gguf", "small.gguf", "plain.gguf", "cost.svg"].map((name) =>
      join(folder, name),
    ) as [string, string, string, string];
    const read = await grok1(["imatrix", exact, "-f", text, "-o", importance, "-c", "32", "--chunks", "4"]);
    expect(read.status).toBe(0);
    expect(read.stdout).toMatch(/im\.gguf: \d+ matrices, 4 chunks of 32 tokens, in /);
    expect((await grok1(["verify", importance])).stdout).not.toMatch(/health/);
    const informed = await grok1(["quantize", exact, small, "--type", "Q4_0", "--importance", importance, "--json"]);
    expect(informed.status).toBe(0);
    const blind = await grok1(["quantize", exact, plain, "--type", "Q4_0", "--json"]);
    expect(JSON.parse(informed.stdout).sha256).not.toBe(JSON.parse(blind.stdout).sha256);

    const options = ["-f", text, "-c", "32", "--chunks", "4"];
    const same = await grok1(["compare", exact, exact, ...options, "--json"]);
    expect(JSON.parse(same.stdout)).toMatchObject({ divergence: { mean: 0 }, sameTop: 1, chunks: 4, context: 32 });
    const { status, stdout } = await grok1(["compare", exact, small, ...options, "--chart", chart]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/KL divergence, mean +0\.\d+ ± 0\.\d+\n/);
    expect(stdout).toMatch(/layer +error +same experts\n/);
    expect(readFileSync(chart, "utf8")).toMatch(/^<svg /);
  });

  it("write nothing over what they read", async () => {
    const link = join(folder, "link");
    linkSync(exact, link);
    const before = readFileSync(exact);
    const asked = [
      ["imatrix", exact, "-f", text, "-o", exact],
      ["imatrix", exact, "-f", text, "-o", text],
      ["compare", exact, exact, "-f", text, "--chart", link],
      ["compare", exact, exact, "-f", text, "--chart", text],
      ["quantize", exact, text, "--type", "Q4_0", "--importance", text],
      ["quantize", exact, text, "--type", "Q4_0", "--calibrate", text],
      ["logits", exact, "--tokens", "5,3", "--out", join(folder, "..", basename(folder), "exact.gguf")],
      ["train-tokenizer", text, "--vocab-size", "300", "--out", text],
    ];
    for (const command of asked) {
      const { status, stderr } = await grok1(command);
      expect([command[0], status, stderr]).toEqual([command[0], 2, expect.stringMatching(/, which stays as it is\n$/)]);
    }
    expect(readFileSync(exact).equals(before)).toBe(true);
  });

  it("says what is wrong", async () => {
    const other = join(folder, "other.gguf");
    const foreign = await grok1(["compare", exact, join(folder, "none.gguf"), "-f", text, "-c", "32"]);
    expect([foreign.status, foreign.stderr]).toEqual([1, expect.stringMatching(/none\.gguf: cannot open/)]);
    const short = await grok1(["imatrix", exact, "-f", text, "-o", other, "-c", "64000"]);
    expect(short.status).not.toBe(0);
    expect(existsSync(other)).toBe(false);
  });
});
