import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { loadAddon } from "../addon.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { observe } from "../model/observe.ts";
import { bindModel } from "../model/registry.ts";
import { openCalibration, wholeBatch } from "./calibration.ts";

const why = loadAddon().addon === undefined ? "(no native addon)" : "";
const path = fileURLToPath(new URL("../../test/vectors/models/grok-1.gguf", import.meta.url));
const text = "The quick brown fox jumps over the lazy dog, and back again. ".repeat(40);

/** What matrices of the layer meet, by the names of a whole pass on the reference backend, summed over chunks. */
async function referenceSums(
  chunks: readonly Int32Array[],
  names: readonly string[],
): Promise<Map<string, Float64Array>> {
  const sums = new Map<string, Float64Array>();
  const file = openGguf(path);
  const ops = createReference();
  const observed = observe(ops, (layer, name, matrix) => {
    const key = `${name}.${layer}`;
    if (!names.includes(key)) return;
    const x = ops.read(matrix) as Float64Array;
    const own = sums.get(key) ?? new Float64Array(matrix.cols * matrix.cols);
    sums.set(key, own);
    for (let row = 0; row < matrix.rows; row++) {
      for (let i = 0; i < own.length; i++) {
        own[i]! += x[row * matrix.cols + Math.floor(i / matrix.cols)]! * x[row * matrix.cols + (i % matrix.cols)]!;
      }
    }
  });
  const model = bindModel(observed, file);
  const cache = model.kvCache({ pages: 8, pageTokens: 64, type: "f32" });
  for (const chunk of chunks) await model.forward(wholeBatch([chunk]), cache);
  ops.close();
  file.close();
  return sums;
}

describe.skipIf(why !== "")(`calibration ${why}`, () => {
  test("matrices meet what they meet in a whole pass, whichever layer is asked for first", async () => {
    using calibration = openCalibration(path, text, { chunks: 3, threads: 2 });
    expect(calibration.tokens.length).toBe(3);
    const wanted = new Map([
      ["blk.1.attn_v.weight", "attn_norm.1"],
      ["blk.0.attn_output.weight", "kqv_out.0"],
      ["blk.0.attn_q.weight", "attn_norm.0"],
      ["blk.1.attn_output.weight", "kqv_out.1"],
    ]);
    const sums = await referenceSums(calibration.tokens, [...wanted.values()]);
    for (const [tensor, name] of wanted) {
      const [inputs, ...more] = (await calibration.inputsOf(tensor))!;
      expect(more).toEqual([]);
      expect(inputs!.tokens).toBe(3 * calibration.tokens[0]!.length);
      const exact = sums.get(name)!;
      let [off, all] = [0, 0];
      for (const [i, value] of exact.entries()) {
        off += (inputs!.gram!.sums[i]! - value) ** 2;
        all += value ** 2;
      }
      // Products with q8_0 round activations to 8 bits.
      expect(Math.sqrt(off / all)).toBeLessThan(0.03);
      for (let j = 0; j < inputs!.columns; j++) {
        expect(inputs!.squares[j]! / inputs!.gram!.sums[j * (inputs!.columns + 1)]!).toBeCloseTo(1, 4);
      }
    }
  });

  test("experts meet the tokens that chose them, each as many as use it", async () => {
    using calibration = openCalibration(path, text, { chunks: 2, threads: 2 });
    const { used, experts } = calibration.model.config;
    const tokens = calibration.tokens.reduce((sum, chunk) => sum + chunk.length, 0);
    for (const part of ["gate", "up", "down"]) {
      const inputs = (await calibration.inputsOf(`blk.1.ffn_${part}_exps.weight`))!;
      expect(inputs.length).toBe(experts);
      expect(inputs.reduce((sum, each) => sum + each.tokens, 0)).toBe(used * tokens);
    }
    const [gate, up, down] = await Promise.all(
      ["gate", "up", "down"].map((part) => calibration.inputsOf(`blk.1.ffn_${part}_exps.weight`)),
    );
    expect(gate![3]).toBe(up![3]);
    expect(down![3]).not.toBe(up![3]);
    expect(await calibration.inputsOf("blk.9.attn_q.weight")).toBeUndefined();
    expect(await calibration.inputsOf("blk.0.attn_norm.weight")).toBeUndefined();
  });

  test("without room for sums a matrix keeps the strength of its inputs", async () => {
    using calibration = openCalibration(path, text, { chunks: 1, threads: 1, memory: 1000 });
    const [inputs] = (await calibration.inputsOf("blk.0.attn_q.weight"))!;
    expect(inputs!.gram).toBeUndefined();
    expect(inputs!.squares.every((sum) => sum > 0)).toBe(true);
    const rounding = (await calibration.roundingOf("blk.0.attn_q.weight", "q4_0"))!;
    const rows = new Float32Array(2 * inputs!.columns).fill(0.5);
    expect(rounding.measured(0, rows)).toBeUndefined();
    expect(rounding.encode(0, rows).length).toBe((rows.length / 32) * 18);
  });

  test("a text that fills no chunk is refused", () => {
    expect(() => openCalibration(path, "short")).toThrow(/the text has \d+ tokens, expected at least 128/);
  });

  test("a folder is refused, with what makes a file of it", () => {
    expect(() => openCalibration(dirname(path), text)).toThrow(/convert it first, grok1 convert .*models OUT\.gguf/);
  });
});
