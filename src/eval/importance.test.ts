import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadAddon } from "../addon.ts";
import { meanSquares, readImportance, writeImportance } from "../convert/importance.ts";
import type { GrokError } from "../errors.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { createReference } from "../kernels/reference/reference.ts";
import { runTokens } from "../model/run.case.ts";
import { decodeRow } from "../tensor/decode.ts";
import { elementCount, readTensor, type Tensor } from "../tensor/tensor.ts";
import { cutChunks } from "./chunks.ts";
import { measureImportance } from "./importance.ts";
import { openChunkReader, openReaderBackend } from "./reader.ts";

const model = (name: string) => join(import.meta.dirname, `../../test/vectors/models/${name}.gguf`);
const stories = join(import.meta.dirname, "../../models/grok1-stories-q8_0.gguf");
const nativeThere = loadAddon().addon !== undefined;
const text = "The quick brown fox jumps over the lazy dog, and nobody knows why it would. ".repeat(4);
const folder = mkdtempSync(join(tmpdir(), "grok1-importance-"));

function valuesOf(tensor: Tensor): Float32Array {
  const values = new Float32Array(elementCount(tensor.shape));
  decodeRow(tensor.type, readTensor(tensor, 0, tensor.shape[0]!), values);
  return values;
}

function sumSquares(values: readonly number[], cols: number): number[] {
  const sums = new Array<number>(cols).fill(0);
  for (const [i, value] of values.entries()) sums[i % cols]! += value * value;
  return sums;
}

const close = (found: ArrayLike<number>, expected: ArrayLike<number>) => {
  expect(found.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(found[i]! - expected[i]!)).toBeLessThanOrEqual(1e-5 * expected[i]! + 1e-9);
  }
};

