import { loadAddon } from "../addon.ts";
import { byMatrix } from "../convert/convert.ts";
import type { ModelSource, SourceTensor } from "../convert/source.ts";
import { GrokError } from "../errors.ts";
import { createNative } from "../kernels/native/native.ts";
import type { Matrix, Ops } from "../kernels/ops.ts";
import type { ModelFile } from "../model/model.ts";
import { bindModel } from "../model/registry.ts";
import { stackExperts } from "../model/weights.ts";
import { decodeRow, encodeRow } from "../tensor/decode.ts";
import { createRowEncoder, type RowEncoder } from "../tensor/row-encoder.ts";
import { elementCount, type Tensor } from "../tensor/tensor.ts";
import { type TensorType, tensorTypes } from "../tensor/types.ts";
import { type CalibratedRounding, type Calibration, runLayers, wholeBatch, writeStates } from "./calibration.ts";

/** What rounding one tensor costs. */
export interface TensorSensitivity {
  readonly tensor: string;
  /** The types that it was measured in: of about two bits, and of about four. */
  readonly probes: readonly Probe[];
  /** What each type loses of the tensor's products, all in one unit: divergence grows in proportion. */
  readonly losses: Readonly<Partial<Record<TensorType, number>>>;
}

export interface Probe {
  readonly type: TensorType;
  /** Mean KL divergence of a token, source to source with this tensor alone rounded, in nats. */
  readonly divergence: number;
}

export interface SensitivityOptions {
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What an earlier run found: these tensors are not measured again. */
  readonly known?: readonly TensorSensitivity[] | undefined;
  /** Awaited. */
  readonly onTensor?: ((found: TensorSensitivity, done: number, of: number) => Promise<void>) | undefined;
}

/** Types that a tensor's rows can be in, smallest first. */
export function candidateTypes(tensor: Pick<SourceTensor, "name" | "shape">): readonly TensorType[] {
  if (tensor.shape.length < 2 || tensor.name.endsWith("ffn_gate_inp.weight")) return [];
  return tensor.shape.at(-1)! % 256 === 0 ? superblocks : tensor.shape.at(-1)! % 32 === 0 ? blocks : [];
}

