import { auroc } from "./auroc.ts";
import { type Estimate, jackknifeError } from "./jackknife.ts";
import { countBytes, countPoints } from "./lengths.ts";
import type { BaseRecord } from "./records.ts";
import { isSameAnswer, sharedWords } from "./words.ts";

/** How a question is put: choices to tell apart, one continuation to be said, or a text to be predicted from its beginning to its end. */
export type TaskKind = "choice" | "continuation" | "text";

/** What of a question it is scored by. */
export interface Choices {
  /** Each choice; of a text to be predicted, the document before it was cleaned. */
  readonly choices: readonly string[];
  /** Indices of the right ones. */
  readonly answer: readonly number[];
}

/** A metric over questions and its standard error; NaN for a single question. */
export interface Figure {
  readonly value: number;
  readonly error: number;
  /** How many it is a share of, where not each question is one. */
  readonly of?: number;
}

/** What a model says of a question. */
export interface Answer {
  /** Log-likelihood of each continuation. */
  readonly logprobs: readonly number[];
  /** Whether each token of the first continuation is the likeliest in its place. */
  readonly greedy: boolean;
}

export type Metric =
  | (
      | "acc"
      | "acc_norm"
      | "acc_bytes"
      | "mass"
      | "precision"
      | "recall"
      | "f1"
      | "auroc"
      | "mcc"
      | "em"
      | "token_f1"
      | "pairwise"
      | "perplexity"
    )
  | ("word_perplexity" | "byte_perplexity" | "bits_per_byte");

/** A question's part of each metric that has one by itself. */
export type Scores = Readonly<Partial<Record<Metric, number>>>;

/** What is kept of a question that is scored by log-likelihood. */
export interface QuestionRecord extends BaseRecord {
  /** Indices of the right choices. */
  readonly answer: readonly number[];
  /** Log-likelihood of each continuation. */
  readonly logprobs: readonly number[];
  readonly scores: Scores;
  /** Of a text that is predicted from its beginning to its end. */
  readonly words?: number;
  readonly bytes?: number;
}

interface MetricRule {
  readonly kinds: readonly TaskKind[];
  /** Of a question by itself. */
  readonly score?: (question: Choices, answer: Answer) => number;
  readonly estimate: (records: readonly QuestionRecord[], metric: Metric) => Estimate;
}

const rightBy = (sizeOf: (choice: string) => number) => (question: Choices, answer: Answer) => {
  const best = argmax(answer.logprobs.map((logprob, i) => logprob / sizeOf(question.choices[i]!)));
  return Number(question.answer.includes(best));
};
const right = rightBy(() => 1);

/** How near the likeliest choice is to the right one that it is nearest to. */
const nearest =
  (nearness: (chosen: string, gold: string) => number) =>
  ({ choices, answer }: Choices, { logprobs }: Answer) => {
    const chosen = choices[argmax(logprobs)]!;
    return Math.max(...answer.map((index) => nearness(chosen, choices[index]!)));
  };

/**
 * acc: how often the right choice is the likeliest, or the continuation what the model would say; acc_norm, acc_bytes: the same by
 * log-likelihood divided by the choice's characters or bytes. mass: the right choices' share of all choices' probability. precision, recall:
 * of the second of two choices, or of each of more, averaged; f1: their harmonic mean, likewise. auroc: how often a question whose answer it
 * is has it likelier than one whose answer it is not, likewise; 0.5 is chance, wherever a line is drawn. pairwise: how often all questions of a line
 * are answered right. mcc: Matthews's correlation of what is right and
 * what is chosen. em, token_f1: whether the likeliest choice is a right one as SQuAD compares answers, and the words that it shares with one. The perplexities: of a continuation; of a text by its words and bytes before it is cleaned; its bits a byte.
 */
