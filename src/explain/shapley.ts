import { GrokError } from "../errors.ts";
import { createRandom } from "../sampling/random.ts";
import { type Coalition, drawPairs } from "./coalition-pairs.ts";

/** The worth of each coalition, in their order. */
export type Worth = (coalitions: readonly Coalition[]) => Promise<ArrayLike<number>>;

export interface ShapleyOptions {
  /**
   * Pairs to sample of a coalition and all others, at least twice as many as players. Where these would be as many coalitions as there are,
   * 2^players, all of them are looked at, and nothing is estimated.
   */
  readonly pairs: number;
  readonly seed: number;
  /** Told after each batch: coalitions done. */
  readonly onProgress?: (done: number, of: number) => void;
}

export interface ShapleyValues {
  readonly method: "exact" | "sampled";
  /** [players] They sum to `all - none`. */
  readonly values: Float64Array;
  /** [players] Standard error of each; 0 where every coalition was looked at. */
  readonly errors: Float64Array;
  /** What all players together are worth, and what none is. */
  readonly all: number;
  readonly none: number;
  /** Coalitions whose worth was asked for. */
  readonly evaluations: number;
}

/** Coalitions that are asked for together: they fill passes, and not much is lost with an interruption. */
const batchCoalitions = 256;

/**
 * What each player contributes, on average over all orders in which players may come (Shapley, A Value for n-Person Games, 1953).
 * The worth of a coalition is asked for once.
 * @throws GrokError `argument` for fewer pairs than tell the players apart.
 */
export async function shapleyValues(players: number, worth: Worth, options: ShapleyOptions): Promise<ShapleyValues> {
  // Nobody and everybody are a pair that is always looked at.
  const asked = 2 * options.pairs + 2;
  return 2 ** players <= asked ? enumerateAll(players, worth, options) : samplePairs(players, worth, options);
}

/** φ_i = Σ_{S ∌ i} |S|! (n − |S| − 1)! / n! (v(S ∪ {i}) − v(S)). */
async function enumerateAll(n: number, worth: Worth, { onProgress }: ShapleyOptions): Promise<ShapleyValues> {
  const count = 2 ** n;
  const worths = new Float64Array(count);
  for (let start = 0; start < count; start += batchCoalitions) {
    const sets = Array.from({ length: Math.min(batchCoalitions, count - start) }, (_, i) => start + i);
    worths.set(await worth(sets.map((set) => Uint8Array.from({ length: n }, (_, i) => (set >> i) & 1))), start);
    onProgress?.(start + sets.length, count);
  }
  // |S|! (n − |S| − 1)! / n! = 1 / (n C(n − 1, |S|)).
  const weights = new Float64Array(n);
  for (let size = 0, choices = 1; size < n; size++) {
    weights[size] = 1 / (n * choices);
    choices = (choices * (n - 1 - size)) / (size + 1);
  }
  const values = new Float64Array(n);
  for (let set = 0; set < count; set++) {
    const weight = weights[countBits(set)]!;
    for (let i = 0; i < n; i++) {
      if (((set >> i) & 1) === 0) values[i]! += weight * (worths[set | (1 << i)]! - worths[set]!);
    }
  }
  return {
    ...{
      method: "exact",
      values,
      errors: new Float64Array(n),
      all: worths[count - 1]!,
      none: worths[0]!,
      evaluations: count,
    },
  };
}

function countBits(set: number): number {
  let bits = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) bits++;
  return bits;
}

/**
 * Shapley values as the weighted least squares that they are (Charnes et al., 1988; Lundberg and Lee, 2017), over sampled coalitions: Σ_S w(S)
 * (v(S) − v(∅) − Σ_{i ∈ S} φ_i)² is least, with Σ φ = v(all) − v(none). Each coalition comes with its complement, of whose difference alone the
 * values are made, so with z_i = ±1 for who is in S and who is not, y = (v(S) − v(Sᶜ)) / 2 is fitted by Σ β_i z_i, φ = 2 β; and as many of each size, none
 * twice (Musco and Witter, Provably Accurate Shapley Value Estimation via Leverage Score Sampling, 2025).
 * Errors are those of the fit's residuals, of the sizes whose coalitions are not all looked at.
 */
