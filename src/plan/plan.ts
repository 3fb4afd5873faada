import type { Mixture } from "../convert/mixtures.ts";
import type { KvType } from "../kernels/ops.ts";
import type { TensorType } from "../tensor/types.ts";
import { type Capacity, type Estimate, estimate, type Kernels, type Limit } from "./estimate.ts";
import type { PlanMachine } from "./machine.ts";
import { bitsOf, inMixture, inType, type ModelShape } from "./model-shape.ts";

export interface PlanOptions {
  /** Tokens that keys and values are kept of. */
  readonly context: number;
  readonly kvType: KvType;
  /** Told of each quantization before it is estimated. */
  readonly onRow?: (quantization: string) => void;
}

export interface PlanRow {
  /** A type's name, of all matrices; a mixture's, in capitals; or "as it is": the file's own. */
  readonly quantization: string;
  /** A weight. */
  readonly bits: number;
  readonly estimate: Estimate;
}

export interface Plan {
  /** The largest first, but for the file's own. */
  readonly rows: readonly PlanRow[];
  /** Types that this build's kernels do not have. */
  readonly notRun: readonly string[];
  /** Among `rows`; undefined where none works. */
  readonly recommended: PlanRow | undefined;
  readonly why: string;
  /** What more of something would do for the recommended one, most helpful first. */
  readonly changes: readonly Change[];
}

export interface Change {
  readonly what: "twice the memory" | "a disk twice as fast" | "twice the threads" | "memory twice as fast";
  readonly prefill: number;
  readonly decode: number;
}

