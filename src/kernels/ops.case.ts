import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GrokError } from "../errors.ts";
import { memoryTensor } from "../tensor/memory-tensor.case.ts";
import type { TensorType } from "../tensor/types.ts";
import { attentionConformance } from "./attention.case.ts";
import { lowRankConformance } from "./low-rank.case.ts";
import type { Batch, Matrix, Ops, Rope } from "./ops.ts";
import {
  activate,
  createRandom,
  floatTensor,
  product,
  randomTensor,
  relativeError,
  rotateRow,
  rowsAt,
  rowsOfTokens,
  softmax,
  weightTypes,
} from "./oracle.case.ts";
import { topKConformance } from "./top-k.case.ts";

/** Largest relative error a backend may make, ‖ours − exact‖ / ‖exact‖. */
export interface Budgets {
  /** Elementwise operations, norms, rotations, routes. */
  readonly elementwise: number;
  /** Products with f32 weights. */
  readonly product: number;
  /** Products with f16 and bf16 weights. */
  readonly half: number;
  /** Products with quantized weights. */
  readonly quantized: number;
  /** Products with quantized weights bound `fine`. */
  readonly fine: number;
  /** Attention over an f32 cache. */
  readonly attention: number;
  /** Attention over a cache of another type, beside exact attention over values rounded to that type. */
  readonly roundedAttention: number;
}

export function productBudget(type: TensorType, budgets: Budgets): number {
  if (type === "f32") return budgets.product;
  return type === "f16" || type === "bf16" ? budgets.half : budgets.quantized;
}

/** A matrix with given values. */
export function load(ops: Ops, name: string, rows: number, cols: number, values: Float32Array): Matrix {
  const matrix = ops.matrix(name, rows, cols);
  ops.write(matrix, values);
  return matrix;
}

/** A copy of a matrix's values. */
export async function values(ops: Ops, matrix: Matrix | Promise<Matrix>): Promise<number[]> {
  return Array.from(await ops.read(await matrix));
}

