import type { TensorType } from "../tensor/types.ts";
import type { GradOps, Into, Parameter, SelfAttentionOptions } from "./grad-ops.ts";
import type { Activation, Batch, ExpertStacks, Matrix, Rope, Weight } from "./ops.ts";
import { createRandom, type Random, randomTensor, weightTypes } from "./oracle.case.ts";

/** What a problem is given: its values on a backend, and where gradients go. */
export interface Bench {
  readonly ops: GradOps;
  /** The value `name` as a matrix. */
  matrix(name: string, rows: number, cols: number, deviation?: number): Matrix;
  /** The value `name` as a parameter, whose gradient is looked at by itself. */
  parameter(name: string, shape: readonly number[], deviation?: number): Parameter;
  /** Where the gradient of matrix `name` goes. */
  into(name: string, rows: number, cols: number): Into;
}

/** One forward operation, or a few, and the rule that gives the gradients of its values. */
export interface Run {
  /** A result; its part of the loss is its product with a fixed random matrix, whose values `back` is given. */
  readonly out?: Matrix;
  /** Terms of the loss beside that. */
  readonly loss?: number;
  /** The gradients of all values that are matrices, by name. */
  back(dOut: Matrix): Record<string, Matrix | undefined> | undefined;
}

export interface Problem {
  readonly name: string;
  /** Values of a given kind in place of normal ones. */
  readonly values?: Readonly<Record<string, Float32Array>>;
  /** A quantized weight takes part, for which fast backends may round activations. */
  readonly quantized?: boolean;
  /** Slow to run on the reference: fewer places are looked at. */
  readonly large?: boolean;
  run(bench: Bench): Run | Promise<Run>;
}

export function batchOf(counts: readonly number[], firstPosition = 0): Batch {
  const n = counts.reduce((a, b) => a + b, 0);
  const positions = new Int32Array(n);
  let start = 0;
  const sequences = counts.map((count) => {
    for (let i = 0; i < count; i++) positions[start + i] = firstPosition + i;
    start += count;
    return { start: start - count, count, pages: new Int32Array(0) };
  });
  return { tokens: new Int32Array(n), positions, sequences, outputs: new Int32Array(0) };
}

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

const frozen = (bench: Bench, name: string, type: TensorType, shape: readonly number[]): Weight =>
  bench.ops.weight(randomTensor(createRandom(shape.length + shape.at(-1)!), name, type, shape).tensor);

const isQuantized = (type: TensorType) => !["f32", "f16", "bf16"].includes(type);

/** Problems of shapes drawn at random, the same every time. */
function drawnShapes(count: number, seed: number, draw: (random: Random) => Problem): Problem[] {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => draw(random));
}

function embeddingProblems(): Problem[] {
  return [
    {
      name: "embed, with tokens that come again",
      run(bench) {
        const table = bench.parameter("table", [11, 7]);
        const tokens = Int32Array.of(3, 0, 10, 3, 3, 7);
        return {
          out: bench.ops.embed("out", table, tokens, 78.4),
          back: (dOut) => void bench.ops.embedBackward(table, dOut, tokens, 78.4),
        };
      },
    },
    {
      name: "rows, some twice and some never",
      run(bench) {
        const x = bench.matrix("x", 9, 5);
        const indices = Int32Array.of(7, 0, 3, 3);
        return {
          out: bench.ops.rows("out", x, indices),
          back: (dOut) => ({ x: bench.ops.rowsBackward(bench.into("x", 9, 5), dOut, indices, 9) }),
        };
      },
    },
    {
      name: "a table that both embeds and multiplies",
      run(bench) {
        const table = bench.parameter("table", [19, 12]);
        const tokens = Int32Array.of(4, 18, 4, 0);
        const x = bench.ops.embed("x", table, tokens, 3);
        return {
          out: bench.ops.matmul("out", x, table),
          back(dOut) {
            const dx = bench.ops.matmulBackward("dx", dOut, x, table);
            bench.ops.embedBackward(table, dx!, tokens, 3);
            return undefined;
          },
        };
      },
    },
  ];
}

