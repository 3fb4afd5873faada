import type { AttentionOptions } from "../kernels/ops.ts";
import { temperatureAt } from "../kernels/reference/attention.ts";

export interface AttentionInputs {
  /** [n, heads * headSize] and [n, kvHeads * headSize], both rotated, of positions 0 to n - 1. */
  readonly q: ArrayLike<number>;
  readonly k: ArrayLike<number>;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly options: AttentionOptions;
}

/**
 * What share of a head's attention each row from `from` on gives to each position up to its own: [head][row - from][position]. Scores are
 * those of `Ops.attention`, in float64.
 */
export function attentionMaps(
  { q, k, kvHeads, headSize, options }: AttentionInputs,
  from: number,
): readonly (readonly (readonly number[])[])[] {
  const { heads, scale, softcap = 0, temperatureLength } = options;
  const rows = q.length / (heads * headSize);
  return Array.from({ length: heads }, (_, head) => {
    const kvHead = Math.floor((head * kvHeads) / heads);
    return Array.from({ length: rows - from }, (_, i) => {
      const row = from + i;
      const temperature = temperatureAt(row, temperatureLength);
      const scores = Array.from({ length: row + 1 }, (_, position) => {
        const [query, key] = [(row * heads + head) * headSize, (position * kvHeads + kvHead) * headSize];
        let score = 0;
        for (let j = 0; j < headSize; j++) score += q[query + j]! * k[key + j]!;
        score *= scale;
        return temperature * (softcap > 0 ? softcap * Math.tanh(score / softcap) : score);
      });
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const sum = weights.reduce((total, weight) => total + weight, 0);
      return weights.map((weight) => weight / sum);
    });
  });
}
