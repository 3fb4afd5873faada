import type { Batch, BatchSequence, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import type { AdapterSet } from "./adapters.ts";
import type { KvMemory } from "./kv-memory.ts";
import { pendingOf, type Run, type Stream } from "./runs.ts";

/**
 * A way out of a pass. A thread that computes reads no messages; it can look at shared memory, between two layers and,
 * on the native backend, between two pieces of a product. Armed only while a pass serves a single request: others should
 * not pay for a neighbour's cancellation.
 */
export interface Interrupt {
  armed: boolean;
}

/** What one sequence computes in a pass: `count` of its pending tokens, and after the last of them a draft to verify. */
export interface Place {
  readonly run: Run;
  readonly stream: Stream;
  readonly count: number;
  /** Whether these are all its pending tokens, so that logits are wanted: after the last, and after each drafted one. */
  readonly complete: boolean;
  readonly draft: readonly number[];
}

export interface Passes {
  /** Logits in the order of `places`, for each complete one [draft.length + 1, vocab]. */
  compute(places: readonly Place[]): Promise<Logits>;
  /**
   * A batch through the engine's model, or another over the same cache: [batch.outputs.length, vocab]. One that serves a
   * single request can be interrupted: it then throws GrokError `cancelled`.
   */
  forward(batch: Batch, alone: boolean, model?: Model): Promise<Logits>;
  /** Rows of prompts that a pass takes when so many requests are under way. */
  chunkFor(requests: number): number;
}

export type Logits = Float32Array | Float64Array;

/** What others wait for should not take much longer than this. */
const passSeconds = 1;
/** Smaller chunks read the weights for little. */
const smallestChunk = 64;

export function createPasses(
  ops: Ops,
  engineModel: Model,
  memory: KvMemory,
  options: { readonly batchTokens: number; readonly interrupt: Interrupt; readonly adapters?: AdapterSet | undefined },
): Passes {
  const { batchTokens, interrupt, adapters } = options;
  /** Rows a second, of the last pass that was large enough to tell. */
  let speed = 0;

  async function forward(batch: Batch, alone: boolean, model = engineModel): Promise<Logits> {
    const began = performance.now();
    interrupt.armed = alone;
    const logits = await model.forward(batch, memory.cache()).finally(() => {
      interrupt.armed = false;
    });
    const values = batch.outputs.length === 0 ? new Float32Array(0) : await ops.read(logits);
    const rows = batch.tokens.length;
    if (rows >= 32) speed = rows / Math.max(1e-6, (performance.now() - began) / 1000);
    return values;
  }

  return {
    forward,
    compute(places) {
      const batch = assembleBatch(places);
      adapters?.assign(
        batch,
        places.map(({ run }) => run.adapters),
      );
      return forward(batch, new Set(places.map(({ run }) => run)).size === 1);
    },
    chunkFor(requests) {
      // One request alone can be left in the middle of a pass, and large chunks read the weights least often.
      if (requests <= 1) return batchTokens;
      return Math.min(batchTokens, Math.max(smallestChunk, Math.floor((speed * passSeconds) / 32) * 32));
    },
  };
}

function assembleBatch(places: readonly Place[]): Batch {
  const outputs: number[] = [];
  const tokens: number[] = [];
  const positions: number[] = [];
  const sequences: BatchSequence[] = [];
  for (const { stream, count, complete, draft } of places) {
    const { length, pages } = stream.timeline;
    const start = tokens.length;
    for (let i = 0; i < count; i++) tokens.push(stream.tokens[length + i]!);
    tokens.push(...draft);
    for (let i = 0; i < count + draft.length; i++) positions.push(length + i);
    sequences.push({ start, count: count + draft.length, pages: Int32Array.from(pages) });
    if (complete) for (let row = start + count - 1; row < tokens.length; row++) outputs.push(row);
  }
  return {
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(positions),
    sequences,
    outputs: Int32Array.from(outputs),
  };
}

/** `run`'s sequence with its next `count` tokens. */
export function placeOf(run: Run, stream: Stream, count: number): Place {
  return { run, stream, count, complete: pendingOf(stream) === count, draft: [] };
}
