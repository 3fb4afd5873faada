import { describe, expect, it } from "vitest";
import { type Budgets, load, values } from "./ops.case.ts";
import type { Ops } from "./ops.ts";
import { createRandom, relativeError } from "./oracle.case.ts";

/** A row's columns as Ops.topK orders them, and the log of the sum of its exponentials. */
function sorted(row: Float32Array) {
  const order = Array.from(row, (_, i) => i).sort((i, j) => {
    const [a, b] = [row[i]!, row[j]!];
    if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
    return a > b ? -1 : b > a ? 1 : i - j;
  });
  const top = row[order[0]!]!;
  const sum = row.reduce((total, value) => total + Math.exp(value - top), 0);
  const lse = row.some(Number.isNaN) ? Number.NaN : Number.isFinite(top) ? top + Math.log(sum) : top;
  return { order, lse };
}

export function topKConformance(get: () => Ops, budgets: Budgets): void {
  describe("the largest of each row", () => {
    const check = async (rows: readonly Float32Array[], k: number) => {
      const ops = get();
      const [n, cols] = [rows.length, rows[0]!.length];
      const x = Float32Array.from(rows.flatMap((row) => [...row]));
      const found = ops.topK("top", load(ops, "x", n, cols, x), k);
      expect([found.values, found.indices, found.logSumExp].map(({ rows, cols }) => [rows, cols])).toEqual([
        ...[[n, k], [n, k], [n, 1]], // biome-ignore format: a triple
      ]);
      const expected = rows.map(sorted);
      const indices = expected.flatMap(({ order }) => order.slice(0, k));
      expect(await values(ops, found.indices)).toEqual(indices);
      expect(await values(ops, found.values)).toEqual(indices.map((i, at) => rows[Math.floor(at / k)]![i]!));
      const sums = await values(ops, found.logSumExp);
      for (const [t, { lse }] of expected.entries()) {
        if (Number.isFinite(lse)) expect(relativeError([sums[t]!], [lse])).toBeLessThan(budgets.elementwise);
        else expect(sums[t]).toBe(lse);
      }
      expect(await values(ops, ops.matrix("x", n, cols))).toEqual([...x]);
    };

    it.each([
      [1, 1, 1],
      [1, 5, 5],
      [3, 17, 1],
      [4, 64, 2],
      [2, 65, 40],
      [3, 1000, 1000],
      [1, 8192, 7],
      [2, 8193, 1],
      [5, 20011, 64],
      [1, 131072, 1],
      [2, 131072, 40],
    ])("of %i rows of %i the first %i", async (n, cols, k) => {
      const random = createRandom(cols + k);
      await check(
        Array.from({ length: n }, () => random.normal(cols, 6)),
        k,
      );
    });

    it("where values tie, rise, fall and all are one, over threads' borders too", async () => {
      const cols = 20000;
      const make = (f: (i: number) => number) => Float32Array.from({ length: cols }, (_, i) => f(i));
      const rows = [
        make(() => -3),
        make((i) => i / 1000),
        make((i) => -i / 1000),
        make((i) => i % 3),
        make((i) => (i === 8191 || i === 8192 || i === 19999 ? 2 : 0)),
        make((i) => (i === 19999 ? 1e-30 : 0)),
        make((i) => (i % 2 === 0 ? 0 : -0)),
      ];
      for (const k of [1, 2, 3, 100]) await check(rows, k);
    });

    it("with infinities, what is no number, and the largest floats", async () => {
      const row = (length: number, ...put: [number, number][]) => {
        const values = createRandom(length).normal(length);
        for (const [at, value] of put) values[at] = value;
        return values;
      };
      for (const length of [9, 70, 9000]) {
        await check([row(length, [3, Infinity], [5, Infinity], [1, -Infinity]), row(length, [0, -Infinity])], 4);
        await check(
          [row(length, [0, Number.NaN], [7, Number.NaN]), row(length), row(length, [2, Number.NaN], [3, Infinity])],
          4,
        );
        await check([new Float32Array(length).fill(-Infinity), new Float32Array(length).fill(Number.NaN)], 5);
        await check([row(length, [4, 3e38], [6, -3e38]), new Float32Array(length).fill(-3e38)], 3);
      }
      const allButTwo = new Float32Array(300).fill(Number.NaN);
      allButTwo.set([-Infinity], 100);
      allButTwo.set([-5], 200);
      await check([allButTwo], 4);
    });

    it("and the log-probabilities of some places, in double precision", async () => {
      const ops = get();
      for (const [n, cols] of [
        [3, 7],
        [4, 8192],
        [2, 20011],
      ] as const) {
        // biome-ignore format: pairs
        const random = createRandom(cols);
        const x = random.normal(n * cols, 6);
        const rows = Array.from({ length: 3 * n }, (_, i) => (i * 2) % n);
        const columns = rows.map((_, i) => (i * 7919) % cols);
        const found = ops.logprobs("logprobs", load(ops, "x", n, cols, x), { rows, columns });
        expect([found.rows, found.cols]).toEqual([3 * n, 2]);
        const pairs = await values(ops, found);
        for (const [i, row] of rows.entries()) {
          const of = x.subarray(row * cols, (row + 1) * cols);
          const expected = of[columns[i]!]! - Math.log(of.reduce((sum, value) => sum + Math.exp(value), 0));
          expect(Math.abs(pairs[2 * i]! + pairs[2 * i + 1]! - expected)).toBeLessThan(1e-11);
        }
      }
      const hopeless = Float32Array.from([
        ...[0, 1, Number.NaN, Infinity, 2, 0, -Infinity, -Infinity, -Infinity],
        ...[-Infinity, 0, 3e38, 0, -800, -Infinity],
      ]);
      const places = { rows: [0, 1, 2, 3, 3, 4, 4], columns: [0, 1, 2, 0, 2, 0, 1] };
      const pairs = await values(ops, ops.logprobs("logprobs", load(ops, "x", 5, 3, hopeless), places));
      const sums = places.rows.map((_, i) => pairs[2 * i]! + pairs[2 * i + 1]!);
      expect(sums).toEqual([Number.NaN, Number.NaN, Number.NaN, -Infinity, 0, 0, -800]);
      const x = ops.matrix("x", 5, 3);
      for (const [row, column] of [
        [5, 0],
        [0, 3],
        [-1, 0],
        [0, 0.5],
      ] as const) {
        // biome-ignore format: pairs
        expect(() => ops.logprobs("logprobs", x, { rows: [row], columns: [column] })).toThrow(/no row/);
      }
      expect(() => ops.logprobs("logprobs", x, { rows: [1], columns: [] })).toThrow(/no row/);
    });

    it("refuses to choose none, or more than there are, and to write over its operand", () => {
      const ops = get();
      const x = load(ops, "x", 2, 3, new Float32Array(6));
      for (const k of [0, 4, -1, 1.5, Number.NaN]) {
        expect(() => ops.topK("top", x, k)).toThrow(expect.objectContaining({ code: "argument" }));
      }
      expect(() => ops.topK("x", x, 1)).toThrow(expect.objectContaining({ code: "argument" }));
      const none = ops.topK("top", ops.matrix("none", 0, 3), 2);
      expect([none.values.rows, none.indices.cols, none.logSumExp.rows]).toEqual([0, 2, 0]);
    });
  });
}
