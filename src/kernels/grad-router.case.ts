import type { TensorType } from "../tensor/types.ts";
import { type Bench, drawnShapes, type Forward, frozen, type Problem } from "./grad-bench.case.ts";
import type { Activation, ExpertStacks, Matrix, Weight } from "./ops.ts";
import { createRandom } from "./oracle.case.ts";

/** Rows of router logits that are well apart, so that a small step changes no choice; expert `never` is never chosen. */
function routerLogits(seed: number, rows: number, experts: number, never = -1): Float32Array {
  const random = createRandom(seed);
  const logits = new Float32Array(rows * experts);
  for (let row = 0; row < rows; row++) {
    const ranks = Array.from({ length: experts }, (_, i) => i);
    for (let i = experts - 1; i > 0; i--) {
      const j = random.below(i + 1);
      [ranks[i], ranks[j]] = [ranks[j]!, ranks[i]!];
    }
    ranks.forEach((rank, e) => {
      logits[row * experts + e] = e === never ? -6 : 0.5 * rank - 1 + 0.2 * random.next();
    });
  }
  return logits;
}

/** The router's losses by their definitions, from values that were read. */
async function routerLosses(bench: Bench, logits: Matrix, chosen: Matrix, probabilities: Matrix) {
  const { rows, cols: experts } = logits;
  const x = Array.from(await bench.ops.read(logits));
  const c = Array.from(await bench.ops.read(chosen));
  const p = Array.from(await bench.ops.read(probabilities));
  let [balance, zLoss] = [0, 0];
  for (let e = 0; e < experts; e++) {
    let mean = 0;
    for (let row = 0; row < rows; row++) mean += p[row * experts + e]! / rows;
    balance += (experts * mean * c.reduce((count, choice) => count + (choice === e ? 1 : 0), 0)) / c.length;
  }
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let e = 0; e < experts; e++) sum += Math.exp(x[row * experts + e]!);
    zLoss += Math.log(sum) ** 2 / rows;
  }
  return { balance, zLoss };
}

export function routeProblems(): Problem[] {
  const route = (
    rows: number,
    experts: number,
    used: number,
    renormalize: boolean,
    coefficients: [number, number],
  ) => ({
    name: `route to ${used} of ${experts}, ${renormalize ? "renormalised" : "as they are"}, losses ${coefficients}`,
    values: { logits: routerLogits(rows + experts, rows, experts) },
    async run(bench: Bench): Promise<Forward> {
      const logits = bench.matrix("logits", rows, experts);
      const [balance, zLoss] = coefficients;
      const options = { used, renormalize, balance, zLoss };
      const routing = bench.ops.route("routing", logits, options);
      const losses = await routerLosses(bench, logits, routing.chosen, routing.probabilities);
      return {
        out: routing.weights,
        loss: balance * losses.balance + zLoss * losses.zLoss,
        back(dOut) {
          const into = bench.into("logits", rows, experts);
          const found = bench.ops.routeBackward(into, dOut, logits, routing, options);
          for (const loss of ["balance", "zLoss"] as const) {
            if (!(Math.abs(found[loss] - losses[loss]) <= 1e-5 * losses[loss])) {
              throw new Error(`${loss} is ${found[loss]}, expected ${losses[loss]}`);
            }
          }
          return { logits: found.dLogits };
        },
      };
    },
  });
  return [
    route(7, 8, 2, false, [0, 0]),
    route(7, 8, 2, true, [0, 0]),
    route(7, 8, 2, false, [0.5, 0.3]),
    route(5, 6, 3, true, [0.5, 0.3]),
    route(9, 4, 1, false, [2, 0]),
    route(9, 5, 5, false, [0, 1]),
    route(1, 3, 1, true, [1, 1]),
  ];
}

export function expertsProblems(): Problem[] {
  const mixture = (
    name: string,
    [rows, width, hidden, experts, used]: readonly [number, number, number, number, number],
    activation: Activation,
    renormalize: boolean,
    stack: (bench: Bench, name: string, shape: readonly number[]) => Weight,
    quantized = false,
  ): Problem => ({
    name: `experts ${name}`,
    large: rows * width > 150,
    quantized,
    values: { logits: routerLogits(rows + width, rows, experts, 1) },
    async run(bench) {
      const x = bench.matrix("x", rows, width);
      const logits = bench.matrix("logits", rows, experts);
      const options = { used, renormalize, balance: 0.1, zLoss: 0.1 };
      const routing = bench.ops.route("routing", logits, options);
      const losses = await routerLosses(bench, logits, routing.chosen, routing.probabilities);
      const stacks: ExpertStacks = {
        gate: stack(bench, "gate", [experts, hidden, width]),
        up: stack(bench, "up", [experts, hidden, width]),
        down: stack(bench, "down", [experts, width, hidden]),
      };
      return {
        out: await bench.ops.experts("out", x, routing, stacks, activation),
        loss: 0.1 * losses.balance + 0.1 * losses.zLoss,
        back(dOut) {
          const into = { x: bench.into("x", rows, width), weights: "dWeights" };
          const found = bench.ops.expertsBackward(into, dOut, x, routing, stacks, activation);
          const dLogits = bench.into("logits", rows, experts);
          const routed = bench.ops.routeBackward(dLogits, found.weights, logits, routing, options);
          return { x: found.x, logits: routed.dLogits };
        },
      };
    },
  });
  const trained = (bench: Bench, name: string, shape: readonly number[]) =>
    bench.parameter(name, shape, shape.at(-1)! ** -0.5);
  const kept = (type: TensorType) => (bench: Bench, name: string, shape: readonly number[]) =>
    frozen(bench, name, type, shape);
  const adapted =
    (base: typeof trained | ReturnType<typeof kept>, rank: number) =>
    (bench: Bench, name: string, shape: readonly number[]) => {
      const [experts, out, width] = shape as [number, number, number];
      const a = bench.parameter(`${name}.a`, [experts, rank, width], 0.3);
      return bench.ops.lowRank(
        base(bench, name, shape),
        a,
        bench.parameter(`${name}.b`, [experts, out, rank], 0.3),
        0.8,
      );
    };
  return [
    mixture("with GELU, as they are weighed", [6, 10, 7, 4, 2], "gelu", false, trained),
    mixture("with SiLU, renormalised", [6, 10, 7, 5, 2], "silu", true, trained),
    mixture("of many rows", [75, 48, 40, 6, 2], "gelu", false, trained),
    mixture("one row, one expert", [1, 8, 12, 3, 1], "gelu", false, trained),
    mixture("frozen in f32", [5, 16, 12, 4, 2], "silu", true, kept("f32")),
    mixture("frozen in q8_0", [5, 64, 32, 4, 2], "gelu", false, kept("q8_0"), true),
    mixture("adapted over q8_0", [6, 32, 32, 4, 2], "gelu", false, adapted(kept("q8_0"), 3), true),
    mixture("adapted over parameters", [6, 9, 8, 4, 2], "silu", true, adapted(trained, 2)),
    ...drawnShapes(5, 43, (random) => {
      const experts = 3 + random.below(4);
      const sizes = [1 + random.below(12), 1 + random.below(20), 1 + random.below(20)] as const;
      const used = 1 + random.below(experts - 1);
      const shape = [...sizes, experts, used] as const;
      return mixture(`of shape ${shape}`, shape, random.below(2) ? "gelu" : "silu", random.below(2) === 1, trained);
    }),
  ];
}
