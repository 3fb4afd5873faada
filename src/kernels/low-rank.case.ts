import { expect, it } from "vitest";
import { type Budgets, load, productBudget, values } from "./ops.case.ts";
import type { Ops } from "./ops.ts";
import { activate, createRandom, floatTensor, product, randomTensor, relativeError } from "./oracle.case.ts";

/** Low-rank terms beside products and inside experts, for one backend. */
export function lowRankConformance(get: () => Ops, budgets: Budgets): void {
  const term = (
    ops: Ops,
    name: string,
    stack: readonly number[],
    sides: [rank: number, out: number, input: number],
  ) => {
    const [rank, outputs, inputs] = sides;
    const count = stack[0] ?? 1;
    const random = createRandom(name.length + rank);
    const [a, b] = [random.normal(count * rank * inputs, 0.1), random.normal(count * outputs * rank, 0.1)];
    const weight = (part: string, shape: number[], of: Float32Array) =>
      ops.weight(floatTensor(`${name}.${part}`, [...stack, ...shape], of));
    /** What the term adds for a row at strength `scale`. */
    const added = (row: ArrayLike<number>, scale: number, index = 0): Float64Array => {
      const part = (of: Float32Array) => of.subarray((index * of.length) / count, ((index + 1) * of.length) / count);
      const between = product(Float64Array.from(row), part(a), 1, inputs, rank).map((value) => scale * value);
      return product(between, part(b), 1, rank, outputs);
    };
    return { a: weight("a", [rank, inputs], a), b: weight("b", [outputs, rank], b), added };
  };

  it.each([
    [1, 1, 7, 5],
    [3, 16, 64, 96],
    [40, 3, 33, 100],
  ])("adds low-rank terms: %i rows, rank %i, [%i, %i]", async (n, rank, outputs, inputs) => {
    const ops = get();
    const { a, b, added } = term(ops, "term", [], [rank, outputs, inputs]);
    const random = createRandom(n);
    const [x, y] = [random.normal(n * inputs), random.normal(n * outputs)];
    const scales = random.normal(n).map((value, i) => (i % 3 === 2 ? 0 : value));
    const expected = Float64Array.from(y);
    for (let row = 0; row < n; row++) {
      added(x.subarray(row * inputs, (row + 1) * inputs), scales[row]!).forEach((value, i) => {
        expected[row * outputs + i]! += value;
      });
    }
    const into = load(ops, "y", n, outputs, y);
    const use = { a, b, scales: load(ops, "scales", n, 1, scales) };
    const found = await values(ops, ops.addLowRank(into, load(ops, "x", n, inputs, x), use));
    expect(relativeError(found, expected)).toBeLessThan(budgets.product);
    for (let row = 2; row < n; row += 3) {
      const bits = Float32Array.from(found.slice(row * outputs, (row + 1) * outputs));
      expect(bits).toEqual(y.subarray(row * outputs, (row + 1) * outputs));
    }
  });

  // Few rows and many take different ways; hidden sides do not always fill blocks.
  it.each([
    ["f32", 1, 50, 3],
    ["f32", 60, 50, 3],
    ["q8_0", 2, 96, 16],
    ["q8_0", 70, 96, 16],
    ["q4_0", 9, 32, 20],
  ] as const)("adds low-rank terms inside experts: %s, %i rows, hidden %i, rank %i", async (type, n, hidden, rank) => {
    const ops = get();
    const [count, used, width] = [4, 2, 64];
    const random = createRandom(n + rank);
    const gate = randomTensor(random, "gate", type, [count, hidden, width]);
    const up = randomTensor(random, "up", type, [count, hidden, width]);
    const down = randomTensor(random, "down", type, [count, width, hidden]);
    const stacks = { gate: ops.weight(gate.tensor), up: ops.weight(up.tensor), down: ops.weight(down.tensor) };
    const one = random.normal(n).map((value, i) => (i % 4 === 3 ? 0 : value));
    const two = random.normal(n).map((value, i) => (i % 4 === 3 ? 0 : value));
    const scales = [load(ops, "scales 0", n, 1, one), load(ops, "scales 1", n, 1, two)] as const;
    const strengths = [one, two];
    const make = (which: number, name: string, outputs: number, inputs: number) => ({
      ...term(ops, `${name} ${which}`, [count], [rank + which, outputs, inputs]),
      ...{ scales: scales[which]!, strength: strengths[which]! },
    });
    // Two adapters beside the gate, one beside each of the others.
    const terms = {
      gate: [make(0, "gate", hidden, width), make(1, "of the gate", hidden, width)],
      up: [make(1, "up", hidden, width)],
      down: [make(0, "down", width, hidden)],
    };
    const x = random.normal(n * width);
    const routing = ops.route("route", load(ops, "logits", n, count, random.normal(n * count)), {
      ...{ used, renormalize: true },
    });
    const input = load(ops, "x", n, width, x);
    const plain = await values(ops, ops.experts("plain", input, routing, stacks, "silu"));
    const found = await values(ops, ops.experts("y", input, routing, stacks, "silu", terms));
    const [chosen, weights] = [await values(ops, routing.chosen), await values(ops, routing.weights)];
    const expected = new Float64Array(n * width);
    for (let i = 0; i < n * used; i++) {
      const row = Math.floor(i / used);
      const e = chosen[i]!;
      const multiply = (
        from: ArrayLike<number>,
        all: Float32Array,
        part: keyof typeof terms,
        inputs: number,
        outputs: number,
      ) => {
        const matrix = all.subarray(e * hidden * width, (e + 1) * hidden * width);
        const sums = product(Float64Array.from(from), matrix, 1, inputs, outputs);
        for (const { added, strength } of terms[part]) {
          added(from, strength[row]!, e).forEach((value, j) => {
            sums[j]! += value;
          });
        }
        return sums;
      };
      const own = x.subarray(row * width, (row + 1) * width);
      const gates = multiply(own, gate.values, "gate", width, hidden);
      const ups = multiply(own, up.values, "up", width, hidden);
      const inner = gates.map((value, j) => activate("silu", value) * ups[j]!);
      multiply(inner, down.values, "down", hidden, width).forEach((value, j) => {
        expected[row * width + j]! += weights[i]! * value;
      });
    }
    expect(relativeError(found, expected)).toBeLessThan(2 * productBudget(type, budgets));
    expect(relativeError(found, plain)).toBeGreaterThan(0.05);
    const rowOf = (all: readonly number[], row: number) => all.slice(row * width, (row + 1) * width);
    for (let row = 3; row < n; row += 4) expect(rowOf(found, row)).toEqual(rowOf(plain, row));
  });
}
