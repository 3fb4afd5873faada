import { createCosts } from "./costs.ts";

/**
 * How much of other work a pass carries in which conversations decode: as many tokens as let it take about `slowdown` times
 * what it takes without. Both are measured: passes of decode steps alone, by their rows, and what a token beside them
 * adds. Pure bookkeeping.
 */
export interface Pace {
  /** Most tokens of background work beside so many decode steps. 0: one pass without any is due, to measure what that takes. */
  allowance(decodes: number): number;
  /** A pass of `decodes` rows that decode and so many of background work. */
  passed(decodes: number, background: number, seconds: number): void;
}

/** Beside four conversations that decode, a wait between two tokens of twice the usual is hardly seen; half the machine still works. */
const slowdown = 2;
/** Passes after which what a decode step takes alone is measured again: contexts grow, machines get busy. */
const remeasured = 64;
/** Tokens that are tried before anything is known. */
const firstTried = 4;
/** The weight of the latest pass in what a token adds. */
const latest = 0.25;

export function createPace(): Pace {
  const costs = createCosts();
  let each: number | undefined;
  let most = firstTried;
  let since = 0;
  return {
    allowance(decodes) {
      if (decodes === 0) return Number.POSITIVE_INFINITY;
      const base = costs.of(decodes);
      if (base === undefined || since >= remeasured) return 0;
      if (each === undefined) return firstTried;
      return Math.max(1, Math.min(most, Math.floor((base * (slowdown - 1)) / each)));
    },
    passed(decodes, background, seconds) {
      if (decodes === 0) return;
      if (background === 0) {
        costs.add(decodes, seconds);
        since = 0;
        return;
      }
      since++;
      const base = costs.of(decodes);
      if (base === undefined) return;
      const added = Math.max(seconds - base, base / 1000) / background;
      each = each === undefined ? added : each + latest * (added - each);
      // Step by step: what few tokens seem to add says little of many.
      most = 2 * background;
    },
  };
}
