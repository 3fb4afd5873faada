import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadAddon } from "../../src/addon.ts";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { folder, grok1, models } from "./grok1.ts";

const why = loadAddon().addon === undefined ? "(no native addon)" : "";
const exact = join(folder, "fit-source.gguf");
const text = join(folder, "calibration.txt");
beforeAll(async () => {
  await grok1(["convert", join(models, "grok-1.gguf"), exact, "--type", "f32"]);
  writeFileSync(text, "The quick brown fox jumps over the lazy dog, and back again. ".repeat(80));
});

describe.skipIf(why !== "")(`quantize by calibration ${why}`, () => {
  it("--calibrate makes up for errors in the types of a mixture, the same bytes with any number of threads", async () => {
    const written = await Promise.all(
      ["1", "3"].map(async (threads) => {
        const out = join(folder, `calibrated-${threads}.gguf`);
        const options = ["--calibrate", text, "--chunks", "2", "--threads", threads, "--json"];
        const { status, stdout, stderr } = await grok1(["quantize", exact, out, "--type", "Q4_0", ...options]);
        expect([status, stderr]).toEqual([0, ""]);
        return JSON.parse(stdout);
      }),
    );
    const plain = join(folder, "uncalibrated.gguf");
    const { stdout } = await grok1(["quantize", exact, plain, "--type", "Q4_0", "--json"]);
    const without = JSON.parse(stdout);
    expect(written[0].sha256).toBe(written[1].sha256);
    expect(written[0].sha256).not.toBe(without.sha256);
    expect(written[0].tensors.map(({ type }: { type: string }) => type)).toEqual(
      without.tensors.map(({ type }: { type: string }) => type),
    );
    const run = await grok1(["run", "-m", written[0].out, "-p", "abc", "-n", "4", "--ignore-end"]);
    expect(run.status).toBe(0);
  });

  it("--calibrate counts as importance: nothing is warned of, and mixtures take the types that importance allows", async () => {
    const models = join(import.meta.dirname, "../../models");
    const own = join(models, readdirSync(models).find((name) => name.endsWith(".gguf"))!);
    const plan = async (type: string, ...more: string[]) => {
      const asked = ["quantize", own, join(folder, "dry.gguf"), "--type", type, "--requantize", "--dry-run", "--json"];
      const { status, stdout, stderr } = await grok1([...asked, ...more]);
      expect(status).toBe(0);
      const types = JSON.parse(stdout).tensors.map(({ type }: { type: string }) => type);
      return { types: new Set<string>(types), stderr };
    };
    const [blind, informed] = [await plan("IQ3_XXS"), await plan("IQ3_XXS", "--calibrate", text)];
    expect(blind.stderr).toMatch(/iq\d_\w+ without importance loses much: .*--calibrate by a text/);
    expect(informed.stderr).toBe("");
    expect(informed.types).not.toEqual(blind.types);
    expect((await plan("IQ2_XXS", "--calibrate", text)).stderr).toBe("");
  });

  it("--fit meets a size, measures once for all sizes, and spends more where it may", async () => {
    const measured = join(folder, "measured.json");
    const options = ["--calibrate", text, "--chunks", "2", "--sensitivity", measured, "--json"];
    const fitTo = async (size: string) => {
      const out = join(folder, `fit-${size}.gguf`);
      const { status, stdout, stderr } = await grok1(["quantize", exact, out, "--fit", size, ...options]);
      expect([status, stderr]).toEqual([0, ""]);
      return { ...JSON.parse(stdout), size: statSync(out).size };
    };
    const small = await fitTo(String(120 * 1024));
    const before = readFileSync(measured, "utf8");
    const large = await fitTo("160K");
    expect(readFileSync(measured, "utf8")).toBe(before);
    expect(small.size).toBeLessThanOrEqual(120 * 1024);
    expect(large.size).toBeLessThanOrEqual(160 * 1024);
    expect(large.size).toBeGreaterThan(small.size);
    expect(large.expectedDivergence).toBeLessThan(small.expectedDivergence);
    expect(large.measuredDivergence).toMatchObject({ chunks: 8, mean: expect.any(Number), error: expect.any(Number) });
    expect(large.measuredDivergence.mean).toBeLessThan(small.measuredDivergence.mean);
    const again = await grok1([
      "quantize",
      exact,
      join(folder, "fit-again.gguf"),
      "--fit",
      "120K",
      ...options.slice(0, -1),
    ]);
    expect(again.stdout).toMatch(/ nats of KL divergence expected; 0\.\d+ ± 0\.\d+ measured on 8 chunks/);
    const file = openGguf(large.out);
    for (const { tensor, type } of large.choices) expect(file.tensor(tensor).type).toBe(type);
    expect(file.tensor("blk.0.ffn_gate_inp.weight").type).toBe("f32");
    file.close();
  });

  it("says what is wrong", async () => {
    const out = join(folder, "fit-wrong.gguf");
    const cases: [string[], RegExp][] = [
      [["--fit", "1M"], /--calibrate/],
      [["--calibrate", text], /--type and --fit/],
      [["--fit", "1M", "--type", "Q4_0", "--calibrate", text], /--type and --fit/],
      [["--fit", "1M", "--calibrate", text, "--pure"], /--pure/],
      [["--type", "Q4_0", "--chunks", "3"], /--chunks/],
      [["--fit", "1M", "--calibrate", text, "--types", "q4_k,zz"], /zz is none of/],
      [["--fit", "1K", "--calibrate", text, "--chunks", "1"], /not even the smallest types meet 1024 bytes/],
      [["--type", "Q4_0", "--calibrate", join(models, "nothing.txt")], /nothing\.txt/],
    ];
    for (const [options, message] of cases) {
      const { status, stderr } = await grok1(["quantize", exact, out, ...options]);
      expect([status === 0, stderr]).toEqual([false, expect.stringMatching(message)]);
      expect(existsSync(out)).toBe(false);
    }
  });
});
