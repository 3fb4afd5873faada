import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { elementCount } from "../tensor/tensor.ts";
import { type Bench, batchOf, type Problem } from "./grad-bench.case.ts";
import type { GradOps, Parameter } from "./grad-ops.ts";
import { gradProblems } from "./grad-problems.case.ts";
import type { Matrix } from "./ops.ts";
import { attendRow, createRandom, floatTensor, relativeError, rowsAt, rowsOfTokens } from "./oracle.case.ts";
import { createGradReference } from "./reference/grad-reference.ts";

/** Largest relative error of a gradient, ‖ours − exact‖ / ‖exact‖. */
export interface GradBudgets {
  readonly gradient: number;
  /** Where a quantized weight takes part. */
  readonly quantized: number;
}

type Values = Readonly<Record<string, Float64Array>>;
interface Solved {
  readonly loss: number;
  readonly gradients: Readonly<Record<string, Float64Array>>;
}

/** A number for each name, so that a value of a problem is the same on every backend. */
function seedOf(text: string): number {
  let seed = 17;
  for (const char of text) seed = (Math.imul(seed, 31) + char.charCodeAt(0)) >>> 0;
  return seed;
}

const noise = (name: string, count: number) => createRandom(seedOf(name)).normal(count);

/**
 * Runs a problem with the given values (those it does not have yet are drawn, and put in). With `already`, every gradient is
 * added to noise that is there before, and the noise is taken away again.
 */
async function solve(
  ops: GradOps,
  problem: Problem,
  values: Record<string, Float64Array>,
  mode: "loss" | "fresh" | "already",
): Promise<Solved> {
  const parameters = new Map<string, Parameter>();
  const drawn = (name: string, count: number, deviation = 1) => {
    values[name] ??= Float64Array.from(
      problem.values?.[name] ?? createRandom(seedOf(problem.name + name)).normal(count, deviation),
    );
    return values[name];
  };
  const bench: Bench = {
    ops,
    matrix(name, rows, cols, deviation) {
      const matrix = ops.matrix(name, rows, cols);
      ops.write(matrix, drawn(name, rows * cols, deviation));
      return matrix;
    },
    parameter(name, shape, deviation) {
      const known = parameters.get(name);
      if (known !== undefined) return known;
      const count = elementCount(shape);
      const parameter = ops.parameter(name, shape, drawn(name, count, deviation));
      if (mode === "already") ops.writeParameter(parameter, "gradient", noise(name, count));
      parameters.set(name, parameter);
      return parameter;
    },
    into(name, rows, cols) {
      if (mode !== "already") return `d.${name}`;
      const matrix = ops.matrix(`d.${name}`, rows, cols);
      ops.write(matrix, noise(name, rows * cols));
      return matrix;
    },
  };
  const run = await problem.run(bench);
  let loss = run.loss ?? 0;
  let dOut: Matrix | undefined;
  if (run.out !== undefined) {
    const { rows, cols } = run.out;
    const factors = createRandom(rows * 1000 + cols).normal(rows * cols);
    const found = await ops.read(run.out);
    for (let i = 0; i < factors.length; i++) loss += factors[i]! * found[i]!;
    dOut = ops.matrix("dOut", rows, cols);
    ops.write(dOut, factors);
  }
  const gradients: Record<string, Float64Array> = {};
  if (mode !== "loss") {
    const matrices = run.back(dOut ?? ops.matrix("dOut", 0, 0)) ?? {};
    const keep = async (name: string, found: ArrayLike<number>, added: boolean) => {
      gradients[name] = Float64Array.from(found);
      if (!added) return;
      noise(name, found.length).forEach((value, i) => {
        gradients[name]![i]! -= value;
      });
    };
    for (const [name, matrix] of Object.entries(matrices)) {
      const added = mode === "already" && matrix?.name === `d.${name}`;
      if (matrix !== undefined) await keep(name, await ops.read(matrix), added);
    }
    for (const [name, parameter] of parameters) {
      await keep(name, ops.readParameter(parameter, "gradient"), mode === "already");
    }
  }
  ops.freeParameters([...parameters.values()]);
  return { loss, gradients };
}

/** Up to `most` places of a gradient: half of them where it is largest, where differences are sharpest, half at random. */
function placesOf(name: string, gradient: Float64Array, most: number): number[] {
  const all = Array.from(gradient.keys());
  if (all.length <= most) return all;
  const random = createRandom(seedOf(name));
  const largest = all.sort((a, b) => Math.abs(gradient[b]!) - Math.abs(gradient[a]!)).slice(0, most / 2);
  return [...new Set([...largest, ...largest.map(() => random.below(gradient.length))])];
}

