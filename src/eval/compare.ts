import { GrokError } from "../errors.ts";
import type { Ops } from "../kernels/ops.ts";
import { shareBudget } from "../memory/budget.ts";
import { observe } from "../model/observe.ts";
import { checkNames } from "../options.ts";
import { cutChunks, defaultChunkTokens, firstScored } from "./chunks.ts";
import {
  type ChunkReader,
  neededBytes,
  openChunkReader,
  openReaderBackend,
  type ReaderBackendOptions,
} from "./reader.ts";

export interface CompareOptions extends ReaderBackendOptions {
  /** Tokens a chunk. Default 512. */
  readonly context?: number | undefined;
  /** Most chunks to read. Default: all that the text fills. */
  readonly chunks?: number | undefined;
  /** Chunks at the text's beginning that are left out. */
  readonly skip?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told after each chunk. */
  readonly onChunk?: ((soFar: { done: number; chunks: number; divergence: number }) => void) | undefined;
}

/**
 * How far model B is from model A, over tokens that have at least half a chunk before them, with the figures of llama.cpp's
 * `perplexity --kl-divergence`, whose base A is.
 */
export interface Comparison {
  readonly perplexity: { readonly a: number; readonly b: number; readonly ratio: number };
  /** Kullback-Leibler divergence KL(A ‖ B) of next-token distributions, in nats. */
  readonly divergence: {
    readonly mean: number;
    /** Standard error of the mean, tokens taken as independent. */
    readonly error: number;
    readonly median: number;
    readonly q90: number;
    readonly q99: number;
    readonly q999: number;
    readonly max: number;
  };
  /** Share of tokens where both find the same one likeliest. */
  readonly sameTop: number;
  /** Of the probability of the token that the text has: B's less A's. */
  readonly probability: { readonly rms: number; readonly mean: number };
  /** ‖h_B − h_A‖ / ‖h_A‖ of each layer's output, over a sample of rows. Empty where the models have other layers. */
  readonly layers: readonly number[];
  /** Of mixtures: by layer, the share of tokens for which both choose the same set of experts. */
  readonly routers: readonly number[];
  readonly scored: number;
  readonly chunks: number;
  readonly context: number;
}

/** Rows of a chunk whose hidden states are compared: enough for a mean, and small beside the logits. */
const sampledRows = 64;

/**
 * Compares two models on a text: both read the same tokens, chunk after chunk.
 * @throws GrokError `argument` for a text that fills no chunk and for models of other vocabularies, `capacity`, `cancelled`; what opening
 * them throws.
 */
export async function compareModels(
  a: string,
  b: string,
  text: string,
  options: CompareOptions = {},
): Promise<Comparison> {
  checkNames("compareModels", options, optionNames);
  const { context = defaultChunkTokens, chunks: most, skip = 0, backend, threads, memory, signal, onChunk } = options;
  const shares = memory === undefined ? [] : shareBudget([a, b].map(neededBytes), memory);
  const opened: { close(): void }[] = [];
  const openSide = async (path: string, memory: number | undefined) => {
    const backendOf = await openReaderBackend(path, context, { backend, threads, memory });
    const { ops } = backendOf;
    opened.unshift(ops);
    const seen = createSight(ops);
    const reader = openChunkReader(seen.ops, path, context, backendOf);
    opened.unshift(reader);
    return { reader, seen };
  };
  try {
    const [one, other] = [await openSide(a, shares[0]), await openSide(b, shares[1])];
    const sides = [one, other];
    const [all, others] = [one.reader.encode(text), other.reader.encode(text)];
    checkSame(one.reader, other.reader, all, others);
    const tokens = all.subarray(skip * context);
    const cut = { context, least: 1, what: "compare", ...(most !== undefined && { most }) };
    const chunks = cutChunks(tokens, one.reader.tokenizer, cut);
    const first = firstScored(context);
    // The row before a token predicts it.
    const rows = Int32Array.from({ length: context - first }, (_, i) => first - 1 + i);
    const tally = createTally();
    for (const [index, chunk] of chunks.entries()) {
      const logits: (Float32Array | Float64Array)[] = [];
      for (const { reader, seen } of sides) {
        seen.begin();
        await reader.read(chunk, rows, signal);
        logits.push(await reader.logits());
      }
      tally.addRows(logits[0]!, logits[1]!, chunk.subarray(first));
      tally.addLayers(one.seen, other.seen);
      onChunk?.({ done: index + 1, chunks: chunks.length, divergence: tally.result().divergence.mean });
    }
    return { ...tally.result(), chunks: chunks.length, context };
  } finally {
    for (const each of opened) each.close();
  }
}

const optionNames = Object.keys({
  ...{
    context: true,
    chunks: true,
    skip: true,
    backend: true,
    threads: true,
    memory: true,
    signal: true,
    onChunk: true,
  },
} satisfies Record<keyof CompareOptions, true>);

function checkSame(a: ChunkReader, b: ChunkReader, tokens: Int32Array, others: Int32Array): void {
  const same = a.config.vocab === b.config.vocab && tokens.length === others.length;
  if (same && tokens.every((token, i) => token === others[i])) return;
  throw new GrokError("argument", `${b.path}: has other tokens than ${a.path}: their predictions cannot be compared`, {
    ...{ a: a.path, b: b.path, vocab: [a.config.vocab, b.config.vocab] },
  });
}

