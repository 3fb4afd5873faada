/** What a tensor can be written in: the bytes that it takes, and what that is expected to cost. */
export interface FitOption {
  readonly bytes: number;
  readonly cost: number;
}

/**
 * One option of each item, so that together they take at most `budget` bytes and cost as little as a search finds: steps along each item's
 * convex hull (its options that no mixture of two others beats) by what they save a byte, the best first, then whatever the room
 * that is left allows. Never worse than the best of the uniform choices, where items have the same number of options. Undefined where
 * even the smallest take more.
 */
export function chooseOptions(items: readonly (readonly FitOption[])[], budget: number): number[] | undefined {
  const smallest = items.map((options) => leastBy(options, ({ bytes }) => bytes));
  if (bytesOf(items, smallest) > budget) return undefined;
  const counts = new Set(items.map(({ length }) => length));
  const uniform = counts.size === 1 ? Array.from({ length: [...counts][0]! }, (_, i) => items.map(() => i)) : [];
  const starts = [climbHulls(items, smallest, budget), ...uniform.filter((choice) => bytesOf(items, choice) <= budget)];
  const tried = starts.map((start) => improve(items, start, budget));
  return tried.reduce((best, next) => (costOf(items, next) < costOf(items, best) ? next : best));
}

interface Step {
  readonly item: number;
  readonly option: number;
  readonly bytes: number;
  readonly saved: number;
}

function climbHulls(items: readonly (readonly FitOption[])[], smallest: readonly number[], budget: number): number[] {
  const steps = items.flatMap((options, item) => hullSteps(options, smallest[item]!, item));
  steps.sort((a, b) => b.saved / b.bytes - a.saved / a.bytes || a.item - b.item || a.bytes - b.bytes);
  const chosen = [...smallest];
  const stopped = new Set<number>();
  let room = budget - bytesOf(items, chosen);
  for (const { item, option, bytes } of steps) {
    if (stopped.has(item)) continue;
    // The steps behind it begin where this one ends.
    if (bytes > room) stopped.add(item);
    else {
      chosen[item] = option;
      room -= bytes;
    }
  }
  return chosen;
}

/** From the smallest option on: always to the one that saves most a byte. */
function hullSteps(options: readonly FitOption[], smallest: number, item: number): Step[] {
  const steps: Step[] = [];
  let at = smallest;
  for (;;) {
    const from = options[at]!;
    const better = options
      .map(({ bytes, cost }, option) => ({ item, option, bytes: bytes - from.bytes, saved: from.cost - cost }))
      .filter(({ bytes, saved }) => bytes > 0 && saved > 0);
    if (better.length === 0) return steps;
    const best = better.reduce((a, b) => (b.saved / b.bytes > a.saved / a.bytes ? b : a));
    steps.push(best);
    at = best.option;
  }
}

/** Single changes, and pairs of which one makes room for the other, for as long as they save anything. */
function improve(items: readonly (readonly FitOption[])[], start: readonly number[], budget: number): number[] {
  const chosen = [...start];
  let room = budget - bytesOf(items, chosen);
  const changes = (item: number) => {
    const from = items[item]![chosen[item]!]!;
    return items[item]!.map(({ bytes, cost }, option) => ({
      ...{ item, option, bytes: bytes - from.bytes, saved: from.cost - cost },
    })).filter(({ option }) => option !== chosen[item]);
  };
  // Each round saves something, and there are finitely many choices; a few rounds find nearly all.
  for (let round = 0; round < 200; round++) {
    const all = items.flatMap((_, item) => changes(item));
    const ups = all.filter(({ saved }) => saved > 0);
    const downs = all.filter(({ bytes }) => bytes < 0);
    let best: { readonly moves: readonly Step[]; readonly saved: number } | undefined;
    const consider = (...moves: Step[]) => {
      const saved = moves.reduce((sum, move) => sum + move.saved, 0);
      const bytes = moves.reduce((sum, move) => sum + move.bytes, 0);
      if (bytes <= room && saved > (best?.saved ?? 0)) best = { moves, saved };
    };
    for (const up of ups) consider(up);
    if (best === undefined && ups.length * downs.length < 4e6) {
      for (const up of ups) for (const down of downs) if (up.item !== down.item) consider(up, down);
    }
    if (best === undefined) break;
    for (const { item, option, bytes } of best.moves) {
      chosen[item] = option;
      room -= bytes;
    }
  }
  return chosen;
}

const bytesOf = (items: readonly (readonly FitOption[])[], chosen: readonly number[]): number =>
  chosen.reduce((sum, option, item) => sum + items[item]![option]!.bytes, 0);
const costOf = (items: readonly (readonly FitOption[])[], chosen: readonly number[]): number =>
  chosen.reduce((sum, option, item) => sum + items[item]![option]!.cost, 0);

function leastBy<T>(options: readonly T[], measure: (option: T) => number): number {
  return options.reduce((best, option, i) => (measure(option) < measure(options[best]!) ? i : best), 0);
}
