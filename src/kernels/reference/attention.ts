import type { AttentionOptions, Batch } from "../ops.ts";
import { cacheRow, type ReferenceKvCache } from "./kv-cache.ts";

/** out [n, heads * headSize] = causal attention over the cache. See Ops.attention. */
export function attend(
  out: Float64Array,
  q: Float64Array,
  cache: ReferenceKvCache,
  layer: number,
  batch: Batch,
  options: AttentionOptions,
): void {
  const { spec } = cache;
  const { heads, scale, softcap = 0 } = options;
  const { headSize, kvHeads } = spec;
  const cols = kvHeads * headSize;
  const keys = cache.keys[layer]!;
  const values = cache.values[layer]!;
  out.fill(0);
  for (const sequence of batch.sequences) {
    for (let row = sequence.start; row < sequence.start + sequence.count; row++) {
      const position = batch.positions[row]!;
      const temperature = temperatureAt(position, options.temperatureLength);
      const rows = new Int32Array(position + 1);
      for (let p = 0; p <= position; p++) rows[p] = cacheRow(spec, sequence, p);
      const scores = new Float64Array(position + 1);
      for (let head = 0; head < heads; head++) {
        const query = (row * heads + head) * headSize;
        const kvHead = Math.floor((head * kvHeads) / heads) * headSize;
        let max = -Infinity;
        for (let p = 0; p <= position; p++) {
          const key = rows[p]! * cols + kvHead;
          let score = 0;
          for (let i = 0; i < headSize; i++) score += q[query + i]! * keys[key + i]!;
          score *= scale;
          if (softcap > 0) score = softcap * Math.tanh(score / softcap);
          score *= temperature;
          scores[p] = score;
          max = Math.max(max, score);
        }
        let sum = 0;
        for (let p = 0; p <= position; p++) {
          const weight = Math.exp(scores[p]! - max);
          const value = rows[p]! * cols + kvHead;
          for (let i = 0; i < headSize; i++) out[query + i]! += weight * values[value + i]!;
          sum += weight;
        }
        for (let i = 0; i < headSize; i++) out[query + i]! /= sum;
      }
    }
  }
}

/** The factor on a query's capped scores: log2(position) / log2(length) past `length`, 1 up to it. */
export function temperatureAt(position: number, length = 0): number {
  return length > 0 && position > length ? Math.log2(position) / Math.log2(length) : 1;
}
