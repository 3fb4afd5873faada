import { describe, expect, test } from "vitest";
import { loadAddon } from "../addon.ts";
import { GrokError } from "../errors.ts";
import { type Compensation, createCompensatedEncoder, emptyGram, type Gram } from "./compensated-encoder.ts";
import { decodeRow } from "./decode.ts";
import { createRowEncoder } from "./row-encoder.ts";
import { encodedBytes, type TensorType, tensorTypes } from "./types.ts";

const { addon } = loadAddon();
const why = addon === undefined ? "(no native addon)" : "";
const types = (Object.keys(tensorTypes) as TensorType[]).filter((type) =>
  addon?.createEncoder(1, "scalar").compensatedGroup(tensorTypes[type].ggml),
);

function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
}

/** Rows of weights, and inputs whose columns go together, some of them hardly ever there. */
function draw(seed: number, rows: number, columns: number, inputs = 3 * columns) {
  const next = generator(seed);
  const mix = Float64Array.from({ length: columns * 8 }, next);
  const strength = Float64Array.from({ length: columns }, () => Math.exp(4 * next()));
  const x = new Float32Array(inputs * columns);
  for (let i = 0; i < inputs; i++) {
    const common = Float64Array.from({ length: 8 }, next);
    for (let j = 0; j < columns; j++) {
      let sum = 0.3 * next();
      for (let k = 0; k < 8; k++) sum += common[k]! * mix[j * 8 + k]!;
      x[i * columns + j] = strength[j]! * sum;
    }
  }
  const weights = Float32Array.from({ length: rows * columns }, () => next() + next() + next());
  return { x, weights };
}

const damping = 0.01;
function damped({ columns, sums }: Gram): Float64Array {
  const h = Float64Array.from(sums);
  let mean = 0;
  for (let j = 0; j < columns; j++) mean += h[j * columns + j]! / columns;
  for (let j = 0; j < columns; j++) h[j * columns + j]! += damping * mean;
  return h;
}

/** E H Eᵀ of one row's error. */
function lossOf(h: Float64Array, error: Float64Array): number {
  const n = error.length;
  let sum = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sum += error[i]! * h[i * n + j]! * error[j]!;
  return sum;
}

function lossesOf(type: TensorType, bytes: Uint8Array, weights: Float32Array, h: Float64Array): number[] {
  const n = Math.sqrt(h.length);
  const back = new Float32Array(weights.length);
  decodeRow(type, bytes, back);
  return Array.from({ length: weights.length / n }, (_, row) =>
    lossOf(
      h,
      Float64Array.from({ length: n }, (_, j) => weights[row * n + j]! - back[row * n + j]!),
    ),
  );
}

/** By elimination, in float64. */
function inverse(matrix: Float64Array, n: number): Float64Array {
  const a = Float64Array.from(matrix);
  const out = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
  for (let k = 0; k < n; k++) {
    const pivot = a[k * n + k]!;
    for (let j = 0; j < n; j++) {
      a[k * n + j]! /= pivot;
      out[k * n + j]! /= pivot;
    }
    for (let i = 0; i < n; i++) {
      const factor = a[i * n + k]!;
      if (i === k || factor === 0) continue;
      for (let j = 0; j < n; j++) {
        a[i * n + j]! -= factor * a[k * n + j]!;
        out[i * n + j]! -= factor * out[k * n + j]!;
      }
    }
  }
  return out;
}

const gramOf = (encoder: ReturnType<typeof createCompensatedEncoder>, x: Float32Array, columns: number): Gram => {
  const gram = emptyGram(columns);
  encoder.add(gram, x);
  return gram;
};

