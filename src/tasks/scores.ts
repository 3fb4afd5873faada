import type { Question } from "./questions.ts";
import type { Metric } from "./task.ts";

/** A mean over questions and its standard error; NaN for a single question. */
export interface Figure {
  readonly value: number;
  readonly error: number;
}

/** What a model says of a question. */
export interface Answer {
  /** Log-likelihood of each continuation. */
  readonly logprobs: readonly number[];
  /** Whether each token of the first continuation is the likeliest in its place. */
  readonly greedy: boolean;
}

/** A question's part of each metric: 0 or 1; the log-likelihood, for `perplexity`. */
export type Scores = Readonly<Partial<Record<Metric, number>>>;

export function scoreQuestion(metrics: readonly Metric[], question: Question, answer: Answer): Scores {
  const { logprobs, greedy } = answer;
  const single = logprobs.length === 1;
  const isRight = (values: readonly number[]) => Number(argmax(values) === question.answer);
  const ways: Readonly<Record<Metric, () => number>> = {
    acc: () => (single ? Number(greedy) : isRight(logprobs)),
    acc_norm: () => isRight(logprobs.map((logprob, i) => logprob / question.lengths[i]!)),
    perplexity: () => logprobs[0]!,
  };
  return Object.fromEntries(metrics.map((metric) => [metric, ways[metric]()]));
}

/** Index of the greatest, of equal ones the first. */
function argmax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

/**
 * A metric over questions. The error is the sample's standard deviation over √n, which for right and wrong is √(p (1 - p) / (n - 1)); of
 * perplexity, that of the mean log-likelihood carried through the exponential.
 */
export function summarize(metric: Metric, scores: readonly Scores[]): Figure {
  const n = scores.length;
  const values = scores.map((score) => score[metric]!);
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const error = n > 1 ? Math.sqrt(squares / (n - 1) / n) : Number.NaN;
  if (metric !== "perplexity") return { value: mean, error };
  const value = Math.exp(-mean);
  return { value, error: value * error };
}
