import { describe, expect, it } from "vitest";
import { type Doubtful, doubtsOf } from "./doubts.ts";
import { intervalOf } from "./intervals.ts";
import type { Figure } from "./scores.ts";

const figure = (value: number, error = 0) => ({ value, error });
type Summed = Omit<Doubtful, "metrics"> & { readonly metrics: Readonly<Record<string, Figure>> };
const whys = ({ metrics, ...result }: Summed) => {
  const reported = Object.entries(metrics).map(([metric, of]) => [
    metric,
    { ...of, interval: intervalOf(metric, of, result.questions) },
  ]);
  return doubtsOf({ ...result, metrics: Object.fromEntries(reported) }).map(({ metric, why }) => `${metric} ${why}`);
};

describe("doubts", () => {
  it("are of figures that chance could have", () => {
    const of = (value: number, questions: number) =>
      whys({ metrics: { acc: figure(value) }, questions, guessing: 0.5 });
    expect(of(0.52, 400)).toEqual(["acc chance"]);
    expect(of(0.48, 400)).toEqual(["acc chance"]);
    expect(of(0.56, 400)).toEqual([]);
    expect(of(0.56, 50)).toEqual(["acc chance", "acc few"]);
    expect(whys({ metrics: { mcc: figure(0.05, 0.03) }, questions: 500, guessing: 0.5 })).toEqual(["mcc chance"]);
    expect(whys({ metrics: { f1: figure(0.5, 0.03) }, questions: 500, guessing: 0.5 })).toEqual([]);
  });

  it("are of so few questions that the interval is wide, all right ones too", () => {
    const of = (value: number, questions: number) =>
      whys({ metrics: { "exact_match,none": figure(value) }, questions, guessing: undefined });
    expect(of(1, 10)).toEqual(["exact_match,none few"]);
    expect(of(1, 30)).toEqual([]);
    const perplexity = (error: number) =>
      whys({ metrics: { perplexity: figure(30, error) }, questions: 9, guessing: undefined });
    expect(perplexity(2)).toEqual(["perplexity few"]);
    expect(perplexity(0.5)).toEqual([]);
    expect(perplexity(Number.NaN)).toEqual(["perplexity few"]);
  });

  it("are of answers that were cut off", () => {
    const of = (limited: number) =>
      whys({ metrics: { "pass@1": figure(0.5) }, questions: 200, guessing: undefined, limited, samples: 2 });
    expect(of(41)).toEqual(["pass@1 limited"]);
    expect(of(40)).toEqual([]);
  });
});

it("intervals are Wilson's of a share, by its error where questions do not count alike", () => {
  const rounded = (metric: string, value: number, error: number, questions: number) =>
    intervalOf(metric, figure(value, error), questions).map((end) => end.toFixed(4));
  // 81 of 263: Newcombe (1998), table I.
  const error = Math.sqrt((81 / 263) * (182 / 263) / 262); // biome-ignore format: as the formula is written
  expect(rounded("acc", 81 / 263, error, 263)).toEqual(["0.2553", "0.3662"]);
  expect(rounded("acc", 81 / 263, error, 526)).toEqual(["0.2553", "0.3662"]);
  expect(rounded("acc", 1, 0, 10)).toEqual(["0.7225", "1.0000"]);
  expect(rounded("f1", 0.5, 0.1, 10)).toEqual(["0.3040", "0.6960"]);
  // Nothing was found, and leaving a question out changes nothing: no reason to be certain.
  expect(rounded("f1", 0, 0, 10)).toEqual(["NaN", "NaN"]);
  expect(rounded("perplexity", 20, 1, 10)).toEqual(["18.0400", "21.9600"]);
});
