import type { Ops } from "../../kernels/ops.ts";
import { memoryLimit } from "../../machine/limits.ts";
import type { ModelFile } from "../../model/model.ts";
import { createDryOps } from "../dry-ops.ts";
import { countPass, expectedPeak, readMemory, tooLittle } from "../pass-memory.ts";
import { type AdapterShape, adaptModel } from "./adapted-model.ts";

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
  readonly ops: Pick<Ops, "elementBytes">;
  /** Bytes; default: half of what the process may use. */
  readonly bound?: number;
  /** Whether passes may become smaller; not when a run goes on that began with these. */
  readonly mayShrink: boolean;
}

/**
 * Decides beforehand what is kept and what is computed again: everything kept where that fits, else each layer recomputed, else
 * passes of half the rows, as often as needed down to one context. The estimate comes from a pass through the model
 * without arithmetic, so it counts what the real one will hold.
 * @throws GrokError `capacity` saying what the least would be.
 */
export async function planMemory(file: ModelFile, request: MemoryRequest): Promise<MemoryPlan> {
  const { bound = Math.floor(memoryLimit() / 2), context } = request;
  const before = readMemory().anonymous;
  let least = Number.POSITIVE_INFINITY;
  for (let { batchTokens, accumulation } = request; ; ) {
    for (const recompute of [false, true]) {
      const bytes = await countBytes(file, { ...request, batchTokens }, recompute);
      const estimate = expectedPeak(before, bytes);
      least = Math.min(least, estimate);
      if (estimate <= bound) return { recompute, batchTokens, accumulation, estimate, bound };
    }
    const half = Math.max(context, Math.ceil(batchTokens / 2));
    if (half === batchTokens || !request.mayShrink) break;
    accumulation = Math.ceil((accumulation * batchTokens) / half);
    batchTokens = half;
  }
  const { rank } = request.shape;
  throw tooLittle(least, bound, `rank ${rank}, context ${context}`, "a shorter context or a smaller rank");
}

/** Bytes of activations, gradients and parameters of one pass there and back. */
async function countBytes(file: ModelFile, request: MemoryRequest, recompute: boolean): Promise<number> {
  const dry = createDryOps();
  const adapted = adaptModel(dry.ops, file, request.shape, { seed: 0, recompute, draw: false });
  const rows = request.batchTokens;
  const outputs = Math.max(1, Math.min(rows, Math.ceil(rows * request.outputShare)));
  const elements = await countPass(dry, adapted, rows, outputs);
  const { elementBytes } = request.ops;
  // A parameter is its values, its gradient and two moments; its first values are in memory a second time.
  return elementBytes * elements + (4 * elementBytes + 4) * dry.parameterElements();
}
