import { GrokError } from "../errors.ts";
import type { Matrix, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import type { Observer } from "../model/observe.ts";
import { logSumExp } from "../sampling/logprobs.ts";
import { checkTokens, checkWhole } from "./request.ts";

export interface LogitsOptions {
  /** Also give every layer's output, and where there are experts their probabilities and choice. Default false. */
  readonly layers?: boolean;
  readonly signal?: AbortSignal;
}

/** Row-major values with their shape. */
export interface NamedArray {
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array;
}

export interface LogitsResult {
  /** [tokens, vocab] */
  readonly logits: NamedArray;
  /** `hidden.N` [tokens, width], `router.N` [tokens, experts], `experts.N` [tokens, used] (int32), when asked for. */
  readonly layers: ReadonlyMap<string, NamedArray>;
}

export interface LogprobsOptions {
  /** Index of the first token whose log-probability is wanted, at least 1 (nothing predicts token 0). Default 1. */
  readonly from?: number;
  readonly signal?: AbortSignal;
}

export interface BenchOptions {
  /** Tokens to prefill. Default 512. */
  readonly prefill?: number;
  /** Tokens to decode one by one after that, teacher-forced over varied tokens. Default 32. */
  readonly decode?: number;
  /** Runs; the first of `repeats + 1` is a warm-up that is not reported. Default 1. */
  readonly repeats?: number;
  readonly signal?: AbortSignal;
}

export interface BenchResult {
  readonly prefillTokens: number;
  readonly decodeTokens: number;
  /** Seconds of each run. */
  readonly prefillSeconds: readonly number[];
  readonly decodeSeconds: readonly number[];
  /** Of the median run; 0 when no tokens were asked for. */
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/** What a job works with: the model for itself, and one sequence. */
export interface JobHost {
  readonly vocab: number;
  readonly contextLength: number;
  readonly batchTokens: number;
  /** The size of prefill chunk that takes about a second. */
  chunk(): number;
  /**
   * Lets messages in, then computes `tokens` at the end of the sequence: logits of the rows `outputs`, [outputs.length,
   * vocab], valid until the next call. `model` stands in for the engine's own over the same cache.
   * @throws GrokError `cancelled`, `capacity`
   */
  forward(tokens: Int32Array, outputs: Int32Array, model?: Model): Promise<Float32Array | Float64Array>;
  /** @throws GrokError `format` when one of the rows of logits [rows, vocab] is no numbers: a weight is damaged. */
  requireNumbers(logits: Float32Array | Float64Array): void;
  /** Forgets the sequence. */
  clear(): void;
}

/** Rows of logits in one pass: 64 MB of them at most, or one. */
const mostLogitBytes = 2 ** 26;

function outputRows(host: JobHost): number {
  return Math.max(1, Math.min(host.chunk(), Math.floor(mostLogitBytes / 4 / host.vocab)));
}

function checkLength(host: JobHost, tokens: ArrayLike<number>): void {
  checkTokens(tokens, host.vocab);
  if (tokens.length <= host.contextLength) return;
  throw new GrokError("capacity", `${tokens.length} tokens do not fit into a context of ${host.contextLength}`, {
    tokens: tokens.length,
    contextLength: host.contextLength,
  });
}

const rowsOf = (start: number, end: number) => Int32Array.from({ length: end - start }, (_, i) => start + i);

/** Logits after every token; with `bindObserved`, every layer's output, router probabilities and chosen experts. */
export async function computeLogits(
  host: JobHost,
  ops: Ops,
  tokens: Int32Array,
  bindObserved: ((see: Observer) => Model) | undefined,
): Promise<LogitsResult> {
  checkLength(host, tokens);
  const collected = bindObserved && collectLayers(ops, tokens.length);
  const model = collected && bindObserved(collected.see);
  const logits = new Float32Array(tokens.length * host.vocab);
  for (let start = 0; start < tokens.length; ) {
    const part = tokens.slice(start, start + outputRows(host));
    const rows = await host.forward(part, rowsOf(0, part.length), model);
    host.requireNumbers(rows);
    logits.set(rows, start * host.vocab);
    await collected?.settle(start);
    start += part.length;
  }
  return {
    logits: { shape: [tokens.length, host.vocab], values: logits },
    layers: collected?.arrays ?? new Map(),
  };
}

const layerNames = new Map([
  ["l_out", "hidden"],
  ["ffn_moe_probs", "router"],
  ["ffn_moe_probs.chosen", "experts"],
]);

/** Gathers what an observed pass shows into arrays over all tokens. */
function collectLayers(ops: Ops, total: number) {
  const arrays = new Map<string, NamedArray>();
  let reads: { name: string; matrix: Matrix; values: Promise<ArrayLike<number>> }[] = [];
  return {
    arrays: arrays as ReadonlyMap<string, NamedArray>,
    see(layer: number, name: string, matrix: Matrix) {
      const kind = layerNames.get(name);
      if (kind === undefined) return;
      const values = ops.read(matrix);
      // What is there already is a view of memory that the next operation may write over: copied at once.
      const lasting = values instanceof Promise ? values : Promise.resolve(values.slice());
      reads.push({ name: `${kind}.${layer}`, matrix, values: lasting });
    },
    /** Stores the rows of the pass that began at token `start`. */
    async settle(start: number) {
      for (const { name, matrix, values } of reads) {
        let array = arrays.get(name);
        if (array === undefined) {
          const size = total * matrix.cols;
          const whole = name.startsWith("experts");
          array = { shape: [total, matrix.cols], values: whole ? new Int32Array(size) : new Float32Array(size) };
          arrays.set(name, array);
        }
        array.values.set(await values, start * matrix.cols);
      }
      reads = [];
    },
  };
}

/** Natural log-probability of each token from `from` on, given those before it. */
export async function computeLogprobs(host: JobHost, tokens: Int32Array, from: number): Promise<Float64Array> {
  checkLength(host, tokens);
  checkWhole("from", from, 1, tokens.length);
  const { vocab } = host;
  const result = new Float64Array(tokens.length - from);
  const last = tokens.length - 1; // nothing follows the last token: its row is not needed
  for (let start = 0; start < last; ) {
    const first = Math.max(start, from - 1);
    const end = Math.min(last, start < from - 1 ? Math.min(from - 1, start + host.chunk()) : start + outputRows(host));
    const rows = first < end ? rowsOf(first - start, end - start) : new Int32Array(0);
    const logits = await host.forward(tokens.slice(start, end), rows);
    host.requireNumbers(logits);
    for (let i = 0; i < rows.length; i++) {
      const row = logits.subarray(i * vocab, (i + 1) * vocab);
      result[first + i + 1 - from] = row[tokens[first + i + 1]!]! - logSumExp(row);
    }
    start = end;
  }
  return result;
}

/**
 * Times prefill in chunks as generation does it, and decode steps after it. The tokens come from a fixed linear
 * congruential sequence (Numerical Recipes' constants), so that routing varies and every run sees the same.
 */
export async function runBench(host: JobHost, options: BenchOptions): Promise<BenchResult> {
  const { prefill = 512, decode = 32, repeats = 1 } = options;
  checkWhole("prefill", prefill, 0, host.contextLength);
  checkWhole("decode", decode, 0, host.contextLength);
  checkWhole("repeats", repeats, 1, 10_000);
  if (prefill + decode > host.contextLength) {
    throw new GrokError("capacity", `${prefill} + ${decode} tokens do not fit into a context of ${host.contextLength}`);
  }
  let state = 1;
  const tokens = Int32Array.from({ length: prefill + decode }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * host.vocab);
  });
  const last = Int32Array.of(0);
  const prefillSeconds: number[] = [];
  const decodeSeconds: number[] = [];
  for (let run = 0; run <= repeats; run++) {
    host.clear();
    const began = performance.now();
    for (let start = 0; start < prefill; ) {
      const part = tokens.slice(start, Math.min(prefill, start + host.chunk()));
      start += part.length;
      await host.forward(part, start === prefill ? Int32Array.of(part.length - 1) : new Int32Array(0));
    }
    const between = performance.now();
    for (let i = prefill; i < prefill + decode; i++) await host.forward(tokens.slice(i, i + 1), last);
    const ended = performance.now();
    if (run === 0) continue;
    prefillSeconds.push((between - began) / 1000);
    decodeSeconds.push((ended - between) / 1000);
  }
  return {
    prefillTokens: prefill,
    decodeTokens: decode,
    prefillSeconds,
    decodeSeconds,
    prefillTokensPerSecond: prefill === 0 ? 0 : prefill / median(prefillSeconds),
    decodeTokensPerSecond: decode === 0 ? 0 : decode / median(decodeSeconds),
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