const rules: Readonly<Record<Metric, MetricRule>> = {
  acc: {
    kinds: ["choice", "continuation"],
    score: (question, answer) => (question.choices.length > 1 ? right(question, answer) : Number(answer.greedy)),
    estimate: meanOf,
  },
  acc_norm: { kinds: ["choice"], score: rightBy(countPoints), estimate: meanOf },
  acc_bytes: { kinds: ["choice"], score: rightBy(countBytes), estimate: meanOf },
  mass: {
    kinds: ["choice"],
    score: ({ answer }, { logprobs }) => {
      // Beside the likeliest: those of long texts are no numbers of their own.
      const most = Math.max(...logprobs);
      const likelihoods = logprobs.map((logprob) => Math.exp(logprob - most));
      return sum(answer.map((index) => likelihoods[index]!)) / sum(likelihoods);
    },
    estimate: meanOf,
  },
  precision: {
    kinds: ["choice"],
    estimate: byCounts(
      byChoice((_, chosen, hits) => hits / Math.max(1, chosen)),
      ofChosen,
    ),
  },
  recall: {
    kinds: ["choice"],
    estimate: byCounts(
      byChoice((gold, _, hits) => hits / Math.max(1, gold)),
      ofGold,
    ),
  },
  f1: {
    kinds: ["choice"],
    estimate: byCounts(byChoice((gold, chosen, hits) => (2 * hits) / Math.max(1, gold + chosen))),
  },
  auroc: { kinds: ["choice"], estimate: byRanks },
  mcc: { kinds: ["choice"], estimate: byCounts(matthews) },
  em: { kinds: ["choice"], score: nearest((chosen, gold) => Number(isSameAnswer(chosen, gold))), estimate: meanOf },
  token_f1: { kinds: ["choice"], score: nearest(sharedWords), estimate: meanOf },
  pairwise: { kinds: ["choice"], estimate: wholeLines },
  perplexity: {
    kinds: ["continuation"],
    score: (_, { logprobs }) => logprobs[0]!,
    estimate: (records, metric) => through(meanOf(records, metric), (mean) => Math.exp(-mean)),
  },
  word_perplexity: { kinds: ["text"], estimate: (records) => through(bitsOver(records, "words"), (bits) => 2 ** bits) },
  byte_perplexity: { kinds: ["text"], estimate: (records) => through(bitsOver(records, "bytes"), (bits) => 2 ** bits) },
  bits_per_byte: { kinds: ["text"], estimate: (records) => bitsOver(records, "bytes") },
};

/** Metrics that a kind of task can have. */
export function metricsOf(kind: TaskKind): readonly Metric[] {
  return (Object.keys(rules) as Metric[]).filter((metric) => rules[metric].kinds.includes(kind));
}

export function isMetric(name: unknown): name is Metric {
  return typeof name === "string" && Object.hasOwn(rules, name);
}

/** Whether a question has a score of its own in it, which its record keeps. */
export function isOwn(metric: Metric): boolean {
  return rules[metric].score !== undefined;
}

export function scoreQuestion(metrics: readonly Metric[], question: Choices, answer: Answer): Scores {
  return Object.fromEntries(metrics.filter(isOwn).map((metric) => [metric, rules[metric].score!(question, answer)]));
}

/** Whether less of it is better, and a change is a matter of proportion. */
export function isLoss(metric: string): boolean {
  return /perplexity|bits/.test(metric);
}

/** A metric over all records, and with each of them left out: what its error follows from, and that of a difference of two models. */
export function estimate(metric: Metric, records: readonly QuestionRecord[]): Estimate {
  return rules[metric].estimate(records, metric);
}

/** A metric over questions. Its error is the jackknife's, which for a mean is the sample's standard deviation over √n. */
export function summarize(metric: Metric, records: readonly QuestionRecord[]): Figure {
  const { value, without, of } = estimate(metric, records);
  return { value, error: jackknifeError(without), ...(of !== undefined && { of }) };
}

/**
 * A task's error from its parts', as lm-evaluation-harness pools them (`pooled_sample_stderr`): √(Σ nᵢ (nᵢ - 1) eᵢ² / (N - k) / N).
 */
export function poolErrors(parts: readonly { readonly questions: number; readonly error: number }[]): number {
  const total = sum(parts.map(({ questions }) => questions));
  const spread = sum(parts.map(({ questions: n, error }) => (n > 1 ? n * (n - 1) * error ** 2 : 0)));
  return total > parts.length ? Math.sqrt(spread / (total - parts.length) / total) : Number.NaN;
}

/** Index of the greatest, of equal ones the first. */
function argmax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function meanOf(records: readonly QuestionRecord[], metric: Metric): Estimate {
  const values = records.map(({ scores }) => scores[metric]!);
  const total = sum(values);
  const n = values.length;
  return { value: total / n, without: values.map((value) => (total - value) / (n - 1)) };
}

/** The share of lines of the data all of whose questions are answered right. What is left out in turn is a line. */
function wholeLines(records: readonly QuestionRecord[]): Estimate {
  const lines = new Map<string, number>();
  for (const { part, line, answer, logprobs } of records) {
    const key = `${part ?? ""} ${line}`;
    lines.set(key, Math.min(lines.get(key) ?? 1, Number(answer.includes(argmax(logprobs)))));
  }
  const values = [...lines.values()];
  const total = sum(values);
  const without = values.map((value) => (total - value) / (values.length - 1));
  return { value: total / values.length, without, of: values.length };
}

