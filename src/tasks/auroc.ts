import type { Estimate } from "./jackknife.ts";

/** What is so or not, and how likely it was held to be so. */
export interface Scored {
  readonly isSo: boolean;
  readonly score: number;
}

/**
 * The area under the receiver operating characteristic: of all pairs of one that is so and one that is not the share in which the one that is so
 * has the higher score, equal ones half (Mann and Whitney 1947; Hanley and McNeil 1982). 0.5 where there is no such pair.
 */
export function auroc(all: readonly Scored[]): Estimate {
  const order = [...all.keys()].sort((a, b) => all[a]!.score - all[b]!.score);
  const so = all.filter(({ isSo }) => isSo).length;
  const others = all.length - so;
  /** In how many pairs one is, ordered rightly. */
  const ordered = new Array<number>(all.length).fill(0);
  let [soBelow, othersBelow] = [0, 0];
  for (let first = 0, end = 0; first < order.length; first = end) {
    const { score } = all[order[first]!]!;
    while (end < order.length && all[order[end]!]!.score === score) end++;
    const equal = order.slice(first, end);
    const equalSo = equal.filter((at) => all[at]!.isSo).length;
    const equalOthers = equal.length - equalSo;
    for (const at of equal) {
      ordered[at] = all[at]!.isSo ? othersBelow + equalOthers / 2 : so - soBelow - equalSo / 2;
    }
    soBelow += equalSo;
    othersBelow += equalOthers;
  }
  const right = all.reduce((total, { isSo }, at) => total + (isSo ? ordered[at]! : 0), 0);
  const share = (some: number, pairs: number) => (pairs === 0 ? 0.5 : some / pairs);
  return {
    value: share(right, so * others),
    without: all.map(({ isSo }, at) => share(right - ordered[at]!, isSo ? (so - 1) * others : so * (others - 1))),
    of: Math.min(so, others),
  };
}
