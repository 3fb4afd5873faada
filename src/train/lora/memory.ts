import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { GrokError } from "../../errors.ts";
import type { Batch, Ops } from "../../kernels/ops.ts";
import type { ModelFile } from "../../model/model.ts";
import { type AdapterShape, adaptModel } from "./adapted-model.ts";
import { createDryOps } from "./dry-ops.ts";

/** How a fine-tuning fits its memory. */
export interface MemoryPlan {
  /** Whether a layer's activations are computed a second time on the way back, in place of being kept. */
  readonly recompute: boolean;
  /** Rows of a forward pass; fewer than asked where that is what fits, with as much more accumulation. */
  readonly batchTokens: number;
  readonly accumulation: number;
  /** Expected peak in bytes, without the mapped model file, whose pages the system can drop. */
  readonly estimate: number;
  readonly bound: number;
}

export interface MemoryRequest {
  readonly shape: AdapterShape;
  readonly context: number;
  readonly batchTokens: number;
  readonly accumulation: number;
  /** Largest share of a batch's rows whose logits are wanted. */
  readonly outputShare: number;
  readonly backend: Ops["backend"];
  /** Bytes; default: half of the machine's memory. */
  readonly bound?: number;
  /** Whether passes may become smaller; not when a run goes on that began with these. */
  readonly mayShrink: boolean;
}

/** What the collector leaves lying about, and the kernels' own scratch memory, beside 5 % of all. */
const slackBytes = 2 ** 26;

/**
 * Decides beforehand what is kept and what is computed again: everything kept where that fits, else each layer recomputed, else
 * passes of half the rows, as often as needed down to one context. The estimate comes from a pass through the model
 * without arithmetic, so it counts what the real one will hold.
 * @throws GrokError `capacity` saying what the least would be.
 */
export async function planMemory(file: ModelFile, request: MemoryRequest): Promise<MemoryPlan> {
  const { bound = Math.floor(totalmem() / 2), context } = request;
  const before = readMemory().anonymous;
  let least = Number.POSITIVE_INFINITY;
  for (let { batchTokens, accumulation } = request; ; ) {
    for (const recompute of [false, true]) {
      const bytes = await countBytes(file, { ...request, batchTokens }, recompute);
      const estimate = Math.ceil(1.05 * (before + bytes) + slackBytes);
      least = Math.min(least, estimate);
      if (estimate <= bound) return { recompute, batchTokens, accumulation, estimate, bound };
    }
    const half = Math.max(context, Math.ceil(batchTokens / 2));
    if (half === batchTokens || !request.mayShrink) break;
    accumulation = Math.ceil((accumulation * batchTokens) / half);
    batchTokens = half;
  }
  const mega = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  throw new GrokError(
    "capacity",
    `${mega(least)} of memory are needed at least (rank ${request.shape.rank}, context ${context}), and the bound is ${mega(bound)}: allow more, or choose a shorter context or a smaller rank`,
    { least, bound },
  );
}

/** Bytes of activations, gradients and parameters of one pass there and back. */
async function countBytes(file: ModelFile, request: MemoryRequest, recompute: boolean): Promise<number> {
  const dry = createDryOps();
  const { tape, model, cache } = adaptModel(dry.ops, file, request.shape, { seed: 0, recompute, draw: false });
  const rows = request.batchTokens;
  const outputs = Math.max(1, Math.min(rows, Math.ceil(rows * request.outputShare)));
  const count = (length: number) => Int32Array.from({ length }, (_, i) => i);
  const batch: Batch = {
    tokens: new Int32Array(rows),
    positions: count(rows),
    sequences: [{ start: 0, count: rows, pages: new Int32Array(0) }],
    outputs: count(outputs),
  };
  const logits = await model.forward(batch, cache);
  await tape.backward(logits, new Int32Array(outputs), new Float64Array(outputs));
  const elementBytes = request.backend === "native" ? 4 : 8;
  // A parameter is its values, its gradient and two moments; its first values are in memory a second time.
  return elementBytes * dry.elements() + (4 * elementBytes + 4) * dry.parameterElements();
}

export interface MemoryUse {
  /** Bytes in memory that belong to the process alone: without mapped files, where the system tells (Linux), else all. */
  readonly anonymous: number;
  /** Largest number of bytes ever in memory, mapped files' pages with them. */
  readonly peakResident: number;
}

export function readMemory(): MemoryUse {
  const peakResident = process.resourceUsage().maxRSS * 1024;
  try {
    const found = /^RssAnon:\s*(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"));
    if (found !== null) return { anonymous: Number(found[1]) * 1024, peakResident };
  } catch {
    // Another system: the whole stands for the part.
  }
  return { anonymous: process.memoryUsage.rss(), peakResident };
}
