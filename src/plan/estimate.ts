import type { KvType } from "../kernels/ops.ts";
import { encodedBytes, type TensorType } from "../tensor/types.ts";
import { bytesPerToken, type MatrixShape, type ModelShape } from "./model-shape.ts";

/** How fast a machine's kernels are: measured there, or what is known of its instruction set. In seconds; undefined for a type that does not run. */
export interface Kernels {
  /** A matrix [rows, columns] with `tokens` rows of activations. */
  product(type: TensorType, rows: number, columns: number, tokens: number, fine: boolean): Promise<number | undefined>;
  /** A layer's experts, with the choice of them. */
  experts(shape: ExpertShape, tokens: number): Promise<number | undefined>;
  /** A layer beside its products: norms, positions, attention over `context` tokens before the first, sums. */
  rest(shape: ModelShape, tokens: number, context: number, kvType: KvType): Promise<number>;
}

export interface ExpertShape {
  /** Of gate, up and down. */
  readonly types: readonly [TensorType, TensorType, TensorType];
  readonly width: number;
  readonly hidden: number;
  readonly experts: number;
  readonly used: number;
}

/** What a machine gives to a model. */
export interface Capacity {
  /** Of memory, in bytes, that a model may take. */
  readonly memory: number;
  /** Bytes a second that its threads read from memory, and from the disk where nothing is cached; undefined: not known. */
  readonly memoryBandwidth: number;
  readonly diskBandwidth: number | undefined;
}

export interface Estimate {
  /** In bytes: the file's; keys and values of the context; what computing takes beside. */
  readonly size: number;
  readonly kv: number;
  readonly scratch: number;
  /** Of the weights. */
  readonly inMemory: number;
  readonly onDisk: number;
  /** Read from the disk for each token that is decoded. */
  readonly diskPerToken: number;
  /** Tokens a second: of a prompt of {@link promptTokens}, after it, and where the context is full. */
  readonly prefill: number;
  readonly decode: number;
  readonly decodeFull: number;
  /** What takes most of the time. */
  readonly prefillLimit: Limit;
  readonly decodeLimit: Limit;
}

export type Limit = "disk" | "memory bandwidth" | "processor" | "memory size";

/** As `grok1 bench` has them. */
export const promptTokens = 512;
const answerTokens = 32;

export interface EstimateOptions {
  readonly context: number;
  readonly kvType: KvType;
}

/**
 * Seconds between two passes: what the engine's thread decides, and asks of the threads that compute. What passes of two models (0.5 and
 * 7 ms) took in the engine, less the same passes without it, one after the other.
 */
const stepSeconds = 2e-4;

/** From this part of the memory's bandwidth on, a product is taken to wait for memory. */
const memoryBound = 0.7;

/**
 * What a model does on a machine; docs/planning.md derives it. Undefined where a type does not run.
 */
export async function estimate(
  shape: ModelShape,
  { memory, memoryBandwidth, diskBandwidth }: Capacity,
  kernels: Kernels,
  { context, kvType }: EstimateOptions,
): Promise<Estimate | undefined> {
  const { config } = shape;
  const kv = 2 * config.layers * config.kvHeads * encodedBytes(kvType, config.headSize) * context;
  const scratch = scratchBytes(shape);
  const prompt = Math.min(promptTokens, Math.max(1, context - answerTokens));

  const products = await sumProducts(shape, kernels, prompt);
  if (products === undefined) return undefined;
  const layer = async (tokens: number, at: number) => config.layers * (await kernels.rest(shape, tokens, at, kvType));
  const [decodeRest, fullRest, prefillRest] = [
    await layer(1, prompt + answerTokens / 2),
    await layer(1, context - 1),
    await layer(prompt, 0),
  ];

  const { onDisk, diskPerToken, diskPerPass } = placeWeights(shape, memory - kv - scratch);
  const diskSeconds = (bytes: number) => (bytes === 0 ? 0 : bytes / (diskBandwidth ?? Number.NaN));
  const decodeSeconds = products.decode + decodeRest + stepSeconds + diskSeconds(diskPerToken);
  const prefillSeconds = products.prefill + prefillRest + diskSeconds(diskPerPass);
  const streamed = bytesPerToken(shape).all / memoryBandwidth;
  const waits = streamed >= memoryBound * products.decode && products.decode > decodeRest;
  const computeLimit: Limit = waits ? "memory bandwidth" : "processor";
  const fits = kv + scratch <= memory;
  // Of a disk whose speed is not known all that is read from it is taken to be what is waited for.
  const waitsForDisk = (bytes: number, seconds: number) => bytes > 0 && !(diskSeconds(bytes) <= seconds / 2);
  return {
    ...{ size: shape.bytes, kv, scratch, inMemory: shape.bytes - onDisk, onDisk, diskPerToken },
    prefill: prompt / prefillSeconds,
    decode: 1 / decodeSeconds,
    decodeFull: 1 / (decodeSeconds - decodeRest + fullRest),
    prefillLimit: !fits ? "memory size" : waitsForDisk(diskPerPass, prefillSeconds) ? "disk" : "processor",
    decodeLimit: !fits ? "memory size" : waitsForDisk(diskPerToken, decodeSeconds) ? "disk" : computeLimit,
  };
}