/** What was seen of a pass: hidden states of sampled rows by layer, chosen experts of all rows by layer. */
interface Sight {
  readonly ops: Ops;
  readonly hidden: Map<number, Float64Array>;
  readonly chosen: Map<number, { readonly used: number; readonly values: Float64Array }>;
  begin(): void;
}

function createSight(ops: Ops): Sight {
  const hidden: Sight["hidden"] = new Map();
  const chosen: Sight["chosen"] = new Map();
  const observed = observe(ops, (layer, name, matrix) => {
    if (name === "ffn_moe_probs.chosen") {
      chosen.set(layer, { used: matrix.cols, values: Float64Array.from(valuesOf(ops, matrix)) });
    }
    if (name !== "l_out") return;
    const values = valuesOf(ops, matrix);
    const count = Math.min(sampledRows, matrix.rows);
    const sample = new Float64Array(count * matrix.cols);
    for (let i = 0; i < count; i++) {
      const row = Math.floor(((i + 0.5) * matrix.rows) / count);
      sample.set(values.subarray(row * matrix.cols, (row + 1) * matrix.cols), i * matrix.cols);
    }
    hidden.set(layer, sample);
  });
  const begin = () => {
    hidden.clear();
    chosen.clear();
  };
  return { ops: observed, hidden, chosen, begin };
}

function valuesOf(ops: Ops, matrix: Parameters<Ops["read"]>[0]): Float32Array | Float64Array {
  const values = ops.read(matrix);
  if (values instanceof Promise) throw new GrokError("unsupported", `${ops.backend}: a backend that waits`, {});
  return values;
}

/** Adds up what two models make of the same tokens. */
export function createTally() {
  const divergences: number[] = [];
  const [layers, routers] = [new Map<number, { off: number; all: number }>(), new Map<number, [number, number]>()];
  let [lossA, lossB, same, difference, squares] = [0, 0, 0, 0, 0];
  return {
    /** Of `tokens.length` rows each: logits that predict `tokens`. */
    addRows(a: Float32Array | Float64Array, b: Float32Array | Float64Array, tokens: Int32Array): void {
      const vocab = a.length / tokens.length;
      for (const [row, token] of tokens.entries()) {
        const [x, y] = [a.subarray(row * vocab, (row + 1) * vocab), b.subarray(row * vocab, (row + 1) * vocab)];
        const [p, q] = [logSum(x), logSum(y)];
        let divergence = 0;
        for (let i = 0; i < vocab; i++) {
          const logP = x[i]! - p.log;
          divergence += Math.exp(logP) * (logP - (y[i]! - q.log));
        }
        divergences.push(divergence);
        const [own, others] = [x[token]! - p.log, y[token]! - q.log];
        lossA -= own;
        lossB -= others;
        if (p.top === q.top) same++;
        const moved = Math.exp(others) - Math.exp(own);
        difference += moved;
        squares += moved * moved;
      }
    },
    addLayers(a: Sight, b: Sight): void {
      for (const [layer, x] of a.hidden) {
        const y = b.hidden.get(layer);
        if (y?.length !== x.length) continue;
        const sum = layers.get(layer) ?? { off: 0, all: 0 };
        layers.set(layer, sum);
        for (let i = 0; i < x.length; i++) {
          sum.off += (y[i]! - x[i]!) ** 2;
          sum.all += x[i]! ** 2;
        }
      }
      for (const [layer, { used, values: x }] of a.chosen) {
        const y = b.chosen.get(layer);
        if (y?.used !== used || y.values.length !== x.length) continue;
        const count = routers.get(layer) ?? [0, 0];
        routers.set(layer, count);
        for (let row = 0; row < x.length; row += used) {
          const set = new Set(x.subarray(row, row + used));
          count[0] += y.values.subarray(row, row + used).every((expert) => set.has(expert)) ? 1 : 0;
          count[1]++;
        }
      }
    },
    result(): Omit<Comparison, "chunks" | "context"> {
      const scored = divergences.length;
      const sorted = Float64Array.from(divergences).sort();
      const mean = sorted.reduce((sum, value) => sum + value, 0) / scored;
      const variance = sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, scored - 1);
      const byLayer = <T>(map: ReadonlyMap<number, T>) => [...map].sort(([x], [y]) => x - y).map(([, value]) => value);
      return {
        perplexity: {
          a: Math.exp(lossA / scored),
          b: Math.exp(lossB / scored),
          ratio: Math.exp((lossB - lossA) / scored),
        },
        divergence: {
          ...{ mean, error: Math.sqrt(variance / scored), median: quantile(sorted, 0.5), q90: quantile(sorted, 0.9) },
          ...{ q99: quantile(sorted, 0.99), q999: quantile(sorted, 0.999), max: sorted.at(-1)! },
        },
        sameTop: same / scored,
        probability: { rms: Math.sqrt(squares / scored), mean: difference / scored },
        layers: byLayer(layers).map(({ off, all }) => Math.sqrt(off / all)),
        routers: byLayer(routers).map(([equal, all]) => equal / all),
        scored,
      };
    },
  };
}

/** log Σ exp(x), and where the first of the largest stands. */
function logSum(x: Float32Array | Float64Array): { readonly log: number; readonly top: number } {
  let top = 0;
  for (let i = 1; i < x.length; i++) if (x[i]! > x[top]!) top = i;
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.exp(x[i]! - x[top]!);
  return { log: x[top]! + Math.log(sum), top };
}

/** Between two of the sorted values in proportion, as llama.cpp has it. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low]! + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)]! - sorted[low]!);
}
