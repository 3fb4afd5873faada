/**
 * How many experts of a layer several tokens ask for together: what a pass over all of them reads. Tokens that choose `used` of so many
 * experts independently, all alike, ask for
 *
 *     U(rows) = experts (1 - (1 - used / experts) ^ rows)
 *
 * in the mean: four tokens with two of eight each for 5.5, not 8. Neighbours in a text choose more alike than that, as if there were fewer
 * experts: how many is found out.
 */
export interface Unions {
  /** Experts of a layer that so many tokens ask for together. */
  of(rows: number): number;
  /** So many neighbouring tokens, more than one, asked for `union` experts of a layer, in the mean of all layers. */
  add(rows: number, union: number): void;
}

export function expectedUnion(experts: number, used: number, rows: number): number {
  return experts * (1 - (1 - used / experts) ** rows);
}

/** Experts that it is as if there were, for `rows` tokens to ask for `union` of them: from `used` to `experts`. */
export function effectiveExperts(experts: number, used: number, rows: number, union: number): number {
  // The union grows with the number of experts: halved until nothing is left to find.
  let [low, high] = [used, experts];
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (expectedUnion(middle, used, rows) < union) low = middle;
    else high = middle;
  }
  return high;
}

/** The weight of the latest pass: some fifty count. */
const latest = 0.02;

export function createUnions({ experts, used }: { readonly experts: number; readonly used: number }): Unions {
  let effective = experts;
  let seen = 0;
  return {
    of: (rows) => Math.min(experts, expectedUnion(effective, used, rows)),
    add(rows, union) {
      const found = effectiveExperts(experts, used, rows, union);
      effective += Math.max(latest, 1 / (++seen + 1)) * (found - effective);
    },
  };
}