async function samplePairs(
  n: number,
  worth: Worth,
  { pairs, seed, onProgress }: ShapleyOptions,
): Promise<ShapleyValues> {
  if (pairs < 2 * n) {
    const message = `pairs is ${pairs}, expected at least ${2 * n}, twice as many as there are tokens`;
    throw new GrokError("argument", message, { option: "pairs", least: 2 * n });
  }
  const drawn = drawPairs(n, pairs, createRandom(seed));
  const of = 2 * drawn.length + 2;
  const edges = await worth([new Uint8Array(n).fill(1), new Uint8Array(n)]);
  const [all, none] = [edges[0]!, edges[1]!];
  const y = new Float64Array(drawn.length);
  for (let start = 0; start < drawn.length; start += batchCoalitions / 2) {
    const some = drawn.slice(start, start + batchCoalitions / 2).map(({ coalition }) => coalition);
    const found = await worth(some.flatMap((coalition) => [coalition, coalition.map((bit) => 1 - bit)]));
    for (let i = 0; i < some.length; i++) y[start + i] = (found[2 * i]! - found[2 * i + 1]!) / 2;
    onProgress?.(2 * (start + some.length) + 2, of);
  }
  const signs = drawn.map(({ coalition }) => Float64Array.from(coalition, (bit) => 2 * bit - 1));
  // [n, n] Σ w z zᵀ, and its inverse within the plane in which Σ β stays what it is.
  const square = new Float64Array(n * n);
  const right = new Float64Array(n);
  for (const [k, z] of signs.entries()) {
    const { weight } = drawn[k]!;
    for (let i = 0; i < n; i++) {
      const scaled = weight * z[i]!;
      right[i]! += scaled * y[k]!;
      for (let j = 0; j < n; j++) square[i * n + j]! += scaled * z[j]!;
    }
  }
  const inverse = invert(square, n);
  const ones = multiply(inverse, new Float64Array(n).fill(1));
  const total = sum(ones);
  const free = multiply(inverse, right);
  const excess = (sum(free) - (all - none) / 2) / total;
  const beta = free.map((value, i) => value - excess * ones[i]!);
  const variances = new Float64Array(n);
  for (const [k, z] of signs.entries()) {
    const { weight, unseen } = drawn[k]!;
    if (unseen === 0) continue;
    const pull = multiply(inverse, z);
    const along = sum(pull) / total;
    const residual = y[k]! - dot(z, beta);
    for (let i = 0; i < n; i++) variances[i]! += unseen * (weight * residual * (pull[i]! - along * ones[i]!)) ** 2;
  }
  // As many residuals as are free of the fit.
  const spread = drawn.length / Math.max(1, drawn.length - n);
  return {
    ...{ method: "sampled", values: beta.map((value) => 2 * value) },
    errors: variances.map((variance) => 2 * Math.sqrt(spread * variance)),
    ...{ all, none, evaluations: of },
  };
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}

function dot(a: Float64Array, b: Float64Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}

/** [n, n] times [n]. */
function multiply(matrix: Float64Array, vector: Float64Array): Float64Array {
  const n = vector.length;
  return Float64Array.from({ length: n }, (_, i) => dot(matrix.subarray(i * n, (i + 1) * n), vector));
}

/** The inverse of a matrix that is symmetric and positive definite [n, n], by Gauss and Jordan in place. */
function invert(matrix: Float64Array, n: number): Float64Array {
  const a = Float64Array.from(matrix);
  for (let k = 0; k < n; k++) {
    const pivot = a[k * n + k]!;
    a[k * n + k] = 1;
    for (let j = 0; j < n; j++) a[k * n + j]! /= pivot;
    for (let i = 0; i < n; i++) {
      const factor = a[i * n + k]!;
      if (i === k || factor === 0) continue;
      a[i * n + k] = 0;
      for (let j = 0; j < n; j++) a[i * n + j]! -= factor * a[k * n + j]!;
    }
  }
  return a;
}
