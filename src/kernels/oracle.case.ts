import { decodeRow, encodeRow } from "../tensor/decode.ts";
import { writeF16 } from "../tensor/f16.ts";
import { memoryTensor } from "../tensor/memory-tensor.case.ts";
import { elementCount, type Tensor } from "../tensor/tensor.ts";
import { encodedBytes, type TensorType, tensorTypes } from "../tensor/types.ts";
import type { Activation, AttentionOptions, Batch, KvType, Rope } from "./ops.ts";

/** ‖found − expected‖ / ‖expected‖; infinite for different lengths or anything that is not a number. */
export function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  const error = norm === 0 ? difference : Math.sqrt(difference / norm);
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** A whole number in [0, n). */
  below(n: number): number;
  /** Normal values, rounded to float32 so that every backend is given the same. */
  normal(n: number, deviation?: number): Float32Array;
}

/** A repeatable source of random numbers (mulberry32). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    below: (n) => Math.floor(next() * n),
    normal: (n, deviation = 1) =>
      Float32Array.from(
        { length: n },
        () => deviation * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
      ),
  };
}

/** Every type that both backends compute with. */
export const weightTypes: readonly TensorType[] = [
  ...(["f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0"] as const),
  ...(["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"] as const),
  ...(["iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "tq1_0", "tq2_0", "mxfp4"] as const),
];

/** Where the f16 scales of a block lie; all other bytes of these types may hold anything. */
const scalePlaces: Partial<Record<TensorType, readonly number[]>> = {
  q4_0: [0],
  q4_1: [0, 2],
  q5_0: [0],
  q5_1: [0, 2],
  q8_0: [0],
  q2_k: [80, 82],
  q3_k: [108],
  q4_k: [0, 2],
  q5_k: [0, 2],
  q6_k: [208],
  iq4_nl: [0],
  iq4_xs: [0],
  iq1_s: [0],
  iq1_m: [],
  iq2_xxs: [0],
  iq2_xs: [0],
  iq2_s: [0],
  iq3_xxs: [0],
  iq3_s: [0],
  tq1_0: [52],
  tq2_0: [64],
  mxfp4: [],
};

/** Scales of blocks that hold none as f16: IQ1_M's in quarters, above the scales of its half blocks, and MXFP4's exponent. */
function writeScale(type: TensorType, bytes: Uint8Array, block: number, random: Random): void {
  if (type === "mxfp4") bytes[block] = 110 + random.below(8);
  if (type !== "iq1_m") return;
  const half = new Uint8Array(2);
  writeF16(half, 0, (random.next() - 0.3) / 100);
  for (let i = 0; i < 4; i++) {
    const at = block + 49 + 2 * i;
    bytes[at] = (bytes[at]! & 15) | (((half[i >> 1]! >> (4 * (i & 1))) & 15) << 4);
  }
}

/** A random tensor, and its values by decodeRow, which has its own test against the gguf package. */
export function randomTensor(random: Random, name: string, type: TensorType, shape: readonly number[]) {
  const elements = elementCount(shape);
  const places = scalePlaces[type];
  let bytes: Uint8Array;
  if (places === undefined) {
    bytes = encodeRow(type, random.normal(elements, 1 / Math.sqrt(shape.at(-1)!)));
  } else {
    const { blockBytes } = tensorTypes[type];
    bytes = Uint8Array.from({ length: encodedBytes(type, elements) }, () => random.below(256));
    for (let block = 0; block < bytes.length; block += blockBytes) {
      for (const place of places) writeF16(bytes, block + place, (random.next() - 0.3) / 100);
      writeScale(type, bytes, block, random);
    }
  }
  const values = new Float32Array(elements);
  decodeRow(type, bytes, values);
  return { tensor: memoryTensor(name, type, shape, bytes), values };
}

/** A float32 tensor of given values. */
export function floatTensor(name: string, shape: readonly number[], values: Float32Array): Tensor {
  return memoryTensor(name, "f32", shape, values);
}

/** x [n, k] times w [m, k] transposed: [n, m], by the definition. */
export function product(x: ArrayLike<number>, w: ArrayLike<number>, n: number, k: number, m: number): Float64Array {
  const out = new Float64Array(n * m);
  const [left, right] = [Float64Array.from(x), Float64Array.from(w)];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) sum += left[i * k + l]! * right[j * k + l]!;
      out[i * m + j] = sum;
    }
  }
  return out;
}

