import type { TensorType } from "../tensor/types.ts";
import { encodedBytes } from "../tensor/types.ts";
import type { Kernels } from "./estimate.ts";
import type { PlanMachine } from "./machine.ts";

/**
 * What one core does with weights of a type: GB of them a second in products with one row of activations, and 10^9 products of numbers a
 * second with 128 rows. By `bench/kernel-rates.mjs` on a virtual machine of an AMD EPYC of the Zen 5 generation, weights in the cache.
 */
const rates: Readonly<Record<string, Partial<Record<TensorType, readonly [number, number]>>>> = {
  avx2: {
    f32: [32.2, 27.3],
    f16: [36.0, 29.0],
    q4_0: [27.1, 115],
    q4_1: [26.7, 110],
    q5_0: [17.6, 112],
    q5_1: [13.8, 105],
    q8_0: [34.3, 51.7],
    q2_k: [11.9, 82.2],
    q3_k: [13.3, 97.4],
    q4_k: [17.1, 100],
    q5_k: [20.1, 98.4],
    q6_k: [17.7, 66.4],
    iq4_nl: [16.8, 55.7],
    iq4_xs: [15.3, 58.3],
    bf16: [50.3, 42.6],
  },
  avx512: {
    f32: [55.0, 42.3],
    f16: [41.7, 44.4],
    q4_0: [22.7, 152],
    q4_1: [29.4, 140],
    q5_0: [23.2, 150],
    q5_1: [24.8, 133],
    q8_0: [34.8, 139],
    q2_k: [15.3, 97.4],
    q3_k: [15.4, 129],
    q4_k: [27.6, 141],
    q5_k: [24.7, 138],
    q6_k: [31.5, 119],
    iq4_nl: [22.7, 154],
    iq4_xs: [19.4, 153],
    bf16: [40.5, 44.2],
  },
};

/** Part of as many cores' speed that they have together. */
const together = 0.8;
/** Seconds until the threads of one operation have met. */
const meeting = 3e-6;
/** Operations of a layer beside its products. */
const restOperations = 12;
/** Of one core, in attention: products of numbers a second. */
const attentionRate = 28e9;
/** Of one core: seconds for a number of a row in all that is done number by number in a layer. */
const elementSeconds = 4e-9;
/** Products that keep more than 8 bits of the activations. */
const fineCost = 1.6;

/** The kernels of a machine that is not here, by its instruction set; Arm's have not been timed and are taken to be as AVX2's. */
export function tabledKernels({ isa, threads, memoryBandwidth }: PlanMachine): Kernels {
  const table = rates[isa === "neon" ? "avx2" : isa] ?? {};
  const cores = threads === 1 ? 1 : threads * together;
  const product: Kernels["product"] = async (type, rows, columns, tokens, fine) => {
    const rate = table[type];
    if (rate === undefined) return undefined;
    const cost = fine ? fineCost : 1;
    const bytes = encodedBytes(type, rows * columns);
    const streaming = Math.max(bytes / memoryBandwidth, (cost * bytes) / (1e9 * rate[0] * cores));
    if (tokens === 1) return meeting + streaming;
    return meeting + Math.max(streaming, (cost * rows * columns * tokens) / (1e9 * rate[1] * cores));
  };
  return {
    product,
    async experts({ types, width, hidden, experts, used }, tokens) {
      const [each, active] = tokens === 1 ? [1, used] : [Math.max(1, Math.round((tokens * used) / experts)), experts];
      const parts = [
        await product(types[0], hidden, width, each, false),
        await product(types[1], hidden, width, each, false),
        await product(types[2], width, hidden, each, false),
      ];
      return parts.includes(undefined) ? undefined : active * parts.reduce<number>((sum, part) => sum + part!, 0);
    },
    async rest({ config }, tokens, context, kvType) {
      const { width, heads, kvHeads, headSize } = config;
      const seen = context + tokens / 2;
      const read = (2 * kvHeads * encodedBytes(kvType, headSize) * (context + tokens)) / memoryBandwidth;
      const attention = (2 * tokens * seen * heads * headSize) / (attentionRate * cores);
      return restOperations * meeting + Math.max(read, attention) + (tokens * width * elementSeconds) / cores;
    },
  };
}