function normProblems(): Problem[] {
  const norm = (name: string, rows: number, cols: number, gain: (bench: Bench) => Weight): Problem => ({
    name,
    run(bench) {
      const x = bench.matrix("x", rows, cols, 2);
      const weight = gain(bench);
      return {
        out: bench.ops.rmsNorm("out", x, weight, 1e-5),
        back: (dOut) => ({ x: bench.ops.rmsNormBackward(bench.into("x", rows, cols), dOut, x, weight, 1e-5) }),
      };
    },
  });
  return [
    norm("rmsNorm with a gain that is trained", 5, 24, (bench) => bench.parameter("gain", [24])),
    norm("rmsNorm of many rows", 70, 33, (bench) => bench.parameter("gain", [33])),
    norm("rmsNorm with a frozen gain", 4, 24, (bench) => frozen(bench, "gain", "f32", [24])),
    {
      name: "rmsNorm of which only the gain is trained",
      run(bench) {
        const gain = bench.parameter("gain", [16]);
        const x = bench.ops.matrix("given", 3, 16);
        bench.ops.write(x, createRandom(8).normal(48));
        return {
          out: bench.ops.rmsNorm("out", x, gain, 1e-5),
          back: (dOut) => void bench.ops.rmsNormBackward(undefined, dOut, x, gain, 1e-5),
        };
      },
    },
  ];
}

function productProblems(): Problem[] {
  const product = (
    name: string,
    n: number,
    cols: number,
    weight: (bench: Bench) => Weight,
    quantized = false,
  ): Problem => ({
    name: `matmul ${name}`,
    quantized,
    run(bench) {
      const x = bench.matrix("x", n, cols);
      const w = weight(bench);
      return {
        out: bench.ops.matmul("out", x, w),
        back: (dOut) => ({ x: bench.ops.matmulBackward(bench.into("x", n, cols), dOut, x, w) }),
      };
    },
  });
  const trained = (rows: number, cols: number) => (bench: Bench) => bench.parameter("w", [rows, cols], cols ** -0.5);
  const adapted = (base: (bench: Bench) => Weight, rows: number, cols: number, rank: number) => (bench: Bench) =>
    bench.ops.lowRank(base(bench), bench.parameter("a", [rank, cols]), bench.parameter("b", [rows, rank]), 0.7);
  return [
    product("by a parameter", 5, 37, trained(13, 37)),
    product("of one row", 1, 64, trained(33, 64)),
    product("of many rows", 130, 96, trained(72, 96)),
    product("of more rows than a tile", 67, 200, trained(131, 200)),
    product("to one column", 6, 16, trained(1, 16)),
    ...drawnShapes(6, 42, (random) => {
      const [n, rows, cols] = [1 + random.below(40), 1 + random.below(50), 1 + random.below(50)];
      return product(`of [${n}, ${cols}] by [${rows}, ${cols}]`, n, cols, trained(rows, cols));
    }),
    ...weightTypes.map((type) =>
      product(`by frozen ${type}`, 7, 256, (bench) => frozen(bench, "w", type, [12, 256]), isQuantized(type)),
    ),
    product("by frozen q4_0 of many rows", 40, 128, (bench) => frozen(bench, "w", "q4_0", [50, 128]), true),
    product(
      "by adapted q4_0",
      9,
      64,
      adapted((bench) => frozen(bench, "w", "q4_0", [24, 64]), 24, 64, 4),
      true,
    ),
    product(
      "by adapted f32 of rank 1",
      3,
      20,
      adapted((bench) => frozen(bench, "w", "f32", [10, 20]), 10, 20, 1),
    ),
    product("by an adapted parameter", 6, 18, adapted(trained(14, 18), 14, 18, 3)),
    {
      name: "matmul without a gradient of its operand",
      run(bench) {
        const w = bench.parameter("w", [6, 10]);
        const x = bench.ops.matrix("given", 4, 10);
        bench.ops.write(x, createRandom(9).normal(40));
        return {
          out: bench.ops.matmul("out", x, w),
          back: (dOut) => void bench.ops.matmulBackward(undefined, dOut, x, w),
        };
      },
    },
  ];
}

