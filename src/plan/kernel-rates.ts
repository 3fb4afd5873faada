import type { TensorType } from "../tensor/types.ts";
import { encodedBytes } from "../tensor/types.ts";
import type { Kernels } from "./estimate.ts";
import type { PlanMachine } from "./machine.ts";

/**
 * What one core does with weights of a type: GB of them a second in products with one row of activations, and 10^9 products of numbers a
 * second with 128 rows. By `bench/kernel-rates.mjs` on a virtual machine of an AMD EPYC of the Zen 4 generation, weights in the cache.
 */
const rates: Readonly<Record<string, Partial<Record<TensorType, readonly [number, number]>>>> = {
  avx2: {
    f32: [42.8, 39.6],
    f16: [48.4, 42.7],
    q4_0: [26.1, 111],
    q4_1: [25.1, 107],
    q5_0: [17.5, 113],
    q5_1: [18.6, 102],
    q8_0: [33.8, 58.5],
    q2_k: [15.6, 85.4],
    q3_k: [15.1, 101],
    q4_k: [22.7, 108],
    q5_k: [19.9, 106],
    q6_k: [25.0, 103],
    iq2_xxs: [5.32, 59.6],
    iq2_xs: [5.51, 65.9],
    iq3_xxs: [4.88, 58.0],
    iq1_s: [5.0, 111],
    iq4_nl: [17.1, 61.0],
    iq3_s: [5.62, 109],
    iq2_s: [6.41, 65.5],
    iq4_xs: [15.6, 60.5],
    iq1_m: [4.59, 100],
    bf16: [50.4, 42.8],
    tq1_0: [8.25, 117],
    tq2_0: [15.6, 118],
    mxfp4: [20.5, 113],
  },
  avx512: {
    f32: [56.9, 43.0],
    f16: [46.1, 45.5],
    q4_0: [28.0, 160],
    q4_1: [29.5, 145],
    q5_0: [22.9, 157],
    q5_1: [24.4, 143],
    q8_0: [42.5, 146],
    q2_k: [16.9, 101],
    q3_k: [16.8, 132],
    q4_k: [28.2, 136],
    q5_k: [24.5, 124],
    q6_k: [31.3, 122],
    iq2_xxs: [6.55, 149],
    iq2_xs: [6.43, 123],
    iq3_xxs: [5.64, 140],
    iq1_s: [4.95, 150],
    iq4_nl: [24.3, 153],
    iq3_s: [5.9, 141],
    iq2_s: [6.88, 122],
    iq4_xs: [24.1, 155],
    iq1_m: [4.5, 121],
    bf16: [39.6, 43.3],
    tq1_0: [8.97, 161],
    tq2_0: [16.7, 163],
    mxfp4: [22.1, 149],
  },
  avx512vbmi: {
    f32: [52.1, 42.8],
    f16: [42.5, 44.0],
    q4_0: [27.6, 146],
    q4_1: [29.2, 137],
    q5_0: [22.7, 149],
    q5_1: [24.2, 136],
    q8_0: [41.8, 140],
    q2_k: [17.5, 98.2],
    q3_k: [16.8, 125],
    q4_k: [26.2, 137],
    q5_k: [24.6, 136],
    q6_k: [31.0, 123],
    iq2_xxs: [8.51, 137],
    iq2_xs: [8.36, 122],
    iq3_xxs: [12.7, 142],
    iq1_s: [4.62, 137],
    iq4_nl: [22.5, 147],
    iq3_s: [12, 142],
    iq2_s: [7.26, 122],
    iq4_xs: [23.7, 149],
    iq1_m: [4.96, 125],
    bf16: [42.6, 44.4],
    tq1_0: [8.83, 163],
    tq2_0: [16.7, 165],
    mxfp4: [20.6, 142],
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