/** Central differences of the loss at some places of a value, in float64. */
async function differences(ops: GradOps, problem: Problem, values: Values, name: string, places: readonly number[]) {
  const slopes: number[] = [];
  for (const place of places) {
    const step = 1e-5 * Math.max(1, Math.abs(values[name]![place]!));
    const at = async (shift: number) => {
      const moved = values[name]!.slice();
      moved[place]! += shift;
      return (await solve(ops, problem, { ...values, [name]: moved }, "loss")).loss;
    };
    slopes.push(((await at(step)) - (await at(-step))) / (2 * step));
  }
  return slopes;
}

export interface GradConformanceOptions {
  /** The backend set up otherwise, with other threads, say: it must give the same bits. */
  readonly twin?: () => GradOps;
  /** Why the backend cannot be tested here. */
  readonly skip?: string;
}

/** Everything that GradOps promises, for one backend: the reference beside finite differences, others beside the reference. */
export function gradConformance(
  name: string,
  create: () => GradOps,
  budgets: GradBudgets,
  { twin, skip }: GradConformanceOptions = {},
): void {
  describe.skipIf(skip !== undefined)(`gradients on ${name}${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
    const exact = createGradReference();
    let ops: GradOps;
    let other: GradOps | undefined;
    beforeAll(() => {
      ops = create();
      other = twin?.();
    });
    afterAll(() => {
      ops?.close();
      other?.close();
      exact.close();
    });

    it.each(gradProblems())("$name", async (problem) => {
      const values: Record<string, Float64Array> = {};
      const found = await solve(ops, problem, values, "fresh");
      expect(Object.keys(found.gradients).sort()).toEqual(Object.keys(values).sort());
      const budget = problem.quantized ? budgets.quantized : budgets.gradient;
      if (ops.elementBytes === 8) {
        for (const [value, gradient] of Object.entries(found.gradients)) {
          const places = placesOf(problem.name + value, gradient, problem.large ? 2 : 12);
          const slopes = await differences(ops, problem, values, value, places);
          const some = places.map((place) => gradient[place]!);
          expect(relativeError(some, slopes), value).toBeLessThan(budget);
        }
      } else {
        const expected = await solve(exact, problem, values, "fresh");
        for (const [value, gradient] of Object.entries(expected.gradients)) {
          expect(relativeError(found.gradients[value]!, gradient), value).toBeLessThan(budget);
        }
        expect(Math.abs(found.loss - expected.loss)).toBeLessThan(budget * (1 + Math.abs(expected.loss)));
      }
      const added = await solve(ops, problem, values, "already");
      for (const [value, gradient] of Object.entries(found.gradients)) {
        expect(relativeError(added.gradients[value]!, gradient), `${value}, added to`).toBeLessThan(budget);
      }
      expect(await solve(other ?? ops, problem, values, "fresh")).toEqual(found);
    });

    it("attends as attention over a cache does", async () => {
      const [heads, kvHeads, headSize, counts] = [6, 2, 12, [5, 1, 17]];
      const options = { heads, kvHeads, scale: 0.4, softcap: 3, temperatureLength: 6 };
      const batch = batchOf(counts);
      const n = batch.positions.length;
      const random = createRandom(12);
      const [q, k, v] = [heads, kvHeads, kvHeads].map((count) => random.normal(n * count * headSize, 2));
      const load = (name: string, values: Float32Array) => {
        const matrix = ops.matrix(name, n, values.length / n);
        ops.write(matrix, values);
        return matrix;
      };
      ops.begin(batch);
      const { out, logSumExp } = ops.selfAttention("o", load("q", q!), load("k", k!), load("v", v!), options);
      const rowsOf = (values: Float32Array, start: number, count: number) => {
        const cols = values.length / n;
        return Array.from({ length: count }, (_, i) => values.subarray((start + i) * cols, (start + i + 1) * cols));
      };
      const expected = batch.sequences.flatMap(({ start, count }) => {
        const [queries, keys, stored] = [q!, k!, v!].map((values) => rowsOf(values, start, count));
        return queries!.flatMap((row, i) => attendRow(row, keys!, stored!, i, kvHeads, headSize, options));
      });
      expect(relativeError(await ops.read(out), expected)).toBeLessThan(budgets.gradient);
      // A row that attends to itself alone: its only score.
      const scores = Array.from({ length: heads }, (_, head) => {
        const [at, other] = [(5 * heads + head) * headSize, (5 * kvHeads + Math.floor(head / 3)) * headSize];
        const dot = q!.subarray(at, at + headSize).reduce((sum, value, i) => sum + value * k![other + i]!, 0);
        return 3 * Math.tanh((0.4 * dot) / 3);
      });
      const found = Array.from(await ops.read(logSumExp)).slice(5 * heads, 6 * heads);
      expect(relativeError(found, scores)).toBeLessThan(budgets.gradient);
    });

    it("multiplies by an adapted weight as by the two factors beside it, stacks of experts too", async () => {
      const random = createRandom(13);
      const [n, width, hidden, rank, experts] = [5, 16, 12, 3, 4];
      const x = ops.matrix("x", n, width);
      ops.write(x, random.normal(n * width));
      const logits = ops.matrix("logits", n, experts);
      ops.write(logits, random.normal(n * experts));
      const routing = ops.route("routing", logits, { used: 2, renormalize: false });
      const made: Parameter[] = [];
      const keep = (name: string, shape: readonly number[], values: Float32Array | Float64Array) => {
        const parameter = ops.parameter(name, shape, values);
        made.push(parameter);
        return parameter;
      };
      /** The weight adapted, and the same put together beforehand. */
      const adapt = (stack: number, rows: number, cols: number) => {
        const [w, b] = [random.normal(stack * rows * cols), random.normal(stack * rows * rank, 0.3)];
        const a = random.normal(stack * rank * cols, 0.3);
        const merged = Float64Array.from(w, (value, at) => {
          const [e, row, col] = [Math.floor(at / cols / rows), Math.floor(at / cols) % rows, at % cols];
          let sum = 0;
          for (let r = 0; r < rank; r++) sum += b[(e * rows + row) * rank + r]! * a[(e * rank + r) * cols + col]!;
          return value + 0.6 * sum;
        });
        const shape = (out: number, width: number) => (stack === 1 ? [out, width] : [stack, out, width]);
        const base = ops.weight(floatTensor("w", shape(rows, cols), w));
        const factors = [keep("a", shape(rank, cols), a), keep("b", shape(rows, rank), b)] as const;
        return [ops.lowRank(base, ...factors, 0.6), keep("merged", shape(rows, cols), merged)] as const;
      };
      const one = adapt(1, hidden, width);
      const found = Array.from(await ops.read(ops.matmul("y", x, one[0])));
      expect(relativeError(found, await ops.read(ops.matmul("z", x, one[1])))).toBeLessThan(budgets.gradient);
      const [gate, up, down] = [
        adapt(experts, hidden, width),
        adapt(experts, hidden, width),
        adapt(experts, width, hidden),
      ];
      const mixed = await Promise.all(
        [0, 1].map(async (i) => {
          const stacks = { gate: gate[i]!, up: up[i]!, down: down[i]! };
          return Array.from(await ops.read(await ops.experts(`mixed ${i}`, x, routing, stacks, "gelu")));
        }),
      );
      expect(relativeError(mixed[0]!, mixed[1]!)).toBeLessThan(budgets.gradient);
      ops.freeParameters(made);
    });

    it("leaves experts that no row chose alone", async () => {
      const problem = gradProblems().find((entry) => entry.name.startsWith("experts with GELU"))!;
      const { gradients } = await solve(ops, problem, {}, "fresh");
      for (const stack of ["gate", "up", "down"]) {
        expect(gradients[stack]!.slice(70, 140).every((value) => value === 0)).toBe(true);
        expect(gradients[stack]!.slice(0, 70).some((value) => value !== 0)).toBe(true);
      }
    });

    it("writes elementwise gradients over their operand", async () => {
      const rope = { headSize: 8, pairing: "half", frequencies: Float64Array.of(1, 0.5), magnitude: 1 } as const;
      const values = createRandom(3).normal(24);
      ops.begin(rowsAt(Int32Array.of(4, 5, 6)));
      const gradient = (at: string) => {
        const matrix = ops.matrix(at, 3, 8);
        ops.write(matrix, values);
        return matrix;
      };
      const rules: ((into: string) => Matrix)[] = [
        (into) => ops.ropeBackward(into, gradient("dOut"), rope),
        (into) => ops.scaleBackward(into, gradient("dOut"), 3),
        (into) => ops.softcapBackward(into, gradient("dOut"), gradient("y"), 9),
        (into) => ops.addBackward(into, gradient("dOut")),
        (into) => {
          const [dOut, gate, up] = [gradient("dOut"), gradient("gate"), gradient("up")];
          return ops.gatedBackward({ gate: into, up: "dUp" }, dOut, "silu", gate, up).gate;
        },
      ];
      for (const rule of rules) {
        const apart = Array.from(await ops.read(rule("elsewhere")));
        expect(Array.from(await ops.read(rule("dOut")))).toEqual(apart);
      }
    });

    it("keeps parameters: read, written, freed", async () => {
      const values = createRandom(5).normal(24);
      const parameter = ops.parameter("p", [2, 3, 4], values);
      expect([parameter.name, parameter.shape, parameter.tensor.type]).toEqual(["p", [2, 3, 4], "f32"]);
      expect(Array.from(ops.readParameter(parameter, "values"))).toEqual(Array.from(values));
      for (const part of ["gradient", "mean", "variance"] as const) {
        expect(Array.from(ops.readParameter(parameter, part))).toEqual(new Array(24).fill(0));
        ops.writeParameter(parameter, part, createRandom(part.length).normal(24));
        expect(Array.from(ops.readParameter(parameter, part))).toEqual(
          Array.from(createRandom(part.length).normal(24)),
        );
      }
      ops.zeroGradients([parameter]);
      expect(Array.from(ops.readParameter(parameter, "gradient"))).toEqual(new Array(24).fill(0));
      expect(ops.readParameter(parameter, "mean")[0]).not.toBe(0);
      expect(() => ops.writeParameter(parameter, "values", values.subarray(1))).toThrow(/p/);
      expect(() => ops.parameter("short", [5, 5], values)).toThrow(/short/);
      ops.freeParameters([parameter]);
      expect(() => ops.readParameter(parameter, "values")).toThrow(/freed/);
    });

    it("refuses parameters that were freed, alone and beside what they adapt, also when others took their place", () => {
      const make = (name: string, shape: number[]) =>
        ops.parameter(name, shape, createRandom(4).normal(elementCount(shape)));
      const [w, a, b] = [make("w", [5, 8]), make("a", [2, 8]), make("b", [5, 2])];
      const base = ops.weight(floatTensor("base", [5, 8], createRandom(6).normal(40)));
      const adapted = ops.lowRank(base, a, b, 1);
      const x = ops.matrix("x", 3, 8);
      const dOut = ops.matrix("dOut", 3, 5);
      ops.write(x, createRandom(7).normal(24));
      ops.write(dOut, createRandom(8).normal(15));
      ops.matmulBackward("dx", dOut, x, adapted);
      ops.freeParameters([w, a]);
      const others = [make("w", [5, 8]), make("a", [2, 8])];
      for (const use of [
        () => ops.matmul("y", x, w),
        () => ops.matmul("y", x, adapted),
        () => ops.matmulBackward("dx", dOut, x, w),
        () => ops.matmulBackward("dx", dOut, x, adapted),
        () => ops.lowRank(base, a, b, 1),
        () => ops.zeroGradients([a]),
        () => ops.gradientNorm([w]),
      ]) {
        expect(use).toThrow(expect.objectContaining({ code: "argument" }));
      }
      ops.freeParameters([b, ...others]);
    });

    it("measures the norm of all gradients together", () => {
      const sizes = [1, 7, 1000];
      const all = sizes.map((size) => {
        const parameter = ops.parameter(`p${size}`, [size], new Float32Array(size));
        ops.writeParameter(parameter, "gradient", createRandom(size).normal(size));
        return parameter;
      });
      const norm = Math.hypot(...sizes.flatMap((size) => [...createRandom(size).normal(size)]));
      expect(Math.abs(ops.gradientNorm(all) / norm - 1)).toBeLessThan(1e-6);
      ops.freeParameters(all);
    });

    it("refuses shapes that do not fit, targets outside of the vocabulary, other places of its operands", () => {
      const x = ops.matrix("x", 3, 8);
      const y = ops.matrix("y", 3, 5);
      const w = ops.parameter("w", [5, 8], new Float32Array(40));
      const a = ops.parameter("a", [2, 8], new Float32Array(16));
      const frozen = ops.weight(floatTensor("frozen", [5, 8], new Float32Array(40)));
      ops.write(x, new Float32Array(24));
      expect(() => ops.matmulBackward("dx", x, x, w)).toThrow(/matmul/);
      expect(() => ops.matmulBackward("y", y, x, w)).toThrow(/matmul/);
      expect(() => ops.matmulBackward(ops.matrix("dx", 2, 8), y, x, w)).toThrow(/dx/);
      expect(() => ops.lowRank(frozen, a, a, 1)).toThrow(/lowRank/);
      expect(() => ops.crossEntropy(undefined, x, Int32Array.of(0, 8, 0), Float64Array.of(1, 1, 1))).toThrow(/8/);
      expect(() => ops.crossEntropy(undefined, x, Int32Array.of(0), Float64Array.of(1))).toThrow(/crossEntropy/);
      ops.begin(rowsOfTokens(0, 5, 1));
      expect(() => ops.embedBackward(w, x, 1)).toThrow(/5/);
      ops.freeParameters([w, a]);
    });
  });
}