/** All matrices in one. */
const types: readonly TensorType[] = [
  ...(["f16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "iq4_xs", "q3_k", "iq3_s", "iq3_xxs"] as const),
  ...(["q2_k", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s"] as const),
];

/** What files are usually published in, where it is not much the same as a type. */
const mixtures: readonly Mixture[] = [
  ...(["Q5_K_M", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q2_K"] as const),
  ...(["IQ3_M", "IQ3_XS", "IQ3_XXS", "IQ2_M", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"] as const),
];

export const asItIs = "as it is";

/** From here on more bits change nothing that is seen: perplexities of 6-bit files are within their error of the original's. */
const enoughBits = 6.7;

/**
 * What each quantization of a model does on a machine, and which one to take: the one of most bits, up to those that tell, that stays in
 * memory; where none does, the fastest, or what reads least where the disk's speed is not known.
 * @param own the model as a file has it, where there is one.
 */
export async function planFor(
  shape: ModelShape,
  own: boolean,
  machine: PlanMachine,
  kernels: Kernels,
  options: PlanOptions,
): Promise<Plan> {
  const capacity: Capacity = { ...machine, memory: machine.availableBytes };
  const rows: PlanRow[] = [];
  const notRun: string[] = [];
  const quantized = [
    ...types.map((type) => [type, inType(shape, type)] as const),
    ...mixtures.map((mixture) => [mixture, inMixture(shape, mixture)] as const),
  ].sort(([, a], [, b]) => b.bytes - a.bytes);
  const shapes = new Map<string, ModelShape>([...(own ? [[asItIs, shape] as const] : []), ...quantized]);
  const parts = inParts(kernels);
  for (const [quantization, each] of shapes) {
    options.onRow?.(quantization);
    const found = await estimate(each, capacity, quantization === asItIs ? kernels : parts, options);
    if (found === undefined) notRun.push(quantization);
    else rows.push({ quantization, bits: bitsOf(each), estimate: found });
  }
  const recommended = recommend(rows);
  const chosen = recommended && shapes.get(recommended.quantization)!;
  return {
    ...{ rows, notRun, recommended, why: explain(recommended) },
    changes:
      chosen && Number.isFinite(recommended.estimate.decode)
        ? await weighChanges(chosen, recommended.estimate, capacity, parts, options)
        : [],
  };
}

function recommend(rows: readonly PlanRow[]): PlanRow | undefined {
  const possible = rows.filter(({ estimate: { decodeLimit } }) => decodeLimit !== "memory size");
  const kept = possible.filter(({ estimate: { onDisk }, bits }) => onDisk === 0 && bits <= enoughBits);
  const best = (some: readonly PlanRow[], value: (row: PlanRow) => number) =>
    some.reduce<PlanRow | undefined>((a, b) => (a === undefined || value(b) > value(a) ? b : a), undefined);
  const speed = ({ estimate: { decode, diskPerToken } }: PlanRow) => (Number.isFinite(decode) ? decode : -diskPerToken);
  // A small model may be in memory in any type.
  return best(kept, ({ bits }) => bits) ?? best(possible, speed);
}

function explain(row: PlanRow | undefined): string {
  if (row === undefined)
    return "keys and values of this context alone take more than the memory: ask for a shorter context";
  const { onDisk, decode } = row.estimate;
  if (onDisk === 0) return "the most bits that stay in memory, up to those that can be told from the original";
  if (!Number.isFinite(decode))
    return "what reads least of the disk, whose speed is not known; none stays in memory as a whole";
  const slow = decode < 0.1 ? ", and too slow for a conversation" : "";
  return `the fastest; none stays in memory as a whole${slow}`;
}

async function weighChanges(
  shape: ModelShape,
  now: Estimate,
  capacity: Capacity,
  kernels: Kernels,
  options: PlanOptions,
): Promise<Change[]> {
  const { memory, memoryBandwidth, diskBandwidth } = capacity;
  const tries: [Change["what"], Capacity, Kernels][] = [
    ["twice the memory", { ...capacity, memory: 2 * memory }, kernels],
    ["a disk twice as fast", { ...capacity, diskBandwidth: diskBandwidth && 2 * diskBandwidth }, kernels],
  ];
  const limit: Limit = now.decodeLimit;
  tries.push(["twice the threads", capacity, faster(kernels, limit === "memory bandwidth" ? 1 : 2, 2)]);
  const memoryGain = limit === "memory bandwidth" ? 2 : 1;
  tries.push([
    "memory twice as fast",
    { ...capacity, memoryBandwidth: 2 * memoryBandwidth },
    faster(kernels, memoryGain, 1),
  ]);
  const changes: Change[] = [];
  for (const [what, changed, changedKernels] of tries) {
    const then = await estimate(shape, changed, changedKernels, options);
    if (then) changes.push({ what, prefill: then.prefill, decode: then.decode });
  }
  const gain = ({ prefill, decode }: Change) => decode / now.decode + 0.1 * (prefill / now.prefill);
  return changes.sort((a, b) => gain(b) - gain(a));
}

/** Experts of several types take what their matrices do in experts of one: of a mixture nothing new has to be timed. */
function inParts(kernels: Kernels): Kernels {
  return {
    ...kernels,
    async experts(shape, tokens) {
      if (shape.types.every((type) => type === shape.types[0])) return kernels.experts(shape, tokens);
      let sum = 0;
      for (const type of shape.types) {
        const whole = await kernels.experts({ ...shape, types: [type, type, type] }, tokens);
        if (whole === undefined) return undefined;
        sum += whole / 3;
      }
      return sum;
    },
  };
}

/** Kernels that take a part of the time: for one token, and for many. */
function faster(kernels: Kernels, one: number, many: number): Kernels {
  const part = (seconds: number | undefined, tokens: number) => seconds && seconds / (tokens === 1 ? one : many);
  return {
    product: async (type, rows, columns, tokens, fine) =>
      part(await kernels.product(type, rows, columns, tokens, fine), tokens),
    experts: async (shape, tokens) => part(await kernels.experts(shape, tokens), tokens),
    rest: async (shape, tokens, context, kvType) =>
      (await kernels.rest(shape, tokens, context, kvType)) / (tokens === 1 ? 1 : many),
  };
}
