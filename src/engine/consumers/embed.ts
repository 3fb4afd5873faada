import { largest } from "../../sampling/logits.ts";
import type { AdapterChoice } from "../adapters.ts";
import type { KvMemory } from "../kv-memory.ts";
import { truncate } from "../pages.ts";
import { type Consumer, createSequence, type Sequence } from "../run.ts";
import { type Settle, settleWith } from "./settle.ts";

export interface EmbedOptions {
  /** As in a generation: those adapters that are beside the model. Default: all, as they were loaded. */
  readonly adapters?: readonly AdapterChoice[];
  readonly signal?: AbortSignal;
}

export interface EmbedRunOptions {
  readonly texts: readonly Int32Array[];
  readonly width: number;
  readonly memory: Pick<KvMemory, "pool">;
  readonly nextId: () => number;
}

/** Texts as vectors: the mean over a text's tokens of the hidden state after the last norm, scaled to length 1. */
export function createEmbedding(
  { texts, width, memory, nextId }: EmbedRunOptions,
  settle: Settle<Float32Array[]>,
): { readonly consumer: Consumer; readonly sequences: Sequence[] } {
  const sums = texts.map(() => new Float64Array(width));
  const sequences = texts.map((tokens) => createSequence(nextId(), tokens, 0));
  const indices = new Map(sequences.map((sequence, index) => [sequence, index]));
  let left = texts.length;
  const consumer: Consumer = {
    kind: "embed",
    takesHidden: true,
    take(_, sequence, __, row) {
      // Throws where they are no numbers.
      largest(row);
      const sum = sums[indices.get(sequence)!]!;
      for (let i = 0; i < width; i++) sum[i]! += row[i]!;
      return undefined;
    },
    complete(run, sequence) {
      run.sequences.splice(run.sequences.indexOf(sequence), 1);
      truncate(memory.pool, sequence.timeline, 0);
      return --left === 0 ? "done" : undefined;
    },
    ...settleWith(settle, () => sums.map(normalize)),
  };
  return { consumer, sequences };
}

/** The mean's direction is the sum's. */
function normalize(sum: Float64Array): Float32Array {
  const length = Math.sqrt(sum.reduce((total, value) => total + value * value, 0));
  return Float32Array.from(sum, (value) => (length === 0 ? 0 : value / length));
}
