import { createRandom, type Random } from "../sampling/random.ts";

/** Which players take part: 1 or 0 for each. */
export type Coalition = Uint8Array;

/** The worth of each coalition, in their order. */
export type Worth = (coalitions: readonly Coalition[]) => Promise<ArrayLike<number>>;

export interface ShapleyOptions {
  /**
   * Pairs of permutations to sample, at least 2. Where these would ask for as many coalitions as there are, 2^players, all of them are
   * looked at, and nothing is estimated.
   */
  readonly pairs: number;
  readonly seed: number;
  /** Told after each batch: permutations done, or, where all are looked at, coalitions. */
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
 */
export async function shapleyValues(players: number, worth: Worth, options: ShapleyOptions): Promise<ShapleyValues> {
  // All orders begin with nobody and end with everybody.
  const asked = 2 * options.pairs * (players - 1) + 2;
  return 2 ** players <= asked ? enumerateAll(players, worth, options) : samplePermutations(players, worth, options);
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
 * The mean of what players add in sampled orders (Castro, Gómez and Tejada, 2009), each order with its reverse, whose errors cancel in part
 * (Mitchell, Cooper, Frank and Holmes, Sampling Permutations for Shapley Value Estimation, 2022). What players add in one order
 * telescopes, so the sum of all values holds whatever was sampled. Errors are those of the mean of pairs.
 */
async function samplePermutations(
  n: number,
  worth: Worth,
  { pairs, seed, onProgress }: ShapleyOptions,
): Promise<ShapleyValues> {
  const random = createRandom(seed);
  const known = new Map<string, number>();
  const [means, squares] = [new Float64Array(n), new Float64Array(n)];
  const together = Math.max(1, Math.floor(batchCoalitions / (2 * n)));
  for (let done = 0; done < pairs; ) {
    const drawn = Array.from({ length: Math.min(together, pairs - done) }, () => permutation(n, random));
    const orders = drawn.map((order) => [order, order.toReversed()].map(along));
    const open = new Map<string, Coalition>();
    for (const { key, coalition } of orders.flat(2)) if (!known.has(key)) open.set(key, coalition());
    const found = await worth([...open.values()]);
    for (const [i, key] of [...open.keys()].entries()) known.set(key, found[i]!);
    for (const [i, order] of drawn.entries()) {
      const [there, back] = orders[i]!.map((sets) => sets.map(({ key }) => known.get(key)!));
      done++;
      for (let k = 0; k < n; k++) {
        const added = (there![k + 1]! - there![k]! + back![n - k]! - back![n - k - 1]!) / 2;
        // Welford (1962).
        const player = order[k]!;
        const before = added - means[player]!;
        means[player]! += before / done;
        squares[player]! += before * (added - means[player]!);
      }
    }
    onProgress?.(2 * done, 2 * pairs);
  }
  const edge = (bit: string) => known.get(bit.repeat(n))!;
  return {
    ...{ method: "sampled", values: means, errors: squares.map((sum) => Math.sqrt(sum / (pairs - 1) / pairs)) },
    ...{ all: edge("1"), none: edge("0"), evaluations: known.size },
  };
}

/** The n + 1 coalitions that come about as players join in this order. */
function along(order: readonly number[]): { readonly key: string; readonly coalition: () => Coalition }[] {
  const set = new Uint8Array(order.length);
  return [undefined, ...order].map((player) => {
    if (player !== undefined) set[player] = 1;
    const key = set.join("");
    return { key, coalition: () => Uint8Array.from(key, Number) };
  });
}

/** All orders alike (Fisher and Yates). */
function permutation(n: number, random: Random): number[] {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