/** -log₂ of the texts' likelihood over all their words or bytes. */
function bitsOver(records: readonly QuestionRecord[], unit: "words" | "bytes"): Estimate {
  const bits = records.map(({ logprobs }) => -logprobs[0]! / Math.LN2);
  const sizes = records.map((record) => record[unit]!);
  const [allBits, allSizes] = [sum(bits), sum(sizes)];
  return { value: allBits / allSizes, without: bits.map((own, i) => (allBits - own) / (allSizes - sizes[i]!)) };
}

function through({ value, without }: Estimate, of: (value: number) => number): Estimate {
  return { value: of(value), without: without.map(of) };
}

/** How often choice `chosen` was taken where `right` was right: counts[right][chosen]. */
type Counts = number[][];

/** How many questions the second of two choices is right for. */
function ofGold(counts: Counts): number {
  return sum(counts[1]!);
}

/** How many it was taken for. */
function ofChosen(counts: Counts): number {
  return sum(counts.map((row) => row[1]!));
}

/**
 * Of a metric over counts: few of them differ when one question is left out.
 * @param counted of two choices, how many questions it is a share of
 */
function byCounts(of: (counts: Counts) => number, counted?: (counts: Counts) => number) {
  return (records: readonly QuestionRecord[]): Estimate => {
    const size = Math.max(...records.map(({ logprobs }) => logprobs.length));
    const counts: Counts = Array.from({ length: size }, () => new Array<number>(size).fill(0));
    const cells = records.map(({ answer, logprobs }) => [answer[0]!, argmax(logprobs)] as const);
    for (const [gold, chosen] of cells) counts[gold]![chosen]!++;
    const value = of(counts);
    const total = size === 2 ? counted?.(counts) : undefined;
    const known = new Map<number, number>();
    const without = cells.map(([gold, chosen]) => {
      const cell = gold * size + chosen;
      let left = known.get(cell);
      if (left === undefined) {
        counts[gold]![chosen]!--;
        left = of(counts);
        counts[gold]![chosen]!++;
        known.set(cell, left);
      }
      return left;
    });
    return { value, without, ...(total !== undefined && { of: total }) };
  };
}

/** By how likely the second of two choices is, or each of more, beside all others. */
function byRanks(records: readonly QuestionRecord[]): Estimate {
  const size = Math.max(...records.map(({ logprobs }) => logprobs.length));
  const choices = size === 2 ? [1] : Array.from({ length: size }, (_, choice) => choice);
  const estimates = choices.map((choice) =>
    auroc(
      records.map(({ answer, logprobs }) => ({
        isSo: answer.includes(choice),
        score:
          (logprobs[choice] ?? Number.NEGATIVE_INFINITY) - logSumExp(logprobs.filter((_, other) => other !== choice)),
      })),
    ),
  );
  const mean = (values: readonly number[]) => sum(values) / values.length;
  return {
    value: mean(estimates.map(({ value }) => value)),
    without: records.map((_, left) => mean(estimates.map(({ without }) => without[left]!))),
    of: Math.min(...estimates.map(({ of }) => of!)),
  };
}

function logSumExp(values: readonly number[]): number {
  const greatest = Math.max(...values);
  return greatest + Math.log(sum(values.map((value) => Math.exp(value - greatest))));
}

/** Of what is so, was taken for so, and was taken for so rightly: of the second of two choices, or of each of more, averaged. */
function byChoice(of: (gold: number, chosen: number, hits: number) => number) {
  return (counts: Counts): number => {
    const at = (index: number) =>
      of(sum(counts[index]!), sum(counts.map((row) => row[index]!)), counts[index]![index]!);
    return counts.length === 2 ? at(1) : sum(counts.map((_, index) => at(index))) / counts.length;
  };
}

/** The correlation for any number of classes (Gorodkin 2004); 0 where all are one class. */
function matthews(counts: Counts): number {
  const gold = counts.map(sum);
  const chosen = counts.map((_, index) => sum(counts.map((row) => row[index]!)));
  const total = sum(gold);
  const hits = sum(counts.map((row, index) => row[index]!));
  const covariance = hits * total - sum(gold.map((count, index) => count * chosen[index]!));
  const spread = (sums: readonly number[]) => total ** 2 - sum(sums.map((count) => count ** 2));
  const scale = Math.sqrt(spread(gold) * spread(chosen));
  return scale === 0 ? 0 : covariance / scale;
}