/** Seconds of all products for one token, and for a prompt of `prompt` tokens, of which each expert gets its part. */
async function sumProducts({ config, matrices }: ModelShape, kernels: Kernels, prompt: number) {
  let decode = 0;
  let prefill = 0;
  const add = (one: number | undefined, many: number | undefined): boolean => {
    decode += one ?? 0;
    prefill += many ?? 0;
    return one !== undefined && many !== undefined;
  };
  const stacks = new Map<string, MatrixShape[]>();
  for (const matrix of matrices) {
    const { name, type, rows, columns, count, used, lastOnly, fine } = matrix;
    if (used === 0) continue;
    if (count > 1) {
      const layer = name.split(".").slice(0, 2).join(".");
      stacks.set(layer, [...(stacks.get(layer) ?? []), matrix]);
      continue;
    }
    const part = Math.max(1, Math.round(prompt * used));
    const one = await kernels.product(type, rows, columns, 1, fine);
    const many = lastOnly ? one : await kernels.product(type, rows, columns, part, fine);
    // An expert that has a tensor of its own: a token uses some of them, a prompt all.
    if (!add(one && one * used, many && (lastOnly ? many * used : many))) return undefined;
  }
  for (const stack of stacks.values()) {
    const [gate, up, down] = ["gate", "up", "down"].map((part) =>
      stack.find(({ name }) => name.includes(`ffn_${part}`)),
    );
    const types = [gate ?? stack[0], up ?? stack[0], down ?? stack[0]].map((each) => each!.type);
    const { count, used, lastOnly } = stack[0]!;
    const shape = { types: types as [TensorType, TensorType, TensorType], experts: count, used };
    const whole = { ...shape, width: config.width, hidden: config.expertHidden };
    const one = await kernels.experts(whole, 1);
    if (!add(one, lastOnly ? one : await kernels.experts(whole, prompt))) return undefined;
  }
  return { decode, prefill };
}

/**
 * What of the weights is in `room` bytes of memory once the system has settled. What every token reads goes first. Experts share
 * the rest, and any one is there as often as its share of memory: routing is close to even. A dense model that does not
 * fit is read from end to end for each token, each part pushed out before it is wanted again: all comes from the disk.
 */
function placeWeights(shape: ModelShape, room: number) {
  if (shape.bytes <= room) return { onDisk: 0, diskPerToken: 0, diskPerPass: 0 };
  const { all, experts: expertsPerToken } = bytesPerToken(shape);
  const experts = shape.matrices.reduce(
    (sum, { bytes, used, count }) => sum + (used > 0 && used < count ? bytes : 0),
    0,
  );
  const common = shape.bytes - experts;
  const onDisk = Math.min(shape.bytes, shape.bytes - Math.max(0, room));
  if (experts === 0 || room <= common) return { onDisk, diskPerToken: all, diskPerPass: shape.bytes };
  const absent = 1 - (room - common) / experts;
  return { onDisk, diskPerToken: absent * expertsPerToken, diskPerPass: absent * experts };
}

/** Activations of a pass of 512 tokens in float32, as the engine's scratch slots have them, and one row of logits. */
export function scratchBytes({ config }: ModelShape): number {
  const { width, heads, kvHeads, headSize, hidden, expertHidden, used, vocab } = config;
  const inner = expertHidden > 0 ? 2 * used * expertHidden : 2 * hidden;
  return 4 * (promptTokens * (6 * width + 2 * (heads + 2 * kvHeads) * headSize + inner) + 2 * vocab);
}
