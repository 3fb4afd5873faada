import { readFileSync } from "node:fs";
import { GrokError } from "../errors.ts";
import type { Batch } from "../kernels/ops.ts";
import type { DryOps } from "./dry-ops.ts";
import type { TapedModel } from "./objective.ts";

/** What the collector leaves lying about, and the kernels' own scratch memory, beside 5 % of all. */
const slackBytes = 2 ** 26;

/** Expected peak in bytes of a process that holds `before` and takes `more`. */
export const expectedPeak = (before: number, more: number) => Math.ceil(1.05 * (before + more) + slackBytes);

/**
 * Elements of activations and gradients of one pass there and back, of a model on a tape of dry operations: it comes from a pass
 * without arithmetic, so it counts what the real one will hold.
 */
export async function countPass(
  dry: DryOps,
  { tape, model, cache }: TapedModel,
  rows: number,
  outputs: number,
): Promise<number> {
  const count = (length: number) => Int32Array.from({ length }, (_, i) => i);
  const batch: Batch = {
    tokens: new Int32Array(rows),
    positions: count(rows),
    sequences: [{ start: 0, count: rows, pages: new Int32Array(0) }],
    outputs: count(outputs),
  };
  const logits = await model.forward(batch, cache);
  await tape.backward(logits, new Int32Array(outputs), new Float64Array(outputs));
  return dry.elements();
}

/** A bound that nothing fits, and what would. */
export function tooLittle(least: number, bound: number, shape: string, advice: string): GrokError {
  const mega = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  return new GrokError(
    "capacity",
    `${mega(least)} of memory are needed at least (${shape}), and the bound is ${mega(bound)}: allow more, or choose ${advice}`,
    { least, bound },
  );
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
