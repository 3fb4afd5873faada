import { Worker } from "node:worker_threads";
import { afterAll, expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { type Addon, loadAddon } from "../../addon.ts";
import { memoryTensor } from "../../tensor/memory-tensor.case.ts";
import { elementCount, type Tensor } from "../../tensor/tensor.ts";
import type { Batch, Matrix, Routing } from "../ops.ts";
import { createNative } from "./native.ts";

const state = loadAddon();
const width = 256;
const hidden = 512;
const experts = 4;

function wave(count: number, step: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * step));
}

function floats(name: string, shape: number[]): Tensor {
  return memoryTensor(name, "f32", shape, wave(elementCount(shape), 0.37));
}

it.skipIf(!state.addon)(
  `a cancelled operation ends at once, and the next one is right${withoutAddon}`,
  async () => {
    const numbers = new Int32Array(new SharedArrayBuffer(8));
    const ops = createNative(state.addon as Addon, {
      threads: 2,
      cancel: { numbers, left: () => new Promise(() => {}) },
    });
    afterAll(() => ops.close());
    const weight = ops.weight(floats("w", [hidden, width]));
    const stacks = {
      gate: ops.weight(floats("gate", [experts, hidden, width])),
      up: ops.weight(floats("up", [experts, hidden, width])),
      down: ops.weight(floats("down", [experts, width, hidden])),
    };
    const cache = ops.kvCache({ layers: 1, kvHeads: 2, headSize: 64, pages: 8, pageTokens: 64, type: "f32" });
    const batch: Batch = {
      tokens: new Int32Array(512),
      positions: Int32Array.from({ length: 512 }, (_, i) => i),
      sequences: [{ start: 0, count: 512, pages: Int32Array.from({ length: 8 }, (_, i) => i) }],
      outputs: new Int32Array(),
    };
    const matrix = (name: string, rows: number, cols: number) => {
      const made = ops.matrix(name, rows, cols);
      ops.write(made, wave(rows * cols, 0.11));
      return made;
    };
    const k = matrix("k", 512, 128);
    ops.begin(batch);
    ops.store(cache, 0, k, k);
    const routed = (rows: number): Routing =>
      ops.route(`routing ${rows}`, matrix(`logits ${rows}`, rows, experts), { used: 2, renormalize: true });

    const kinds: [string, () => Matrix | Promise<Matrix>][] = [1, 3, 64].flatMap((rows) => {
      const x = matrix(`x ${rows}`, rows, width);
      const routing = routed(rows);
      return [
        [`product ${rows}`, () => ops.matmul(`product ${rows}`, x, weight)],
        [`experts ${rows}`, () => ops.experts(`experts ${rows}`, x, routing, stacks, "gelu")],
      ];
    });
    const term = (rows: number) => ({
      ...{ a: ops.weight(floats("a", [16, width])), b: ops.weight(floats("b", [hidden, 16])) },
      scales: matrix(`scales ${rows}`, rows, 1),
    });
    for (const rows of [1, 64]) {
      const [x, factors] = [matrix(`x ${rows}`, rows, width), term(rows)];
      const name = `low rank ${rows}`;
      kinds.push([name, () => ops.addLowRank(ops.matmul(name, x, weight), x, factors)]);
      // The product before it was whole: what is added must say itself that it was cut short.
      const y = matrix(`y ${rows}`, rows, hidden);
      Atomics.store(numbers, 0, 1);
      expect(() => ops.addLowRank(y, x, factors), name).toThrow(expect.objectContaining({ code: "cancelled" }));
      Atomics.store(numbers, 0, 0);
    }
    const q = matrix("q", 512, 256);
    kinds.push(["attention", () => ops.attention("attention", q, cache, 0, { heads: 4, scale: 0.125 })]);

    for (const [name, compute] of kinds) {
      const expected = Array.from(await ops.read(await compute()));
      // Nothing of the result before may stand in for what was not computed.
      ((await ops.read(await compute())) as Float32Array).fill(Number.NaN);
      Atomics.store(numbers, 0, 1);
      await expect(async () => await compute(), name).rejects.toThrow(expect.objectContaining({ code: "cancelled" }));
      const left = Array.from(await ops.read(ops.matrix(name, expected.length, 1)));
      expect(left, name).not.toEqual(expected);
      Atomics.store(numbers, 0, 0);
      expect(Array.from(await ops.read(await compute())), name).toEqual(expected);
    }

    // As it happens: another thread asks while this one computes.
    const source = `const { workerData } = require("node:worker_threads");
    Atomics.wait(workerData, 1, 0, 30);
    Atomics.store(workerData, 0, 1);`;
    const other = new Worker(source, { eval: true, workerData: numbers });
    const x = matrix("x", 512, width);
    const forever = () => {
      for (;;) ops.matmul("product", x, weight);
    };
    expect(forever).toThrow(expect.objectContaining({ code: "cancelled" }));
    await other.terminate();
  },
  60_000,
);
