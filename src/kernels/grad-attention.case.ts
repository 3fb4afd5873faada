import { batchOf, drawnShapes, type Problem } from "./grad-bench.case.ts";
import type { SelfAttentionOptions } from "./grad-ops.ts";
import type { Rope } from "./ops.ts";
import { rowsAt } from "./oracle.case.ts";

export function ropeProblems(): Problem[] {
  const ropes: Rope[] = (["half", "adjacent"] as const).flatMap((pairing) => [
    { headSize: 8, pairing, frequencies: Float64Array.of(1, 0.1, 0.01, 0.001), magnitude: 1 },
    { headSize: 12, pairing, frequencies: Float64Array.of(1, 0.3), magnitude: 1.3 },
  ]);
  return ropes.map((rope) => ({
    name: `rope of ${rope.pairing} pairs, ${2 * rope.frequencies.length} of ${rope.headSize}`,
    run(bench) {
      const cols = 3 * rope.headSize;
      const x = bench.matrix("x", 4, cols);
      bench.ops.begin(rowsAt(Int32Array.of(0, 1, 17, 500)));
      return {
        out: bench.ops.rope("out", x, rope),
        back: (dOut) => ({ x: bench.ops.ropeBackward(bench.into("x", 4, cols), dOut, rope) }),
      };
    },
  }));
}

export function attentionProblems(): Problem[] {
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
      bench.ops.begin(batch);
      const [cols, kvCols] = [heads * headSize, kvHeads * headSize];
      const q = bench.matrix("q", n, cols, 2);
      const k = bench.matrix("k", n, kvCols, 2);
      const v = bench.matrix("v", n, kvCols);
      const full = { ...options, scale: headSize ** -0.5 };
      const attended = bench.ops.selfAttention("out", q, k, v, full);
      const into = { q: bench.into("q", n, cols), k: bench.into("k", n, kvCols), v: bench.into("v", n, kvCols) };
      return {
        out: attended.out,
        back: (dOut) => bench.ops.selfAttentionBackward(into, dOut, q, k, v, attended, full),
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
    attention("Grok-1's heads, a long sequence", [3, 130, 20], 64, { heads: 4, kvHeads: 1, softcap: 30 }),
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