const superblocks: readonly TensorType[] = [
  ...(["iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "q2_k", "iq3_xxs", "q3_k", "iq3_s"] as const),
  ...(["iq4_xs", "q4_k", "q5_k", "q6_k", "q8_0"] as const),
];
const blocks: readonly TensorType[] = ["q4_0", "iq4_nl", "q4_1", "q5_0", "q5_1", "q8_0"];

/** All of them. */
export const fitTypes: readonly TensorType[] = [...new Set([...superblocks, ...blocks])];

/**
 * The divergence that a type is expected to cost. Of small errors it is in proportion to the squared error of products, in a dense model;
 * in a mixture to the error itself: what is left of it there are tokens whose experts change, and an error that is half as large moves half as many
 * over the edge. Large ones cost less than that, so between the two types that were measured it is taken as a power of it.
 */
export function expectedDivergence({ probes, losses }: TensorSensitivity, type: TensorType, isMixture = false): number {
  const points = probes.map((probe) => ({ loss: losses[probe.type]!, divergence: probe.divergence }));
  const fine = points.reduce((a, b) => (b.loss < a.loss ? b : a));
  const coarse = points.reduce((a, b) => (b.loss > a.loss ? b : a));
  const loss = losses[type]!;
  if (!(fine.loss > 0)) return loss > 0 ? coarse.divergence * (loss / coarse.loss) : 0;
  if (loss <= fine.loss) return fine.divergence * (loss / fine.loss) ** (isMixture ? 0.5 : 1);
  if (!(coarse.divergence > fine.divergence)) return fine.divergence * (loss / fine.loss);
  if (loss >= coarse.loss) return coarse.divergence * (loss / coarse.loss);
  const power = Math.log(coarse.divergence / Math.max(fine.divergence, 1e-12)) / Math.log(coarse.loss / fine.loss);
  return fine.divergence * (loss / fine.loss) ** Math.min(1, power);
}

/**
 * Of a mixture, what one tensor was measured to cost says little: a few tokens whose experts change make up most of it. So it is moved half of
 * the way, as a factor, to what tensors of its kind cost in all layers.
 */
export function steadySensitivities(found: readonly TensorSensitivity[]): TensorSensitivity[] {
  const kindOf = (tensor: string, type: TensorType) => `${tensor.replace(/^blk\.\d+\./, "")} ${type}`;
  const logarithms = new Map<string, number[]>();
  for (const { tensor, probes } of found) {
    for (const { type, divergence } of probes) {
      const own = logarithms.get(kindOf(tensor, type)) ?? [];
      own.push(Math.log(Math.max(divergence, 1e-12)));
      logarithms.set(kindOf(tensor, type), own);
    }
  }
  return found.map(({ tensor, probes, losses }) => ({
    ...{ tensor, losses },
    probes: probes.map(({ type, divergence }) => {
      const all = logarithms.get(kindOf(tensor, type))!;
      const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
      return { type, divergence: Math.sqrt(Math.max(divergence, 1e-12) * Math.exp(mean)) };
    }),
  }));
}

/** Elements of a matrix, or of an expert's, that other types than the probe are tried on. */
const sampleElements = 2 ** 18;

/**
 * Measures each matrix of a model: it alone is rounded, as `Calibration.rounding` rounds it, and the model from its layer on is run over
 * stretches of the calibration's text. A model's pass over 1,152 tokens for each matrix, and what rounding takes.
 */
export async function measureSensitivity(
  calibration: Calibration,
  source: ModelSource,
  { threads, signal, known = [], onTensor }: SensitivityOptions = {},
): Promise<TensorSensitivity[]> {
  const plain = createRowEncoder(threads === undefined ? {} : { threads });
  const wanted = source.tensors.filter((tensor) => candidateTypes(tensor).length > 0);
  const knows = ({ losses }: TensorSensitivity, tensor: SourceTensor) =>
    candidateTypes(tensor).every((type) => losses[type] !== undefined);
  const found: TensorSensitivity[] = [];
  let prober: Prober | undefined;
  try {
    for (const tensor of wanted) {
      if (signal?.aborted) throw new GrokError("cancelled", "measuring was cancelled", {}, signal.reason);
      const earlier = known.find((each) => each.tensor === tensor.name && knows(each, tensor));
      if (earlier === undefined) prober ??= await openProber(calibration, threads);
      const own = earlier ?? (await measureTensor(calibration, prober!, tensor, plain));
      found.push(own);
      if (earlier === undefined) await onTensor?.(own, found.length, wanted.length);
    }
    return found;
  } finally {
    prober?.close();
    plain.close();
  }
}

async function measureTensor(
  calibration: Calibration,
  prober: Prober,
  tensor: SourceTensor,
  plain: RowEncoder,
): Promise<TensorSensitivity> {
  const { name, shape } = tensor;
  const columns = shape.at(-1)!;
  const types = candidateTypes(tensor);
  // In the middle of what is asked for: errors that are too small to be measured, and those too large to be small, say less.
  const bits = (type: TensorType) => (8 * tensorTypes[type].blockBytes) / tensorTypes[type].blockSize;
  const nearest = (wanted: number) =>
    types.reduce((a, b) => (Math.abs(bits(b) - wanted) < Math.abs(bits(a) - wanted) ? b : a));
  const probed = [...new Set([nearest(2), nearest(4)])];
  const roundings = new Map<TensorType, CalibratedRounding | undefined>();
  for (const type of types) roundings.set(type, await calibration.roundingOf(name, type));
  const losses: Partial<Record<TensorType, number>> = {};
  const halves = new Map(probed.map((type) => [type, new Uint8Array(2 * elementCount(shape))]));
  const sampled = new Map<number, number>();
  let before = 0;
  for await (const rows of tensor.rows(plain)) {
    for (const { from: at, end, matrix } of byMatrix(tensor, before, before + rows.length)) {
      const all = rows.subarray(at - before, end - before);
      const seen = sampled.get(matrix) ?? 0;
      const share = Math.ceil(Math.max(0, Math.min(all.length, sampleElements - seen)) / columns) * columns;
      sampled.set(matrix, seen + share);
      for (const type of types) {
        const round = (values: Float32Array) =>
          roundings.get(type)?.measured(matrix, values) ?? {
            bytes: roundings.get(type)?.encode(matrix, values) ?? plain.encode(type, values, columns),
            loss: undefined,
          };
        const to = halves.get(type);
        if (share === 0 && to === undefined) continue;
        const sample = all.subarray(0, share);
        const { bytes, loss } = round(sample);
        losses[type] = (losses[type] ?? 0) + (loss ?? squaredError(type, bytes, sample));
        if (to === undefined) continue;
        const back = new Float32Array(all.length);
        decodeRow(type, share === all.length ? bytes : round(all).bytes, back);
        to.set(encodeRow("f16", back), 2 * at);
      }
    }
    before += rows.length;
  }
  const probes: Probe[] = [];
  for (const [type, values] of halves)
    probes.push({ type, divergence: await prober.divergenceWith(name, shape, values) });
  return { tensor: name, probes, losses };
}

function squaredError(type: TensorType, bytes: Uint8Array, values: Float32Array): number {
  const back = new Float32Array(values.length);
  decodeRow(type, bytes, back);
  return values.reduce((sum, value, i) => sum + (value - back[i]!) ** 2, 0);
}

interface Prober {
  /** With a tensor of these float16 values in place of the model's own. */
  divergenceWith(name: string, shape: readonly number[], halves: Uint8Array): Promise<number>;
  close(): void;
}

/**
 * Beginnings of so many chunks, tokens of each, and those of them that only lead up to what is scored; less where there is less text. Of
 * a mixture a few tokens whose experts change make up most of the divergence: fewer than some hundred say little.
 */
const stretches = 6;
const stretchTokens = 192;
const leadShare = 1 / 3;

/** Keeps the source's hidden states before every layer, and what it predicts. */
async function openProber(calibration: Calibration, threads: number | undefined): Promise<Prober> {
  const { file, tokens } = calibration;
  const limit = threads === undefined ? {} : { threads };
  const { addon } = loadAddon();
  const ops = createNative(addon!, limit);
  const model = bindModel(ops, file);
  const { layers, vocab } = model.config;
  const step = Math.max(1, Math.floor(tokens.length / stretches));
  const chosen = tokens.filter((_, i) => i % step === 0).slice(0, stretches);
  const stretch = Math.min(stretchTokens, chosen[0]!.length);
  const parts = chosen.map((chunk) => chunk.subarray(0, stretch));
  const batch = wholeBatch(parts, Math.floor(stretch * leadShare));
  const pages = { pages: parts.length * Math.ceil(stretch / 64), pageTokens: 64, type: "f32" } as const;
  const cache = model.kvCache(pages);
  const states: Float32Array[] = [(ops.read(model.embed(batch)) as Float32Array).slice()];
  for (let i = 0; i < layers; i++) states.push(await runLayers(ops, model, states[i]!, batch, cache, i, i + 1));
  // A rounded stack takes the place of a stack, also where the file has each expert by itself.
  const stacked = new Map<string, Tensor>(stackExperts(file).map((tensor) => [tensor.name, tensor]));
  const source = predictions(await logitsOf(ops, model.head(writeStates(ops, model, states[layers]!), batch)), vocab);

  /** From hidden states before a layer to what is predicted. */
  const finish = async (h: Float32Array, from: number) => {
    const end = from < layers ? await runLayers(ops, model, h, batch, cache, from, layers) : h;
    return logitsOf(ops, model.head(writeStates(ops, model, end), batch));
  };
  return {
    async divergenceWith(name, shape, halves) {
      const rounded: Tensor = { name, type: "f16", shape, source: "memory", places: [{ memory: halves }] };
      const other: ModelFile = {
        ...{ path: file.path, metadata: file.metadata, opaque: file.opaque },
        tensors: new Map(stacked).set(name, rounded),
      };
      const layer = Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? Number.NaN);
      const apart = createNative(addon!, limit);
      try {
        const embeds = name === "token_embd.weight";
        const heads = name === "output.weight" || (embeds && !file.tensors.has("output.weight"));
        const range = Number.isNaN(layer) ? { from: 0, to: 0 } : { from: layer, to: layer + 1 };
        const part = bindModel(apart, other, { layers: range, embed: embeds, head: heads });
        let h = states[Number.isNaN(layer) ? layers : layer]!;
        if (embeds) h = (apart.read(part.embed(batch)) as Float32Array).slice();
        else if (!Number.isNaN(layer)) {
          h = await runLayers(apart, part, h, batch, part.kvCache(pages), layer, layer + 1);
        }
        const next = embeds ? 0 : Number.isNaN(layer) ? layers : layer + 1;
        if (heads) {
          const end = next < layers ? await runLayers(ops, model, h, batch, cache, next, layers) : h;
          return divergence(source, await logitsOf(apart, part.head(writeStates(apart, part, end), batch)), vocab);
        }
        return divergence(source, await finish(h, next), vocab);
      } finally {
        apart.close();
      }
    },
    close: ops.close,
  };
}

async function logitsOf(ops: Ops, matrix: Matrix): Promise<Float32Array> {
  return ((await ops.read(matrix)) as Float32Array).slice();
}

/** Of each row: probabilities, and Σ p log p. */
interface Predictions {
  readonly probabilities: Float32Array;
  readonly entropies: Float64Array;
}

function predictions(logits: Float32Array, vocab: number): Predictions {
  const probabilities = new Float32Array(logits.length);
  const entropies = new Float64Array(logits.length / vocab);
  for (const row of entropies.keys()) {
    const own = logits.subarray(row * vocab, (row + 1) * vocab);
    const total = logSumExp(own);
    for (let i = 0; i < vocab; i++) {
      const p = Math.exp(own[i]! - total);
      probabilities[row * vocab + i] = p;
      entropies[row]! += p * (own[i]! - total);
    }
  }
  return { probabilities, entropies };
}

/** Mean over rows of Σ p (log p - log q). */
function divergence({ probabilities, entropies }: Predictions, logits: Float32Array, vocab: number): number {
  let sum = 0;
  for (const [row, entropy] of entropies.entries()) {
    const own = logits.subarray(row * vocab, (row + 1) * vocab);
    let expected = 0;
    for (let i = 0; i < vocab; i++) expected += probabilities[row * vocab + i]! * own[i]!;
    sum += entropy - expected + logSumExp(own);
  }
  return Math.max(0, sum / entropies.length);
}

function logSumExp(row: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const value of row) most = Math.max(most, value);
  let sum = 0;
  for (const value of row) sum += Math.exp(value - most);
  return most + Math.log(sum);
}
