import { type Figure, isLoss } from "./scores.ts";

/** Bounds of a figure's 95 % interval; NaN where its questions tell of none. */
export type Interval = readonly [low: number, high: number];

/** A figure as it is reported. */
export interface ReportedFigure extends Figure {
  readonly interval: Interval;
}

/** Half of a 95 % interval of a normal distribution, in standard errors. */
const z = 1.96;

/**
 * The 95 % interval of a metric over so many questions: of a share Wilson's, of all else 1.96 standard errors to either side, and none where
 * there is no error: a single question, or no answer that was right.
 */
export function intervalOf(metric: string, figure: Figure, questions: number): Interval {
  return isShare(metric) ? shareInterval(figure, questions) : normalInterval(figure);
}

function isShare(metric: string): boolean {
  return !/^(f1|mcc)$/.test(metric) && !isLoss(metric);
}

function normalInterval({ value, error }: Figure): Interval {
  return error > 0 ? [value - z * error, value + z * error] : [Number.NaN, Number.NaN];
}

/**
 * Wilson's (1927), which also of all right or all wrong does not say that it is certain. Its count is that of which a share would have the
 * figure's error: of questions that are right or wrong their own; less where several belong together, or where only some count.
 */
function shareInterval({ value: p, error, of }: Figure, questions: number): Interval {
  const n = error > 0 ? (p * (1 - p)) / error ** 2 + 1 : (of ?? questions);
  const weight = z ** 2 / n;
  const middle = (p + weight / 2) / (1 + weight);
  const half = (z * Math.sqrt((p * (1 - p)) / n + weight / (4 * n))) / (1 + weight);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}