describe("importance", () => {
  it.each(["llama", "mixtral", "grok-1"])(
    "%s: squares of what every matrix is given, by its definition",
    async (name) => {
      const path = model(name);
      const { matrices, chunks } = await measureImportance(path, text, {
        context: 16,
        chunks: 1,
        backend: "reference",
      });
      expect(chunks).toBe(1);
      const ops = createReference();
      const reader = openChunkReader(ops, path, 16);
      const cut = { context: 16, least: 1, most: 1, what: "test" };
      const [chunk] = cutChunks(reader.encode(text), reader.tokenizer, cut);
      reader.close();
      const file = openGguf(path);
      const { seen, model: bound } = await runTokens(ops, file, chunk!);
      const { width, layers, experts } = bound.config;
      for (let layer = 0; layer < layers; layer++) {
        const of = (matrix: string) => matrices.get(`blk.${layer}.${matrix}.weight`)!;
        for (const each of ["attn_q", "attn_k", "attn_v"]) {
          close(of(each).squares, sumSquares(seen.get(`attn_norm.${layer}`)!, width));
          expect([...of(each).counts]).toEqual([16]);
        }
        const values = seen.get(`kqv_out.${layer}`)!;
        close(of("attn_output").squares, sumSquares(values, values.length / 16));
        const x = seen.get(`ffn_norm.${layer}`)!;
        if (experts === 0) {
          close(of("ffn_up").squares, sumSquares(x, width));
          const inner = seen.get(`ffn_gate_par.${layer}`)!;
          close(of("ffn_down").squares, sumSquares(inner, inner.length / 16));
          continue;
        }
        const chosen = seen.get(`ffn_moe_probs.chosen.${layer}`)!;
        const used = chosen.length / 16;
        const [gate, up] = ["gate", "up"].map((part) => valuesOf(file.tensor(`blk.${layer}.ffn_${part}_exps.weight`)));
        const hidden = gate!.length / experts / width;
        const product = (w: Float32Array, expert: number, row: number, j: number) => {
          let sum = 0;
          for (let i = 0; i < width; i++) sum += w[(expert * hidden + j) * width + i]! * x[row * width + i]!;
          return sum;
        };
        const silu = (v: number) => v / (1 + Math.exp(-v));
        const gelu = (v: number) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
        for (let expert = 0; expert < experts; expert++) {
          const rows = Array.from({ length: 16 }, (_, row) => row).filter((row) =>
            chosen.slice(row * used, (row + 1) * used).includes(expert),
          );
          for (const part of ["gate", "up", "down"]) expect(of(`ffn_${part}_exps`).counts[expert]).toBe(rows.length);
          const inputs = rows.flatMap((row) => x.slice(row * width, (row + 1) * width));
          const inner = rows.flatMap((row) =>
            Array.from({ length: hidden }, (_, j) => {
              const value = product(gate!, expert, row, j);
              return (name === "grok-1" ? gelu(value) : silu(value)) * product(up!, expert, row, j);
            }),
          );
          const part = (matrix: string, cols: number) =>
            of(matrix).squares.subarray(expert * cols, (expert + 1) * cols);
          close(part("ffn_up_exps", width), sumSquares(inputs, width));
          close(part("ffn_down_exps", hidden), sumSquares(inner, hidden));
        }
      }
      expect([...matrices.keys()].some((key) => key.startsWith("token_embd") || key.startsWith("output"))).toBe(false);
      file.close();
    },
  );

  it("names experts that the text hardly met, and adds up chunks on the addon as on the reference", async () => {
    const options = { context: 16, chunks: 2 };
    const exact = await measureImportance(model("mixtral"), text, { ...options, backend: "reference" });
    const quick = await measureImportance(model("mixtral"), text, options);
    expect(exact.hardlySeen.length).toBeGreaterThan(0);
    for (const { tensor, expert, tokens } of exact.hardlySeen) {
      expect(exact.matrices.get(tensor)!.counts[expert]).toBe(tokens);
      expect(tokens).toBeLessThan(32);
    }
    const [one, other] = [exact, quick].map(({ matrices }) => matrices.get("blk.0.attn_q.weight")!);
    expect([...one!.counts]).toEqual([32]);
    for (const [i, sum] of other!.squares.entries()) expect(sum / one!.squares[i]!).toBeCloseTo(1, 3);
  });

  it("is given up where an event says so that comes while it computes, as Ctrl-C does", async () => {
    const stop = new AbortController();
    let done = 0;
    const running = measureImportance(model("mixtral"), text, {
      ...{ context: 8, backend: "reference", signal: stop.signal },
      onChunk: () => {
        done++;
        if (done === 1) setImmediate(() => stop.abort());
      },
    });
    await expect(running).rejects.toMatchObject({ code: "cancelled" });
    expect(done).toBe(1);
    // Between two layers of the only chunk.
    let asked = 0;
    const signal = {
      get aborted() {
        return ++asked > 1;
      },
    } as AbortSignal;
    const cut = measureImportance(model("mixtral"), text, { context: 8, chunks: 1, backend: "reference", signal });
    await expect(cut).rejects.toMatchObject({ code: "cancelled" });
    expect(asked).toBe(2);
  });

  it("is written as llama.cpp writes it, and read again", async () => {
    const path = join(folder, "a.gguf");
    const matrices = new Map([
      ["blk.0.attn_q.weight", { squares: Float32Array.of(8, 2, 4), counts: Float32Array.of(2) }],
      ["blk.0.ffn_up_exps.weight", { squares: Float32Array.of(3, 6, 0, 0), counts: Float32Array.of(3, 0) }],
    ]);
    await writeImportance(path, { matrices, datasets: ["x.txt"], chunks: 7, chunkTokens: 512 });
    const file = openGguf(path);
    expect(file.metadata.string("general.type")).toBe("imatrix");
    expect(file.tensor("blk.0.ffn_up_exps.weight.in_sum2").shape).toEqual([2, 2]);
    expect(file.tensor("blk.0.ffn_up_exps.weight.counts").shape).toEqual([2, 1]);
    file.close();
    const found = readImportance(path);
    expect(found).toMatchObject({ datasets: ["x.txt"], chunks: 7, chunkTokens: 512 });
    expect(found.matrices).toEqual(matrices);
    // What no token met is all ones.
    expect([...meanSquares(found.matrices.get("blk.0.ffn_up_exps.weight")!)]).toEqual([1, 2, 1, 1]);
    expect([...meanSquares(found.matrices.get("blk.0.attn_q.weight")!)]).toEqual([4, 1, 2]);
  });

  it.skipIf(!nativeThere)("is the same where experts are read as they are needed", async () => {
    const options = { context: 16, chunks: 2, backend: "native", threads: 2 } as const;
    const all = await measureImportance(stories, text, options);
    const refused: unknown = await measureImportance(stories, text, { ...options, memory: 1 }).catch((error) => error);
    const { needed } = (refused as GrokError).details as { readonly needed: number };
    const { ops, streamed } = await openReaderBackend(stories, 16, { ...options, memory: needed });
    ops.close();
    expect(streamed).toBe(true);
    expect(await measureImportance(stories, text, { ...options, memory: needed })).toEqual(all);
  });

  it("reads the older layout, and refuses what is neither", () => {
    const int = (value: number) => Buffer.from(Int32Array.of(value).buffer);
    const name = Buffer.from("blk.0.attn_q.weight");
    const sums = Buffer.from(Float32Array.of(6, 2).buffer);
    const old = Buffer.concat([int(1), int(name.length), name, int(2), int(2), sums, int(5), int(1), Buffer.from("t")]);
    const path = join(folder, "old.dat");
    writeFileSync(path, old);
    const found = readImportance(path);
    expect(found).toMatchObject({ chunks: 5, datasets: ["t"] });
    expect([...meanSquares(found.matrices.get("blk.0.attn_q.weight")!)]).toEqual([3, 1]);
    for (let end = 0; end < old.length - 9; end++) {
      writeFileSync(path, old.subarray(0, end));
      expect(() => readImportance(path)).toThrow(/is no importance matrix|old\.dat/);
    }
    old.writeFloatLE(Number.NaN, 4 + 4 + name.length + 8);
    writeFileSync(path, old);
    expect(() => readImportance(path)).toThrow(/negative, or no number/);
    expect(readFileSync(path).length).toBe(old.length);
    expect(() => readImportance(model("llama"))).toThrow(/is no importance matrix/);
  });
});
