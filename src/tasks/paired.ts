import { GrokError } from "../errors.ts";
import { type Estimate, jackknifeError } from "./jackknife.ts";
import type { BaseRecord } from "./records.ts";
import { isLoss } from "./scores.ts";

/** A metric of two runs over the same questions. */
export interface PairedFigure {
  /** How many both have. */
  readonly questions: number;
  /** The other run's value, and what this one's is more; the error is that of the difference, NaN for a single question. */
  readonly other: number;
  readonly difference: number;
  readonly error: number;
  /**
   * This run's value as a share of the other's, of perplexities and bits the other's as a share of this one's, so that below 1 is always
   * worse; with the bounds of its 95 % interval. Absent where what it is a share of is 0 or would be without one of the questions, and of a
   * single question.
   */
  readonly retained?: { readonly value: number; readonly low: number; readonly high: number };
  /**
   * Where questions are right or wrong: how many this run alone has right, how many the other alone, and how likely chance divides them at
   * least so unevenly (McNemar's exact test, of both sides).
   */
  readonly changed?: { readonly gained: number; readonly lost: number; readonly p: number };
  /**
   * Whether the difference is one that other questions of the same kind could as well have the other way: McNemar's p is above 0.05, or else 0
   * lies within 1.96 errors of it.
   */
  readonly noise: boolean;
}

export interface Scored extends BaseRecord {
  readonly scores: Readonly<Record<string, unknown>>;
}

/** Standard errors to either side that have 95 % of a normal distribution. */
const within95 = 1.96;

/**
 * Compares metrics question by question. Errors are the jackknife's over questions, for a mean that of paired differences.
 * @param others records of another run, by question.
 * @throws GrokError `argument` where the two have no question in common.
 */
export function comparePaired<R extends Scored, M extends string>(
  metrics: readonly M[],
  own: readonly R[],
  others: ReadonlyMap<number, R>,
  estimate: (metric: M, records: readonly R[]) => Estimate,
): Readonly<Record<string, PairedFigure>> {
  const here = own.filter(({ question }) => others.has(question));
  if (here.length === 0) {
    const message = `against: the records have none of the questions of ${own[0]?.task} that are asked`;
    throw new GrokError("argument", message, { option: "against" });
  }
  const there = here.map(({ question }) => others.get(question)!);
  return Object.fromEntries(metrics.map((metric) => [metric, compare(metric)]));

  function compare(metric: M): PairedFigure {
    const [a, b] = [estimate(metric, here), estimate(metric, there)];
    const pairs = here.map((record, i) => [record.scores[metric], there[i]!.scores[metric]] as const);
    const retained = isLoss(metric) ? share(b, a) : share(a, b);
    const difference = a.value - b.value;
    const error = jackknifeError(a.without.map((value, i) => value - b.without[i]!));
    const changed = pairs.flat().every((score) => score === 0 || score === 1) ? countChanged(pairs) : undefined;
    return {
      ...{ questions: here.length, other: b.value, difference, error },
      ...(Number.isFinite(retained.high) && { retained }),
      ...(changed && { changed }),
      // Of a single question there is no error.
      noise: changed ? changed.p > 0.05 : !(Math.abs(difference) > within95 * error),
    };
  }
}

function share(a: Estimate, b: Estimate) {
  const value = a.value / b.value;
  const reach = within95 * jackknifeError(a.without.map((each, i) => each / b.without[i]!));
  return { value, low: value - reach, high: value + reach };
}

function countChanged(pairs: readonly (readonly [own: unknown, other: unknown])[]) {
  const gained = pairs.filter(([own, other]) => own === 1 && other === 0).length;
  const lost = pairs.filter(([own, other]) => own === 0 && other === 1).length;
  return { gained, lost, p: mcNemar(gained, lost) };
}

/** How likely a fair coin falls at least as unevenly as `gained` to `lost`: 2 Σ C(n, i) / 2^n up to the lesser, at most 1. */
export function mcNemar(gained: number, lost: number): number {
  const n = gained + lost;
  let logTerm = -n * Math.LN2;
  let below = 0;
  for (let i = 0; i <= Math.min(gained, lost); i++) {
    below += Math.exp(logTerm);
    logTerm += Math.log((n - i) / (i + 1));
  }
  return Math.min(1, 2 * below);
}