/** Everything that the interface promises, for one backend. */
export function conformance(name: string, create: () => Ops, budgets: Budgets, skip?: string): void {
  describe.skipIf(skip !== undefined)(`operations on ${name}${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
    let ops: Ops;
    beforeAll(() => {
      ops = create();
    });
    afterAll(() => ops?.close());

    scratch(() => ops);
    elementwise(() => ops, budgets);
    headNorms(() => ops, budgets);
    products(() => ops, budgets);
    rotations(() => ops, budgets);
    routes(() => ops, budgets);
    experts(() => ops, budgets);
    lowRankConformance(() => ops, budgets);
    attentionConformance(() => ops, budgets);
    topKConformance(() => ops, budgets);
    refusals(() => ops);
  });
}

function scratch(get: () => Ops): void {
  it("keeps what is written, and reuses a name's memory for other shapes", async () => {
    const ops = get();
    const random = createRandom(1);
    for (const [rows, cols] of [
      [3, 5],
      [1, 1],
      [17, 33],
      [2, 7],
    ] as const) {
      const x = random.normal(rows * cols);
      const matrix = load(ops, "x", rows, cols, x);
      expect([matrix.rows, matrix.cols, matrix.name]).toEqual([rows, cols, "x"]);
      expect(await values(ops, matrix)).toEqual([...x]);
    }
  });

  it("takes rows in any order, also twice", async () => {
    const ops = get();
    const x = createRandom(2).normal(5 * 9);
    const picked = await values(ops, ops.rows("picked", load(ops, "x", 5, 9, x), Int32Array.of(4, 0, 4, 2)));
    expect(picked).toEqual([4, 0, 4, 2].flatMap((row) => [...x.subarray(row * 9, row * 9 + 9)]));
  });
}

function elementwise(get: () => Ops, budgets: Budgets): void {
  it.each([1, 7, 64, 129, 1000])("computes elementwise operations on %i columns", async (cols) => {
    const ops = get();
    const random = createRandom(cols);
    const rows = 3;
    const [a, b] = [random.normal(rows * cols, 3), random.normal(rows * cols, 3)];
    const [x, y] = [load(ops, "x", rows, cols, a), load(ops, "y", rows, cols, b)];
    const check = async (matrix: Matrix, f: (u: number, v: number) => number) => {
      const expected = a.map((u, i) => f(u, b[i]!));
      expect(relativeError(await values(ops, matrix), expected)).toBeLessThan(budgets.elementwise);
    };
    await check(ops.add("z", x, y), (u, v) => u + v);
    await check(ops.scale("z", x, 0.37), (u) => u * 0.37);
    await check(ops.softcap("z", x, 1.5), (u) => 1.5 * Math.tanh(u / 1.5));
    await check(ops.gated("z", "gelu", x, y), (u, v) => activate("gelu", u) * v);
    await check(ops.gated("z", "silu", x, y), (u, v) => activate("silu", u) * v);
    await check(ops.add("x", x, y), (u, v) => u + v);
  });

  it("survives extremes", async () => {
    const ops = get();
    const x = Float32Array.of(0, -0, 1e-30, -1e-30, 1e4, -1e4, 100, -100);
    const m = load(ops, "x", 1, x.length, x);
    const one = load(ops, "one", 1, x.length, new Float32Array(x.length).fill(1));
    const capped = await values(ops, ops.softcap("y", m, 30));
    expect(relativeError(capped.slice(4, 6), [30, -30])).toBeLessThan(budgets.elementwise);
    for (const activation of ["gelu", "silu"] as const) {
      const found = await values(ops, ops.gated("y", activation, m, one));
      found.forEach((value, i) => {
        expect(Math.abs(value - activate(activation, x[i]!))).toBeLessThan(1e-6 * Math.max(1, Math.abs(x[i]!)));
      });
    }
  });

  it.each([1, 31, 64, 200, 1025])("normalizes rows of %i columns, large and small", async (cols) => {
    const ops = get();
    const random = createRandom(cols);
    const gain = random.normal(cols);
    const weight = ops.weight(floatTensor("gain", [cols], gain));
    for (const size of [1, 1e-4, 1e3]) {
      const x = random.normal(3 * cols, size);
      const expected = x.map((value, i) => {
        const row = x.subarray(Math.floor(i / cols) * cols, (Math.floor(i / cols) + 1) * cols);
        const mean = row.reduce((sum, v) => sum + v * v, 0) / cols;
        return (value / Math.sqrt(mean + 1e-5)) * gain[i % cols]!;
      });
      const found = await values(ops, ops.rmsNorm("y", load(ops, "x", 3, cols, x), weight, 1e-5));
      expect(relativeError(found, expected)).toBeLessThan(budgets.elementwise);
    }
  });
}

function headNorms(get: () => Ops, budgets: Budgets): void {
  it.each([
    [1, 1, 8],
    [3, 4, 16],
    [5, 3, 20],
    [2, 8, 128],
  ])("normalizes each head of %i rows of %i heads of %i", async (rows, heads, size) => {
    const ops = get();
    const random = createRandom(size + heads);
    const gain = random.normal(size);
    const x = random.normal(rows * heads * size, 2);
    const weight = ops.weight(floatTensor("gain", [size], gain));
    const expected = x.map((value, i) => {
      const head = x.subarray(Math.floor(i / size) * size, (Math.floor(i / size) + 1) * size);
      return (value / Math.sqrt(head.reduce((sum, v) => sum + v * v, 0) / size + 1e-5)) * gain[i % size]!;
    });
    const found = ops.rmsNorm("y", load(ops, "x", rows, heads * size, x), weight, 1e-5);
    expect([found.rows, found.cols]).toEqual([rows, heads * size]);
    expect(relativeError(await values(ops, found), expected)).toBeLessThan(budgets.elementwise);
  });
}

function products(get: () => Ops, budgets: Budgets): void {
  describe.each(weightTypes)("weights of type %s", (type) => {
    it("look up and scale rows", async () => {
      const ops = get();
      const { tensor, values: table } = randomTensor(createRandom(3), "table", type, [11, 512]);
      const tokens = Int32Array.of(10, 0, 3, 3);
      const expected = [...tokens].flatMap((token) =>
        [...table.subarray(token * 512, token * 512 + 512)].map((v) => 7.5 * v),
      );
      ops.begin(rowsOfTokens(...tokens));
      const found = await values(ops, ops.embed("x", ops.weight(tensor), 7.5));
      expect(relativeError(found, expected)).toBeLessThan(budgets.elementwise);
    });

    it.each([1, 2, 5, 8, 17, 70])("multiply with %i rows", async (n) => {
      const ops = get();
      const random = createRandom(n);
      const [inputs, outputs] = [768, 37];
      const { tensor, values: w } = randomTensor(random, "w", type, [outputs, inputs]);
      const x = random.normal(n * inputs);
      const found = await values(ops, ops.matmul("y", load(ops, "x", n, inputs, x), ops.weight(tensor)));
      expect(relativeError(found, product(x, w, n, inputs, outputs))).toBeLessThan(productBudget(type, budgets));
    });
  });

  it.each([
    ["f32", 1, 1],
    ["f32", 3, 100],
    ["f32", 129, 7],
    ["f16", 5, 33],
    ["bf16", 64, 1],
    ["q8_0", 1, 32],
    ["q4_0", 300, 96],
    ["q6_k", 2, 256],
  ] as const)("multiplies by odd shapes: %s [%i, %i]", async (type, outputs, inputs) => {
    const ops = get();
    const random = createRandom(outputs);
    const { tensor, values: w } = randomTensor(random, "w", type, [outputs, inputs]);
    for (const n of [1, 3, 19]) {
      const x = random.normal(n * inputs);
      const found = await values(ops, ops.matmul("y", load(ops, "x", n, inputs, x), ops.weight(tensor)));
      const bound = productBudget(type, budgets) * (outputs * n < 50 ? 4 : 1);
      expect(relativeError(found, product(x, w, n, inputs, outputs))).toBeLessThan(bound);
    }
  });

  it.each(["f32", "q4_0", "q4_1", "q8_0", "q6_k"] as const)("keep activations finely on request: %s", async (type) => {
    const ops = get();
    const random = createRandom(9);
    const [inputs, outputs] = [768, 70];
    const { tensor, values: w } = randomTensor(random, "w", type, [outputs, inputs]);
    const weight = ops.weight(tensor, { fine: true });
    for (const n of [1, 3, 30]) {
      const x = random.normal(n * inputs);
      for (let i = 0; i < x.length; i += 100) x[i] = x[i]! * 30; // which leaves their neighbours few of 8 bits
      const found = await values(ops, ops.matmul("y", load(ops, "x", n, inputs, x), weight));
      expect(relativeError(found, product(x, w, n, inputs, outputs))).toBeLessThan(budgets.fine);
    }
  });

  it.each([false, true])(
    "gives a row the same product alone and in company, and zero for zero (fine: %s)",
    async (fine) => {
      const ops = get();
      const random = createRandom(8);
      const { tensor } = randomTensor(random, "w", "q4_0", [64, 256]);
      const weight = ops.weight(tensor, { fine });
      const x = random.normal(9 * 256);
      x.fill(0, 0, 256);
      const all = await values(ops, ops.matmul("y", load(ops, "x", 9, 256, x), weight));
      expect(all.slice(0, 64).every((value) => value === 0)).toBe(true);
      const bound = Math.max(1e-12, budgets.quantized);
      for (let row = 1; row < 9; row++) {
        const one = load(ops, "x", 1, 256, x.slice(row * 256, row * 256 + 256));
        const alone = await values(ops, ops.matmul("z", one, weight));
        expect(relativeError(alone, all.slice(row * 64, row * 64 + 64))).toBeLessThan(bound);
      }
    },
  );
}

function rotations(get: () => Ops, budgets: Budgets): void {
  const frequencies = (dims: number, base = 10000) =>
    Float64Array.from({ length: dims / 2 }, (_, i) => base ** ((-2 * i) / dims));
  const cases: [string, number, Rope][] = [
    ["half", 3, { headSize: 64, pairing: "half", frequencies: frequencies(64), magnitude: 1 }],
    ["adjacent", 3, { headSize: 64, pairing: "adjacent", frequencies: frequencies(64), magnitude: 1 }],
    ["half, partial", 2, { headSize: 48, pairing: "half", frequencies: frequencies(20), magnitude: 1 }],
    ["adjacent, partial", 1, { headSize: 48, pairing: "adjacent", frequencies: frequencies(6), magnitude: 1 }],
    ["half, with a magnitude", 5, { headSize: 32, pairing: "half", frequencies: frequencies(32), magnitude: 1.27 }],
    ["adjacent, smallest", 7, { headSize: 2, pairing: "adjacent", frequencies: frequencies(2), magnitude: 0.5 }],
  ];
  it.each(cases)("rotates: %s", async (_, heads, rope) => {
    const ops = get();
    const cols = heads * rope.headSize;
    const positions = Int32Array.of(0, 1, 5, 4, 8191, 131071);
    const x = createRandom(cols).normal(positions.length * cols);
    const expected = [...positions].flatMap((position, row) =>
      rotateRow(x.subarray(row * cols, (row + 1) * cols), position, rope),
    );
    ops.begin(rowsAt(positions));
    const found = await values(ops, ops.rope("y", load(ops, "x", positions.length, cols, x), rope));
    expect(relativeError(found, expected)).toBeLessThan(budgets.elementwise);
    expect(await values(ops, ops.matrix("x", positions.length, cols))).toEqual([...x]);
  });
}

function routes(get: () => Ops, budgets: Budgets): void {
  it.each([
    [8, 2, false],
    [8, 2, true],
    [1, 1, false],
    [5, 5, true],
    [64, 6, true],
    [33, 1, false],
  ])("routes to %i experts, %i used, renormalized %s", async (count, used, renormalize) => {
    const ops = get();
    const rows = 9;
    const logits = createRandom(count).normal(rows * count, 2);
    // Ties: within a row, all of a row, and a row of large equal values.
    if (count > 3) logits.set([3, 1, 3, 3], 0);
    logits.fill(0.25, count, 2 * count);
    logits.fill(300, 2 * count, 3 * count);
    const routing = ops.route("route", load(ops, "logits", rows, count, logits), { used, renormalize });
    expect([routing.rows, routing.used]).toEqual([rows, used]);
    const probabilities: number[] = [];
    const chosen: number[] = [];
    const weights: number[] = [];
    for (let row = 0; row < rows; row++) {
      const p = softmax([...logits.subarray(row * count, (row + 1) * count)]);
      const order = p.map((_, e) => e).sort((a, b) => p[b]! - p[a]! || a - b);
      const best = order.slice(0, used);
      const sum = renormalize ? best.reduce((total, e) => total + p[e]!, 0) : 1;
      probabilities.push(...p);
      chosen.push(...best);
      weights.push(...best.map((e) => p[e]! / sum));
    }
    expect(await values(ops, routing.chosen)).toEqual(chosen);
    expect(relativeError(await values(ops, routing.probabilities), probabilities)).toBeLessThan(budgets.elementwise);
    expect(relativeError(await values(ops, routing.weights), weights)).toBeLessThan(budgets.elementwise);
  });
}

function experts(get: () => Ops, budgets: Budgets): void {
  const cases: [TensorType, number, number, "gelu" | "silu", string][] = [
    ...weightTypes.map((type): (typeof cases)[number] => [type, 4, 2, "gelu", "spread"]),
    ["f32", 4, 4, "silu", "spread"],
    ["q8_0", 8, 2, "silu", "one"],
    ["q4_0", 8, 1, "gelu", "one"],
    ["f32", 1, 1, "gelu", "spread"],
  ];
  it.each(cases)(
    "mixes experts: %s, %i of them, %i used, %s, routed to %s",
    async (type, count, used, activation, where) => {
      const ops = get();
      const random = createRandom(count * 10 + used);
      const [width, hidden] = [256, 256];
      const gate = randomTensor(random, "gate", type, [count, hidden, width]);
      const up = randomTensor(random, "up", type, [count, hidden, width]);
      const down = randomTensor(random, "down", type, [count, width, hidden]);
      const stacks = { gate: ops.weight(gate.tensor), up: ops.weight(up.tensor), down: ops.weight(down.tensor) };
      for (const n of [1, 11]) {
        const x = random.normal(n * width);
        const logits = random.normal(n * count, 3);
        // Most experts get nothing: all rows agree on the same few.
        if (where === "one")
          logits.forEach((_, i) => {
            logits[i] = i % count < used ? 9 : 0;
          });
        const routing = ops.route("route", load(ops, "logits", n, count, logits), { used, renormalize: false });
        const found = await values(ops, ops.experts("y", load(ops, "x", n, width, x), routing, stacks, activation));
        const [chosen, weights] = [await values(ops, routing.chosen), await values(ops, routing.weights)];
        const expected = new Float64Array(n * width);
        for (let i = 0; i < n * used; i++) {
          const row = Math.floor(i / used);
          const e = chosen[i]!;
          const part = (all: Float32Array) => all.subarray(e * hidden * width, (e + 1) * hidden * width);
          const input = x.subarray(row * width, (row + 1) * width);
          const gates = product(input, part(gate.values), 1, width, hidden);
          const ups = product(input, part(up.values), 1, width, hidden);
          const inner = gates.map((value, j) => activate(activation, value) * ups[j]!);
          product(inner, part(down.values), 1, hidden, width).forEach((value, j) => {
            expected[row * width + j]! += weights[i]! * value;
          });
        }
        expect(relativeError(found, expected)).toBeLessThan(2 * productBudget(type, budgets));
      }
    },
  );
}

function refusals(get: () => Ops): void {
  const code = (call: () => unknown): string => {
    try {
      call();
    } catch (error) {
      if (error instanceof GrokError) return error.code;
      throw error;
    }
    return "accepted";
  };

  it("refuses shapes that do not fit", () => {
    const ops = get();
    const x = load(ops, "x", 2, 6, new Float32Array(12));
    const y = load(ops, "y", 2, 5, new Float32Array(10));
    const z = load(ops, "z", 3, 6, new Float32Array(18));
    const weight = ops.weight(floatTensor("w", [4, 5], new Float32Array(20)));
    const gain = ops.weight(floatTensor("g", [5], new Float32Array(5)));
    const rope: Rope = { headSize: 4, pairing: "half", frequencies: new Float64Array(2), magnitude: 1 };
    const calls: Record<string, () => unknown> = {
      write: () => ops.write(x, new Float32Array(11)),
      add: () => ops.add("o", x, y),
      addRows: () => ops.add("o", x, z),
      gated: () => ops.gated("o", "gelu", x, y),
      matmul: () => ops.matmul("o", x, weight),
      addLowRank: () =>
        ops.addLowRank(y, x, { a: weight, b: weight, scales: load(ops, "s", 2, 1, new Float32Array(2)) }),
      addLowRankScales: () => {
        const factors = [new Float32Array(6), new Float32Array(5)] as const;
        const [a, b] = [
          ops.weight(floatTensor("a", [1, 6], factors[0])),
          ops.weight(floatTensor("b", [5, 1], factors[1])),
        ];
        return ops.addLowRank(y, x, { a, b, scales: load(ops, "s", 3, 1, new Float32Array(3)) });
      },
      rmsNorm: () => ops.rmsNorm("o", x, gain, 1e-5),
      ropeHeads: () => ops.rope("o", x, rope),
      ropeRows: () => ops.rope("o", z, { ...rope, headSize: 6 }),
    };
    ops.begin(rowsAt(Int32Array.of(0, 1)));
    for (const [what, call] of Object.entries(calls)) expect(code(call), what).toBe("shape");
  });

  it("refuses tokens, rows and experts that do not exist", () => {
    const ops = get();
    const x = load(ops, "x", 2, 6, new Float32Array(12));
    const table = ops.weight(floatTensor("w", [4, 6], new Float32Array(24)));
    for (const token of [-1, 4, 2 ** 31 - 1]) {
      ops.begin(rowsOfTokens(0, token));
      expect(code(() => ops.embed("o", table, 1))).toBe("argument");
      expect(code(() => ops.rows("o", x, Int32Array.of(token)))).toBe("argument");
    }
    expect(code(() => ops.route("o", x, { used: 7, renormalize: false }))).toBe("argument");
    expect(code(() => ops.route("o", x, { used: 0, renormalize: false }))).toBe("argument");
  });

  it("refuses batches that are none, and goes on with the one before in nothing", () => {
    const ops = get();
    const good = rowsAt(Int32Array.of(0, 1, 2));
    const pages = new Int32Array(0);
    const bad: [string, Partial<Batch>][] = [
      ["positions for fewer rows", { positions: Int32Array.of(0, 1) }],
      ["a negative position", { positions: Int32Array.of(0, -1, 2) }],
      ["sequences of fewer rows", { sequences: [{ start: 0, count: 2, pages }] }],
      ["sequences of more rows", { sequences: [{ start: 0, count: 4, pages }] }],
      ["a gap between sequences", { sequences: [0, 2].map((start) => ({ start, count: 1, pages })) }],
      ["sequences over each other", { sequences: [0, 1].map((start) => ({ start, count: 2, pages })) }],
      ["a sequence of negative length", { sequences: [4, -1].map((count, i) => ({ start: 4 * i, count, pages })) }],
      ["outputs out of order", { outputs: Int32Array.of(1, 0) }],
      ["an output twice", { outputs: Int32Array.of(1, 1) }],
      ["an output that is no row", { outputs: Int32Array.of(3) }],
      ["a negative output", { outputs: Int32Array.of(-1) }],
    ];
    const table = ops.weight(floatTensor("w", [4, 6], new Float32Array(24)));
    for (const [what, change] of bad) {
      ops.begin(good);
      expect(ops.embed("o", table, 1).rows).toBe(3);
      expect(
        code(() => ops.begin({ ...good, ...change })),
        what,
      ).toBe("argument");
      expect(
        code(() => ops.embed("o", table, 1)),
        what,
      ).toBe("argument");
    }
  });

  it("keeps a batch while other lists of numbers pass", async () => {
    const ops = get();
    const x = load(ops, "x", 3, 4, createRandom(4).normal(12));
    const rope: Rope = { headSize: 4, pairing: "half", frequencies: Float64Array.of(1, 0.1), magnitude: 1 };
    ops.begin(rowsAt(Int32Array.of(3, 4, 90)));
    const expected = await values(ops, ops.rope("y", x, rope));
    ops.rows(
      "z",
      x,
      Int32Array.from({ length: 5000 }, (_, i) => i % 3),
    );
    expect(await values(ops, ops.rope("y", x, rope))).toEqual(expected);
    expect(ops.rows("none", x, new Int32Array(0)).rows).toBe(0);
  });

  it("refuses types it cannot compute with, by name", () => {
    const tensor = memoryTensor("blk.0.attn_q.weight", "q8_k", [1, 256], new Uint8Array(292));
    expect(() => get().weight(tensor)).toThrow(/blk\.0\.attn_q\.weight.*q8_k/);
    expect(code(() => get().weight(tensor))).toBe("unsupported");
  });
}