function ropeProblems(): Problem[] {
  const ropes: Rope[] = (["half", "adjacent"] as const).flatMap((pairing) => [
    { headSize: 8, pairing, frequencies: Float64Array.of(1, 0.1, 0.01, 0.001), magnitude: 1 },
    { headSize: 12, pairing, frequencies: Float64Array.of(1, 0.3), magnitude: 1.3 },
  ]);
  return ropes.map((rope) => ({
    name: `rope of ${rope.pairing} pairs, ${2 * rope.frequencies.length} of ${rope.headSize}`,
    run(bench) {
      const cols = 3 * rope.headSize;
      const x = bench.matrix("x", 4, cols);
      const positions = Int32Array.of(0, 1, 17, 500);
      return {
        out: bench.ops.rope("out", x, positions, rope),
        back: (dOut) => ({ x: bench.ops.ropeBackward(bench.into("x", 4, cols), dOut, positions, rope) }),
      };
    },
  }));
}

function attentionProblems(): Problem[] {
  const attention = (
    name: string,
    counts: readonly number[],
    headSize: number,
    options: Omit<SelfAttentionOptions, "scale">,
    firstPosition = 0,
  ): Problem => ({
    name: `attention with ${name}`,
    large: counts.some((count) => count > 100),
    run(bench) {
      const { heads, kvHeads } = options;
      const batch = batchOf(counts, firstPosition);
      const n = batch.positions.length;
      const [cols, kvCols] = [heads * headSize, kvHeads * headSize];
      const q = bench.matrix("q", n, cols, 2);
      const k = bench.matrix("k", n, kvCols, 2);
      const v = bench.matrix("v", n, kvCols);
      const full = { ...options, scale: headSize ** -0.5 };
      const attended = bench.ops.selfAttention("out", q, k, v, batch, full);
      const into = { q: bench.into("q", n, cols), k: bench.into("k", n, kvCols), v: bench.into("v", n, kvCols) };
      return {
        out: attended.out,
        back: (dOut) => bench.ops.selfAttentionBackward(into, dOut, q, k, v, attended, batch, full),
      };
    },
  });
  return [
    attention("as many key/value heads", [9], 8, { heads: 2, kvHeads: 2 }),
    attention("grouped heads, a ragged batch", [7, 1, 12], 8, { heads: 6, kvHeads: 2 }),
    attention("one key/value head", [3, 5], 20, { heads: 5, kvHeads: 1 }),
    attention("a soft cap that bites", [7, 1, 12], 16, { heads: 4, kvHeads: 2, softcap: 1.5 }),
    attention("a soft cap and temperature", [4, 11], 8, { heads: 4, kvHeads: 2, softcap: 3, temperatureLength: 5 }),
    attention("temperature at late positions", [6, 2], 8, { heads: 2, kvHeads: 1, temperatureLength: 5 }, 40),
    attention("Grok-1's heads, a long sequence", [3, 130, 66], 64, { heads: 6, kvHeads: 1, softcap: 30 }),
    ...drawnShapes(5, 41, (random) => {
      const kvHeads = 1 + random.below(3);
      const counts = Array.from({ length: 1 + random.below(4) }, () => 1 + random.below(13));
      const heads = kvHeads * (1 + random.below(4));
      const headSize = 2 * (1 + random.below(17));
      return attention(`${heads} on ${kvHeads} heads of ${headSize}, sequences of ${counts}`, counts, headSize, {
        heads,
        kvHeads,
        softcap: random.below(3),
      });
    }),
  ];
}

