import type { TensorType } from "../tensor/types.ts";
import { attentionProblems, ropeProblems } from "./grad-attention.case.ts";
import { type Bench, drawnShapes, frozen, type Problem } from "./grad-bench.case.ts";
import { expertsProblems, routeProblems } from "./grad-router.case.ts";
import type { Activation, Weight } from "./ops.ts";
import { createRandom, rowsOfTokens, weightTypes } from "./oracle.case.ts";

const isQuantized = (type: TensorType) => !["f32", "f16", "bf16"].includes(type);

function embeddingProblems(): Problem[] {
  return [
    {
      name: "embed, with tokens that come again",
      run(bench) {
        const table = bench.parameter("table", [11, 7]);
        bench.ops.begin(rowsOfTokens(3, 0, 10, 3, 3, 7));
        return {
          out: bench.ops.embed("out", table, 78.4),
          back: (dOut) => void bench.ops.embedBackward(table, dOut, 78.4),
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
        bench.ops.begin(rowsOfTokens(4, 18, 4, 0));
        const x = bench.ops.embed("x", table, 3);
        return {
          out: bench.ops.matmul("out", x, table),
          back(dOut) {
            const dx = bench.ops.matmulBackward("dx", dOut, x, table);
            bench.ops.embedBackward(table, dx!, 3);
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
    norm("rmsNorm of heads side by side", 5, 24, (bench) => bench.parameter("gain", [8])),
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
    large: n * cols > 5000,
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
