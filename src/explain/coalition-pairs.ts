import type { Random } from "../sampling/random.ts";

/** Which players take part: 1 or 0 for each. */
export type Coalition = Uint8Array;

/** A coalition that stands for itself and its complement. */
export interface CoalitionPair {
  /** Of at most half of the players. */
  readonly coalition: Coalition;
  /** Its weight among all: the Shapley kernel's, 1 / (C(n, s) s (n − s)), times how many pairs of its size it stands for. */
  readonly weight: number;
  /** The share of pairs of its size that were not drawn: 0 where all were. */
  readonly unseen: number;
}

/** Pairs of one size. */
interface Stratum {
  readonly size: number;
  /** How many there are, in numbers that may be beyond all bounds. */
  readonly pairs: number;
  /** What its coalitions have of all leverage scores: of the middle size a pair is two of the same size. */
  readonly share: number;
}

/**
 * Pairs of coalitions of n players, none twice, as evenly over sizes as there are some: what every size weighs in the least squares whose
 * solution the Shapley values are is alike. Sizes that have fewer give what is left to the others.
 */
export function drawPairs(n: number, pairs: number, random: Random): readonly CoalitionPair[] {
  const strata: Stratum[] = [];
  for (let size = 1, choices = n; 2 * size <= n; size++) {
    const middle = 2 * size === n;
    strata.push({ size, pairs: middle ? choices / 2 : choices, share: middle ? 0.5 : 1 });
    choices = (choices * (n - size)) / (size + 1);
  }
  const counts = allot(strata, pairs);
  return strata.flatMap(({ size, pairs: there }, i) => {
    const count = counts[i]!;
    const middle = 2 * size === n;
    const weight = (middle ? 0.5 : 1) / (size * (n - size) * count);
    const coalitions = count === there ? allOf(n, size, middle) : someOf(n, size, middle, count, random);
    return coalitions.map((coalition) => ({ coalition, weight, unseen: 1 - count / there }));
  });
}

function allot(strata: readonly Stratum[], pairs: number): readonly number[] {
  const counts = strata.map(() => 0);
  let open = strata.map((_, i) => i);
  for (let left = pairs; open.length > 0; ) {
    const shares = open.reduce((sum, i) => sum + strata[i]!.share, 0);
    const wanted = (i: number) => Math.max(1, Math.floor((left * strata[i]!.share) / shares));
    const full = open.filter((i) => wanted(i) >= strata[i]!.pairs);
    if (full.length === 0) {
      for (const i of open) counts[i] = wanted(i);
      break;
    }
    for (const i of full) {
      counts[i] = strata[i]!.pairs;
      left -= counts[i]!;
    }
    open = open.filter((i) => !full.includes(i));
  }
  return counts;
}

/** Of two that are each other's complement, the one with the first player. */
function allOf(n: number, size: number, middle: boolean): Coalition[] {
  const found: Coalition[] = [];
  const walk = (from: number, left: number, coalition: Coalition) => {
    if (left === 0) {
      if (!middle || coalition[0] === 1) found.push(coalition);
      return;
    }
    for (let i = from; i <= n - left; i++) {
      const next = Uint8Array.from(coalition);
      next[i] = 1;
      walk(i + 1, left - 1, next);
    }
  };
  walk(0, size, new Uint8Array(n));
  return found;
}

function someOf(n: number, size: number, middle: boolean, count: number, random: Random): Coalition[] {
  const found = new Map<string, Coalition>();
  const players = Array.from({ length: n }, (_, i) => i);
  while (found.size < count) {
    // The first of an order drawn so far (Fisher and Yates).
    for (let i = 0; i < size; i++) {
      const j = i + Math.floor(random.uniform() * (n - i));
      [players[i], players[j]] = [players[j]!, players[i]!];
    }
    let coalition: Coalition = new Uint8Array(n);
    for (let i = 0; i < size; i++) coalition[players[i]!] = 1;
    if (middle && coalition[0] === 0) coalition = coalition.map((bit) => 1 - bit);
    found.set(coalition.join(""), coalition);
  }
  return [...found.values()];
}