function elementwiseProblems(): Problem[] {
  const gated = (activation: Activation): Problem => ({
    name: `gated ${activation}`,
    run(bench) {
      const [gate, up] = [bench.matrix("gate", 5, 13, 2), bench.matrix("up", 5, 13)];
      const into = { gate: bench.into("gate", 5, 13), up: bench.into("up", 5, 13) };
      return {
        out: bench.ops.gated("out", activation, gate, up),
        back: (dOut) => ({ ...bench.ops.gatedBackward(into, dOut, activation, gate, up) }),
      };
    },
  });
  return [
    gated("gelu"),
    gated("silu"),
    {
      name: "add",
      run(bench) {
        const [a, b] = [bench.matrix("a", 3, 7), bench.matrix("b", 3, 7)];
        return {
          out: bench.ops.add("out", a, b),
          back: (dOut) => ({
            a: bench.ops.addBackward(bench.into("a", 3, 7), dOut),
            b: bench.ops.addBackward(bench.into("b", 3, 7), dOut),
          }),
        };
      },
    },
    {
      name: "scale",
      run(bench) {
        const x = bench.matrix("x", 3, 7);
        return {
          out: bench.ops.scale("out", x, -0.37),
          back: (dOut) => ({ x: bench.ops.scaleBackward(bench.into("x", 3, 7), dOut, -0.37) }),
        };
      },
    },
    {
      name: "softcap that bites",
      run(bench) {
        const x = bench.matrix("x", 5, 9, 3);
        const out = bench.ops.softcap("out", x, 2.5);
        return { out, back: (dOut) => ({ x: bench.ops.softcapBackward(bench.into("x", 5, 9), dOut, out, 2.5) }) };
      },
    },
  ];
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

function routeProblems(): Problem[] {
  const route = (
    rows: number,
    experts: number,
    used: number,
    renormalize: boolean,
    coefficients: [number, number],
  ) => ({
    name: `route to ${used} of ${experts}, ${renormalize ? "renormalised" : "as they are"}, losses ${coefficients}`,
    values: { logits: routerLogits(rows + experts, rows, experts) },
    async run(bench: Bench): Promise<Run> {
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

function expertsProblems(): Problem[] {
  const mixture = (
    name: string,
    [rows, width, hidden, experts, used]: readonly [number, number, number, number, number],
    activation: Activation,
    renormalize: boolean,
    stack: (bench: Bench, name: string, shape: readonly number[]) => Weight,
    quantized = false,
  ): Problem => ({
    name: `experts ${name}`,
    large: rows > 50,
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

function lossProblems(): Problem[] {
  const loss = (name: string, rows: number, vocab: number, overwrite: boolean): Problem => ({
    name: `crossEntropy ${name}`,
    run(bench) {
      const logits = bench.matrix("logits", rows, vocab, 3);
      const random = createRandom(vocab);
      const targets = Int32Array.from({ length: rows }, () => random.below(vocab));
      const weights = Float64Array.from({ length: rows }, () => random.next());
      weights[1] = 0;
      targets[1] = -1;
      const alone = bench.ops.crossEntropy(undefined, logits, targets, weights);
      return {
        loss: alone.loss,
        back() {
          const name = overwrite ? logits.name : "dLogits";
          const found = bench.ops.crossEntropy(name, logits, targets, weights);
          if (found.loss !== alone.loss) throw new Error(`a loss of ${found.loss}, alone ${alone.loss}`);
          return { logits: found.dLogits };
        },
      };
    },
  });
  return [loss("beside its logits", 6, 50, false), loss("over its logits", 9, 1031, true)];
}

/** Every rule, over shapes that are even, odd, tiny and larger than a tile. */
export function gradProblems(): Problem[] {
  return [
    ...embeddingProblems(),
    ...normProblems(),
    ...productProblems(),
    ...ropeProblems(),
    ...attentionProblems(),
    ...elementwiseProblems(),
    ...routeProblems(),
    ...expertsProblems(),
    ...lossProblems(),
  ];
}