describe.skipIf(why !== "")(`rounding with compensated errors ${why}`, () => {
  // The body of what is skipped runs all the same.
  const encoder = why === "" ? createCompensatedEncoder({ threads: 2 }) : (undefined as never);
  const plain = createRowEncoder({ threads: 2 });

  test("a Gram matrix is the sum over inputs, in as many parts as they come", () => {
    const { x } = draw(1, 0, 96, 70);
    const gram = emptyGram(96);
    encoder.add(gram, x.subarray(0, 33 * 96));
    encoder.add(gram, x.subarray(33 * 96));
    for (let i = 0; i < 96; i++) {
      for (let j = 0; j < 96; j++) {
        let sum = 0;
        for (let t = 0; t < 70; t++) sum += x[t * 96 + i]! * x[t * 96 + j]!;
        expect(Math.abs(gram.sums[i * 96 + j]! - sum)).toBeLessThan(1e-4 * (1 + Math.abs(sum)));
      }
    }
  });

  test("the factor is that of the damped inverse, in the order of columns, past a panel and at odd sizes", () => {
    for (const columns of [32, 160, 288]) {
      const gram = gramOf(encoder, draw(2, 0, columns).x, columns);
      const { factor, order } = encoder.compensationOf(gram, "q4_0", damping);
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: columns }, (_, i) => i));
      const wanted = inverse(damped(gram), columns);
      let [off, all] = [0, 0];
      for (let i = 0; i < columns; i++) {
        for (let j = 0; j < columns; j++) {
          if (j < i) expect(factor[i * columns + j]).toBe(0);
          let sum = 0;
          for (let k = 0; k <= Math.min(i, j); k++) sum += factor[k * columns + i]! * factor[k * columns + j]!;
          const value = wanted[order[i]! * columns + order[j]!]!;
          off += (sum - value) ** 2;
          all += value ** 2;
        }
      }
      expect(Math.sqrt(off / all)).toBeLessThan(1e-5);
    }
  });

  test.each(types)("%s loses less than plain rounding, and says how much", (type) => {
    const columns = 512;
    const { x, weights } = draw(3, 5, columns);
    const gram = gramOf(encoder, x, columns);
    const h = damped(gram);
    const importance = Float32Array.from({ length: columns }, (_, j) => gram.sums[j * columns + j]!);
    const total = (losses: number[]) => losses.reduce((sum, loss) => sum + loss, 0);
    const without = total(lossesOf(type, plain.encode(type, weights, columns, importance), weights, h));
    const { bytes, loss } = encoder.encode(type, weights, columns, encoder.compensationOf(gram, type, damping));
    const own = total(lossesOf(type, bytes, weights, h));
    expect(Math.abs(own / loss - 1)).toBeLessThan(1e-3);
    expect(own).toBeLessThan(0.6 * without);
  });

  // The textbook's form, without Cholesky: after each column the inverse loses it (Frantar & Alistarh 2022, OBC, eq. 3), in float64. Only
  // the grid, a block's scales, is taken over from what was written.
  test.each(["q4_0", "q5_1", "iq4_nl"] as const)(
    "%s: codes are those of the optimal brain surgeon's updates",
    (type) => {
      const columns = 96;
      const { x, weights } = draw(4, 3, columns);
      const gram = gramOf(encoder, x, columns);
      const by = encoder.compensationOf(gram, type, damping);
      const { bytes } = encoder.encode(type, weights, columns, by);
      const back = new Float32Array(weights.length);
      decodeRow(type, bytes, back);
      const rowBytes = encodedBytes(type, columns);
      for (let row = 0; row < 3; row++) {
        const left = Float64Array.from(weights.subarray(row * columns, (row + 1) * columns));
        const inv = inverse(damped(gram), columns);
        for (const j of by.order) {
          const chosen = back[row * columns + j]!;
          const values = gridOf(type, bytes.subarray(row * rowBytes, (row + 1) * rowBytes), Math.floor(j / 32));
          const nearest = Math.min(...values.map((value) => Math.abs(value - left[j]!)));
          // In float32 a tie may go the other way.
          expect(Math.abs(chosen - left[j]!)).toBeLessThan(nearest + 1e-4);
          const error = (left[j]! - chosen) / inv[j * columns + j]!;
          for (let k = 0; k < columns; k++) left[k]! -= error * inv[j * columns + k]!;
          const removed = Float64Array.from({ length: columns }, (_, k) => inv[j * columns + k]!);
          const pivot = removed[j]!;
          for (let a = 0; a < columns; a++) {
            for (let b = 0; b < columns; b++) inv[a * columns + b]! -= (removed[a]! * removed[b]!) / pivot;
          }
        }
      }
    },
  );

  /** All values that a block of 32 can hold with its scales: what it decodes to with each code. */
  function gridOf(type: TensorType, row: Uint8Array, block: number): number[] {
    const { blockBytes } = tensorTypes[type];
    const own = row.slice(block * blockBytes, (block + 1) * blockBytes);
    const heads = { q4_0: 2, iq4_nl: 2, q5_1: 4 } as Record<string, number>;
    return [0x00, 0xff].flatMap((high) =>
      Array.from({ length: 16 }, (_, code) => {
        own.fill(high, heads[type]);
        own.fill(code * 17, blockBytes - 16);
        const values = new Float32Array(32);
        decodeRow(type, own, values);
        return values[0]!;
      }),
    );
  }

  test("where no inputs go together nothing is made up for: columns are rounded to nearest", () => {
    const columns = 64;
    const gram = emptyGram(columns);
    for (let j = 0; j < columns; j++) gram.sums[j * columns + j] = 1 + (j % 7);
    const { weights } = draw(5, 4, columns);
    const { bytes } = encoder.encode("q8_0", weights, columns, encoder.compensationOf(gram, "q8_0", 0));
    const back = new Float32Array(weights.length);
    decodeRow("q8_0", bytes, back);
    const largest = Math.max(...weights.map(Math.abs));
    for (let i = 0; i < back.length; i++) {
      expect(Math.abs(back[i]! - weights[i]!)).toBeLessThan((0.51 * largest) / 127);
    }
  });

  test.each(types)("%s: the same bytes with any instruction set and any number of threads", (type) => {
    const columns = 512;
    const { x, weights } = draw(6, 37, columns, 40);
    const by = encoder.compensationOf(gramOf(encoder, x, columns), type, damping);
    const results = addon!.machine().isas.flatMap((isa) =>
      [1, 3].map((threads) => {
        const one = addon!.createEncoder(threads, isa);
        const out = new Uint8Array(37 * encodedBytes(type, columns));
        const losses = new Float64Array(37);
        const from = new Uint8Array(weights.buffer);
        expect(one.compensate(0, from, tensorTypes[type].ggml, 37, columns, by.factor, by.order, out, losses)).toBe(-1);
        one.close();
        return `${Buffer.from(out).toString("latin1")} ${losses.join(" ")}`;
      }),
    );
    expect(new Set(results).size).toBe(1);
  });

  test("inputs never seen, rows of zeros and of one value come back as finite numbers", () => {
    const columns = 256;
    const x = draw(7, 0, columns, 20).x.map((value, i) => (i % columns < 100 ? 0 : value));
    const gram = gramOf(encoder, x, columns);
    const rows = Float32Array.from({ length: 3 * columns }, (_, i) => (i < columns ? 0 : i < 2 * columns ? -3 : 6e4));
    for (const type of types) {
      const { bytes, loss } = encoder.encode(type, rows, columns, encoder.compensationOf(gram, type, damping));
      const back = new Float32Array(rows.length);
      decodeRow(type, bytes, back);
      expect(back.every(Number.isFinite)).toBe(true);
      expect(Number.isFinite(loss)).toBe(true);
      expect(back.subarray(0, columns).every((value) => value === 0)).toBe(true);
    }
    const nothing = encoder.compensationOf(emptyGram(columns), "q4_k", damping);
    expect(encoder.encode("q4_k", rows, columns, nothing).bytes.length).toBe(3 * 144);
  });

  test("what is no Gram matrix, an order that takes blocks apart, and values that no type holds are refused", () => {
    const columns = 64;
    const { x, weights } = draw(8, 2, columns);
    const gram = gramOf(encoder, x, columns);
    const by = encoder.compensationOf(gram, "q4_0", damping);
    const spoiled = { columns, sums: gram.sums.map((value, i) => (i === 70 ? 1e9 : value)) };
    for (const i of [1, 64]) spoiled.sums[i] = 1e9;
    expect(() => encoder.compensationOf(spoiled, "q4_0", damping)).toThrow(/not positive definite/);
    const mixed = by.order.slice();
    [mixed[0], mixed[40]] = [mixed[40]!, mixed[0]!];
    const refused = (compensation: Compensation, values = weights) => {
      expect(() => encoder.encode("q4_0", values, columns, compensation)).toThrow();
    };
    refused({ ...by, order: mixed });
    refused({ ...by, order: by.order.map(() => 0) });
    refused({ ...by, order: by.order.subarray(1) });
    refused({ ...by, factor: by.factor.subarray(1) });
    refused({ ...by, factor: new Float32Array(columns * columns) });
    const values = weights.map((value, i) => (i === 77 ? Number.NaN : value));
    expect(() => encoder.encode("q4_0", values, columns, by)).toThrow(GrokError);
    expect(() => encoder.encode("q4_0", values, columns, by)).toThrow(/value 77/);
  });
});