export function softmax(x: readonly number[]): number[] {
  const top = Math.max(...x);
  const e = x.map((value) => Math.exp(value - top));
  const sum = e.reduce((a, b) => a + b);
  return e.map((value) => value / sum);
}

/** GELU's tanh approximation or SiLU, through the logistic function σ: x σ(2z) with z as in the tanh form, and x σ(x). */
export function activate(activation: Activation, x: number): number {
  const logistic = (z: number) => 1 / (1 + Math.exp(-z));
  return activation === "silu" ? x * logistic(x) : x * logistic(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
}

/** A row's rotation as multiplication of complex numbers: (a + ib) e^(i position frequency), times the magnitude. */
export function rotateRow(row: ArrayLike<number>, position: number, rope: Rope): number[] {
  const out = Array.from(row);
  const pairs = rope.frequencies.length;
  for (let head = 0; head < out.length; head += rope.headSize) {
    for (let i = 0; i < pairs; i++) {
      const [a, b] = rope.pairing === "half" ? [head + i, head + i + pairs] : [head + 2 * i, head + 2 * i + 1];
      const radius = Math.hypot(row[a]!, row[b]!) * rope.magnitude;
      const angle = Math.atan2(row[b]!, row[a]!) + position * rope.frequencies[i]!;
      out[a] = radius * Math.cos(angle);
      out[b] = radius * Math.sin(angle);
    }
  }
  return out;
}

/** A row of heads of keys or values as a cache of `type` holds it: a quantized one rounds Hadamard transforms of them. */
export function roundThrough(type: KvType, row: Float32Array, headSize: number): Float32Array {
  const quantized = type === "q8_0" || type === "q4_0";
  const rounded = new Float32Array(row.length);
  decodeRow(type, encodeRow(type, quantized ? hadamard(row, headSize) : row), rounded);
  return quantized ? hadamard(rounded, headSize) : rounded;
}

/** By the definition: H[i][j] = (-1)^(ones of i & j) / sqrt(n), n the largest power of two that divides a head's size. */
function hadamard(row: Float32Array, headSize: number): Float32Array {
  let n = 1;
  while (headSize % (2 * n) === 0) n *= 2;
  return row.map((_, at) => {
    const [start, i] = [at - (at % n), at % n];
    let sum = 0;
    for (let j = 0; j < n; j++)
      sum += row[start + j]! * ((i & j).toString(2).replaceAll("0", "").length % 2 === 0 ? 1 : -1);
    return sum / Math.sqrt(n);
  });
}

/** Attention of one query row [heads * headSize] at `position` over keys and values [position + 1][kvHeads * headSize]. */
export function attendRow(
  q: ArrayLike<number>,
  keys: readonly ArrayLike<number>[],
  values: readonly ArrayLike<number>[],
  position: number,
  kvHeads: number,
  headSize: number,
  options: AttentionOptions,
): number[] {
  const { heads, scale, softcap, temperatureLength } = options;
  const out: number[] = [];
  for (let head = 0; head < heads; head++) {
    const at = Math.floor((head * kvHeads) / heads) * headSize;
    const scores = keys.slice(0, position + 1).map((key) => {
      let s = 0;
      for (let i = 0; i < headSize; i++) s += q[head * headSize + i]! * key[at + i]!;
      s *= scale;
      if (softcap) s = softcap * Math.tanh(s / softcap);
      if (temperatureLength && position > temperatureLength) s *= Math.log(position) / Math.log(temperatureLength);
      return s;
    });
    const p = softmax(scores);
    for (let i = 0; i < headSize; i++) out.push(p.reduce((sum, weight, t) => sum + weight * values[t]![at + i]!, 0));
  }
  return out;
}

/** Rows of one sequence without pages. */
export function rowsAt(positions: Int32Array, tokens: Int32Array = new Int32Array(positions.length)): Batch {
  const sequences = [{ start: 0, count: positions.length, pages: new Int32Array(0) }];
  return { tokens, positions, sequences, outputs: new Int32Array(0) };
}

export const rowsOfTokens = (...tokens: number[]): Batch =>
  rowsAt(
    Int32Array.from(tokens, (_, i) => i),
    Int32Array.from(tokens),
  );
