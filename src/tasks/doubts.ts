import { type Figure, isLoss } from "./scores.ts";

/** What of a task's result its doubts follow from. */
export interface Doubtful {
  readonly metrics: Readonly<Record<string, Figure>>;
  readonly questions: number;
  /** What guessing would have of `acc`; undefined where there are no choices. */
  readonly guessing: number | undefined;
  readonly limited?: number;
  readonly samples?: number;
}

/**
 * Why a figure means little: `chance`, what guessing would have is within its 95 % interval; `few`, the interval is wider than a fifth, with
 * so few questions; `limited`, more than a tenth of the answers ran into the most tokens they may have.
 */
export interface Doubt {
  readonly metric: string;
  readonly why: "chance" | "few" | "limited";
  /** The figure's 95 % interval. */
  readonly interval: readonly [low: number, high: number];
}

/** Half of a 95 % interval of a normal distribution, in standard errors. */
const z = 1.96;
const widest = 0.2;
const mostLimited = 0.1;

/** What guessing has by itself, whatever the questions: correlations are around 0. */
const chanceOf = (metric: string, guessing: number | undefined) =>
  metric === "mcc" ? 0 : /^(acc|mass)/.test(metric) ? guessing : undefined;

export function doubtsOf(result: Doubtful): readonly Doubt[] {
  const { metrics, questions, guessing, limited = 0, samples = 1 } = result;
  return Object.entries(metrics).flatMap(([metric, figure]): readonly Doubt[] => {
    const interval = isShare(metric) ? shareInterval(figure, questions) : normalInterval(figure);
    const [low, high] = interval;
    const chance = chanceOf(metric, guessing);
    const width = isLoss(metric) ? (high - low) / figure.value : high - low;
    const whys: readonly (Doubt["why"] | false)[] = [
      chance !== undefined && low <= chance && chance <= high && "chance",
      !(width <= widest) && "few",
      limited > mostLimited * questions * samples && "limited",
    ];
    return whys.filter((why) => why !== false).map((why) => ({ metric, why, interval }));
  });
}

function isShare(metric: string): boolean {
  return !/^(f1|mcc)$/.test(metric) && !isLoss(metric);
}

function normalInterval({ value, error }: Figure): readonly [number, number] {
  return [value - z * error, value + z * error];
}

/** Wilson's (1927), which also of all right or all wrong does not say that it is certain. */
function shareInterval({ value: p }: Figure, n: number): readonly [number, number] {
  const weight = z ** 2 / n;
  const middle = (p + weight / 2) / (1 + weight);
  const half = (z * Math.sqrt((p * (1 - p)) / n + weight / (4 * n))) / (1 + weight);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}
