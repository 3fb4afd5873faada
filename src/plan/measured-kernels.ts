import { closeSync, fdatasyncSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DataFile, openDataFile } from "../bytes/data-file.ts";
import { ioError } from "../bytes/io-error.ts";
import { GrokError } from "../errors.ts";
import type { KvType, Ops, Weight } from "../kernels/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { encodedBytes, type TensorType, tensorTypes } from "../tensor/types.ts";
import type { ExpertShape, Kernels } from "./estimate.ts";
import type { ModelShape } from "./model-shape.ts";

/** Matrices from this size on take as long as they have bytes (or weights): of a type, one is timed for all. */
const largeBytes = 4 << 20;
const largeColumns = 4096;
const sampleBytes = 16 << 20;
/** Of the file that weights are taken from: beyond it, more changes nothing. */
const mostPoolBytes = 2 ** 29;
/** In experts' products of many tokens: products of numbers that tell of more. */
const mostExpertWork = 2e10;
/** In products of many tokens: rows that tell of more. */
const mostRows = 2048;

export interface MeasuredKernels extends Kernels {
  close(): void;
}

export interface MeasureOptions {
  /** Of the model: what fits into caches is read faster. */
  readonly modelBytes: number;
  /**
   * The model's file, where it is here: in how large pieces the system has it in memory, which hangs on how it was written and read, changes
   * how fast it is read by half.
   */
  readonly file?: DataFile | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Times a backend's operations in the sizes that a model has, each kind once: products with weights that lie, as a model's do, in a
 * file that is mapped, and all else of a layer. Without a file it makes one that is a hole: it takes no disk, and zeros are multiplied
 * as fast as other numbers. Only MXFP4's zeros are scales of 2^-128, which processors multiply slowly: before these the hole is filled.
 *
 * @throws GrokError `io` where no file can be made.
 */
export function measureKernels(ops: Ops, { modelBytes, file: own, signal }: MeasureOptions): MeasuredKernels {
  const folder = own ? undefined : mkdtempSync(join(tmpdir(), "grok1-plan-"));
  const path = folder && join(folder, "weights");
  const file = own ?? makeHole(path!, Math.min(mostPoolBytes, Math.max(sampleBytes, modelBytes)));
  let hole = own === undefined;
  const size = Math.min(mostPoolBytes, file.size);
  const seconds = new Map<string, number | undefined>();
  const once = async (key: string, measure: () => Promise<number>): Promise<number | undefined> => {
    if (signal?.aborted) throw new GrokError("cancelled", "measuring was cancelled", {}, signal.reason);
    if (!seconds.has(key)) seconds.set(key, await unlessUnsupported(measure));
    return seconds.get(key);
  };
  let names = 0;
  /** Place `i` of `count` over the whole file: its parts may lie differently in memory. */
  const spread = (i: number, count: number, bytes: number) => {
    const offset = Math.floor((i * (file.size - bytes)) / Math.max(1, count));
    return { file, offset: offset - (offset % 64), bytes };
  };
  const weightOf = (type: TensorType, shape: readonly number[], places: Tensor["places"], fine: boolean) => {
    if (hole && type === "mxfp4") {
      fill(path!, file.size);
      hole = false;
    }
    return ops.weight({ name: `plan.${names++}`, type, shape, source: file.path, places }, { fine });
  };

  const gainOf = ({ config: { width } }: ModelShape) => weightOf("f32", [width], [spread(0, 1, 4 * width)], false);
  /** Products of one row, a fifth of a layer's weights at a time, each time others. */
  const streamer = ({ bytes, config: { width, layers } }: ModelShape) => {
    const rows = Math.min(2048, Math.max(8, Math.round(bytes / layers / 5 / (2 * width))));
    const part = encodedBytes("f16", rows * width);
    const count = Math.max(1, Math.min(64, Math.floor(size / part)));
    const weights = Array.from({ length: count }, (_, i) =>
      weightOf("f16", [rows, width], [spread(i, count, part)], false),
    );
    let turn = 0;
    return () => {
      const x = ops.matrix("plan.s", 1, width);
      ops.matmul("plan.t", x, weights[turn++ % count]!);
    };
  };

  /** One product of many that follow one another, each with weights of its own. */
  const timeProduct = async (type: TensorType, most: number, columns: number, tokens: number, fine: boolean) => {
    // A small file may have less than one whole matrix.
    const rows = Math.min(most, Math.floor(size / encodedBytes(type, columns)));
    const bytes = encodedBytes(type, rows * columns);
    const count = Math.max(1, Math.min(tokens === 1 ? 2048 : 2, Math.floor(size / bytes)));
    const weights = Array.from({ length: count }, (_, i) => {
      return weightOf(type, [rows, columns], [spread(i, count, bytes)], fine);
    });
    ops.begin(batchOf(tokens, 0));
    const x = ops.matrix("plan.x", tokens, columns);
    ops.write(x, activations(tokens * columns));
    const all = await median(() => {
      for (const weight of weights) ops.matmul("plan.y", x, weight);
    });
    return ((all / count) * most) / rows;
  };

  /** Experts as the engine computes them: chosen by a router, all their matrices in one operation. */
  const timeExperts = async (shape: ExpertShape, tokens: number): Promise<number> => {
    const { types, width, hidden, experts, used } = shape;
    const least = Math.max(...types.map((type) => tensorTypes[type].blockSize));
    const largest = Math.max(...types.map((type) => encodedBytes(type, least * width) / least));
    const few = Math.min(hidden, Math.max(least, Math.floor(size / 3 / experts / largest / least) * least));
    const stack = (type: TensorType, part: number, rows: number, columns: number) => {
      const bytes = encodedBytes(type, rows * columns);
      const places = Array.from({ length: experts }, (_, i) => spread(3 * i + part, 3 * experts, bytes));
      return weightOf(type, [experts, rows, columns], places, false);
    };
    const stacks = {
      ...{ gate: stack(types[0], 0, few, width), up: stack(types[1], 1, few, width) },
      down: stack(types[2], 2, width, few),
    };
    ops.begin(batchOf(tokens, 0));
    const x = ops.matrix("plan.x", tokens, width);
    ops.write(x, activations(tokens * width));
    const logits = ops.matrix("plan.l", tokens, experts);
    let turn = 0;
    const run = async () => {
      // Each token its own choice, one run after another all of them.
      const chosen = (token: number, expert: number) =>
        (expert + experts * 2 - (((token + turn) * used) % experts)) % experts;
      const values = Float32Array.from({ length: tokens * experts }, (_, i) => {
        return -chosen(Math.floor(i / experts), i % experts);
      });
      turn++;
      ops.write(logits, values);
      await ops.experts("plan.e", x, ops.route("plan.r", logits, { used, renormalize: false }), stacks, "gelu");
    };
    // Pages are mapped as they are first read.
    for (let i = 0; i < experts / used; i++) await run();
    const one = await median(run);
    return (one * hidden) / few;
  };

  const product: Kernels["product"] = async (type, rows, columns, tokens, fine) => {
    const bytes = encodedBytes(type, rows * columns);
    if (tokens === 1) {
      if (bytes < largeBytes)
        return once([type, rows, columns, fine].join(), () => timeProduct(type, rows, columns, 1, fine));
      const sampleColumns = Math.min(columns, largeColumns);
      const sample = Math.floor(sampleBytes / encodedBytes(type, sampleColumns));
      const one = await once([type, sampleColumns, fine].join(), () =>
        timeProduct(type, sample, sampleColumns, 1, fine),
      );
      return one && (one * bytes) / encodedBytes(type, sample * sampleColumns);
    }
    const [fewRows, fewColumns] = [Math.min(rows, mostRows), Math.min(columns, largeColumns)];
    const one = await once([type, fewRows, fewColumns, tokens, fine].join(), () =>
      timeProduct(type, fewRows, fewColumns, tokens, fine),
    );
    return one && (one * rows * columns) / (fewRows * fewColumns);
  };

  /** Large ones of many tokens: their products one by one are the same, and take less time to measure. */
  const sumExperts = async ({ types, width, hidden, experts, used }: ExpertShape, tokens: number) => {
    const each = Math.max(1, Math.round((tokens * used) / experts));
    const parts = [
      await product(types[0], hidden, width, each, false),
      await product(types[1], hidden, width, each, false),
      await product(types[2], width, hidden, each, false),
    ];
    return parts.includes(undefined) ? undefined : experts * parts.reduce<number>((sum, part) => sum + part!, 0);
  };

  return {
    experts(shape, tokens) {
      const work = 3 * shape.hidden * shape.width * shape.used * tokens;
      if (tokens > 1 && work > mostExpertWork) return sumExperts(shape, tokens);
      return once(`experts ${JSON.stringify(shape)} ${tokens}`, () => timeExperts(shape, tokens));
    },
    product,
    async rest(shape, tokens, context, kvType) {
      // Attention grows with the context in a straight line: two points tell a far one.
      const far = 4096;
      const measure = async (at: number) =>
        (await once(`rest ${tokens} ${at}`, () =>
          timeRest(ops, gainOf(shape), tokens === 1 ? streamer(shape) : () => {}, shape, tokens, at, kvType),
        )) ?? 0;
      if (context <= far) return measure(context);
      const [near, there] = [await measure(far / 4), await measure(far)];
      return there + ((there - near) * (context - far)) / (far - far / 4);
    },
    close() {
      ops.close();
      if (folder === undefined) return;
      file.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function makeHole(path: string, size: number) {
  write(path, "w", (fd) => ftruncateSync(fd, size));
  return openDataFile(path);
}

/** With bytes that are ordinary numbers in every type. */
function fill(path: string, size: number): void {
  const bytes = Buffer.alloc(4 << 20, 0x3c);
  write(path, "r+", (fd) => {
    for (let at = 0; at < size; ) at += writeSync(fd, bytes, 0, Math.min(bytes.length, size - at), at);
    fdatasyncSync(fd); // or the system would write while products are timed
  });
}

function write(path: string, flags: string, change: (fd: number) => void): void {
  try {
    const fd = openSync(path, flags);
    try {
      change(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw ioError("write", path, error);
  }
}

async function unlessUnsupported(measure: () => Promise<number>): Promise<number | undefined> {
  try {
    return await measure();
  } catch (error) {
    if (error instanceof GrokError && error.code === "unsupported") return undefined;
    throw error;
  }
}

/** One layer without its products. `between` its parts others run: what they leave in caches is not this one's. */
async function timeRest(
  ops: Ops,
  gain: Weight,
  between: () => void,
  { config, norms, matrices }: ModelShape,
  tokens: number,
  context: number,
  kvType: KvType,
): Promise<number> {
  const { width, heads, kvHeads, headSize } = config;
  const hidden = matrices.find(({ name }) => /\.ffn_up\.weight$/.test(name))?.rows ?? 0;
  const pageTokens = 64;
  const pages = Math.ceil((context + tokens) / pageTokens);
  const cache = ops.kvCache({ layers: 1, kvHeads, headSize, pages, pageTokens, type: kvType });
  ops.begin(batchOf(tokens, context, pages));
  const filled = (name: string, columns: number, rows = tokens) => {
    const matrix = ops.matrix(name, rows, columns);
    ops.write(matrix, activations(rows * columns));
    return matrix;
  };
  const x = filled("plan.h", width);
  const q = filled("plan.q", heads * headSize);
  const [k, v] = [filled("plan.k", kvHeads * headSize), filled("plan.v", kvHeads * headSize)];
  const [gate, up] = hidden > 0 ? [filled("plan.gate", hidden), filled("plan.up", hidden)] : [];
  const frequencies = Float64Array.from({ length: headSize >> 1 }, (_, i) => 10_000 ** ((-2 * i) / headSize));
  const rope = { headSize, pairing: "half", frequencies, magnitude: 1 } as const;
  const parts: (() => void)[] = [
    () => void ops.rmsNorm("plan.norm", x, gain, 1e-5),
    () => {
      const turned = ops.rope("plan.kr", k, rope);
      const asked = ops.rope("plan.qr", q, rope);
      ops.store(cache, 0, turned, v);
      ops.attention("plan.a", asked, cache, 0, { heads, scale: headSize ** -0.5, softcap: 30 });
    },
    () => {
      for (let i = 2; i < norms; i++) ops.rmsNorm("plan.norm", x, gain, 1e-5);
      ops.add("plan.sum", x, x);
      ops.rmsNorm("plan.norm", x, gain, 1e-5);
    },
    () => gate && up && void ops.gated("plan.act", "silu", gate, up),
    () => void ops.add("plan.sum2", x, x),
  ];
  const seconds = await middle(() => {
    let sum = 0;
    for (const part of parts) {
      between();
      const start = performance.now();
      part();
      sum += performance.now() - start;
    }
    return sum;
  });
  ops.freeKvCache(cache);
  return seconds;
}

function batchOf(tokens: number, context: number, pages = 1) {
  return {
    tokens: new Int32Array(tokens),
    positions: Int32Array.from({ length: tokens }, (_, i) => context + i),
    sequences: [{ start: 0, count: tokens, pages: Int32Array.from({ length: pages }, (_, i) => i) }],
    outputs: Int32Array.of(tokens - 1),
  };
}

function activations(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => ((i * 37) % 101) / 50 - 1);
}

/** Seconds of the middle one of at least three runs, after one to warm up. */
function median(run: () => void | Promise<void>): Promise<number> {
  return middle(async () => {
    const start = performance.now();
    await run();
    return performance.now() - start;
  });
}

/**
 * The same of runs that tell their milliseconds themselves. Of many short ones the mean: what now and then takes longer is part of a
 * pass; the slowest twentieth is somebody else's doing.
 */
async function middle(run: () => number | Promise<number>): Promise<number> {
  await run();
  const began = performance.now();
  const found: number[] = [];
  while (found.length < 3 || (performance.now() - began < 60 && found.length < 400)) found.push((await run()) / 1000);
  found.sort((a, b) => a - b);
  if (found.length < 40) return found[found.length >> 1]!;
  const kept = found.slice(0, Math.floor(0.95 * found.length));
  return kept.reduce((sum, seconds) => sum + seconds, 0) / kept.length;
}
