import type { ReportedFigure } from "./intervals.ts";
import { isLoss } from "./scores.ts";

/** What of a task's result its doubts follow from. */
export interface Doubtful {
  readonly metrics: Readonly<Record<string, ReportedFigure>>;
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
}

const widest = 0.2;
const mostLimited = 0.1;

/** What guessing would have of a metric; undefined where there is no such thing. */
export function chanceOf(metric: string, guessing: number | undefined): number | undefined {
  // Correlations are around 0, whatever the questions, and of two every other is the likelier.
  return metric === "mcc" ? 0 : metric === "auroc" ? 0.5 : /^(acc|mass)/.test(metric) ? guessing : undefined;
}

export function doubtsOf(result: Doubtful): readonly Doubt[] {
  const { metrics, questions, guessing, limited = 0, samples = 1 } = result;
  return Object.entries(metrics).flatMap(
    ([
      metric,
      {
        value,
        interval: [low, high],
      },
    ]): readonly Doubt[] => {
      const chance = chanceOf(metric, guessing);
      const width = isLoss(metric) ? (high - low) / value : high - low;
      const whys: readonly (Doubt["why"] | false)[] = [
        chance !== undefined && low <= chance && chance <= high && "chance",
        !(width <= widest) && "few",
        limited > mostLimited * questions * samples && "limited",
      ];
      return whys.filter((why) => why !== false).map((why) => ({ metric, why }));
    },
  );
}
