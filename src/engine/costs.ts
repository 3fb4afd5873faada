import type { Unions } from "../memory/unions.ts";

/** What another row is taken to cost before it is measured, as a share of a pass with one. */
const guessedSlope = 0.3;
/** Passes whose median is a cost: speed changes, and a busy machine has outliers. */
const remembered = 7;

/** Seconds of a pass by its rows; between and beyond what was measured, a straight line. */
export interface Costs {
  add(rows: number, seconds: number): void;
  /** Undefined while nothing is known. */
  of(rows: number): number | undefined;
}

export function createCosts(): Costs {
  /** Ascending by rows; the seconds are the median of the last samples. */
  const points: { readonly rows: number; readonly samples: number[]; seconds: number }[] = [];
  return {
    add(rows, seconds) {
      let at = 0;
      while (at < points.length && points[at]!.rows < rows) at++;
      if (points[at]?.rows !== rows) points.splice(at, 0, { rows, samples: [], seconds });
      const point = points[at]!;
      point.samples.push(seconds);
      if (point.samples.length > remembered) point.samples.shift();
      point.seconds = point.samples.slice().sort((a, b) => a - b)[point.samples.length >> 1]!;
    },
    of(rows) {
      const first = points[0];
      if (first === undefined) return undefined;
      // Fewer rows than ever seen.
      if (rows < first.rows) {
        return (first.seconds * (1 + guessedSlope * (rows - 1))) / (1 + guessedSlope * (first.rows - 1));
      }
      let at = 0;
      while (at + 1 < points.length && points[at + 1]!.rows <= rows) at++;
      const { rows: x0, seconds: y0 } = points[at]!;
      const above = points[at + 1];
      if (above !== undefined) return y0 + ((above.seconds - y0) * (rows - x0)) / (above.rows - x0);
      // More rows than ever seen: it grows on as it did so far.
      const slope = at > 0 ? Math.max(0, (y0 - first.seconds) / (x0 - first.rows)) : (guessedSlope * y0) / x0;
      return y0 + slope * (rows - x0);
    },
  };
}

/** The weight of the latest pass among those that count. */
const latest = 0.1;

/**
 * The same where experts are read as they are needed: what takes time is how many a pass asks for. Which of them are there varies from pass
 * to pass, so each is taken to cost what it did in the mean.
 */
export function createUnionCosts(unions: Pick<Unions, "of">): Costs {
  let seconds = 0;
  let experts = 0;
  return {
    add(rows, taken) {
      seconds += latest * (taken - seconds);
      experts += latest * (unions.of(rows) - experts);
    },
    of: (rows) => (experts === 0 ? undefined : (seconds / experts) * unions.of(rows)),
  };
}
