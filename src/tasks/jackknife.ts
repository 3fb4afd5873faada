/** A metric over records with one of them left out, in turn: [records.length] (of `pairwise` [lines]), and over all of them. */
export interface Estimate {
  readonly value: number;
  readonly without: readonly number[];
  /** How many it is a share of, where not each record is one: what its interval is as wide as where no error tells it. */
  readonly of?: number;
}

/** √((n - 1)/n Σ (θᵢ - mean)²) over the estimates with each question left out (Efron 1982); NaN for a single question. */
export function jackknifeError(without: readonly number[]): number {
  const n = without.length;
  const mean = sum(without) / n;
  return n > 1 ? Math.sqrt(((n - 1) / n) * sum(without.map((value) => (value - mean) ** 2))) : Number.NaN;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
