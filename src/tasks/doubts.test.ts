import { describe, expect, it } from "vitest";
import { type Doubt, doubtsOf } from "./doubts.ts";

const figure = (value: number, error = 0) => ({ value, error });
const whys = (result: Parameters<typeof doubtsOf>[0]) => doubtsOf(result).map(({ metric, why }) => `${metric} ${why}`);

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
      doubtsOf({ metrics: { "exact_match,none": figure(value) }, questions, guessing: undefined });
    expect(of(1, 10)).toEqual([{ metric: "exact_match,none", why: "few", interval: [expect.closeTo(0.7225, 3), 1] }]);
    expect(of(1, 30)).toEqual([]);
    // 81 of 263: Newcombe (1998), table I.
    const [{ interval }] = doubtsOf({ metrics: { acc: figure(81 / 263) }, questions: 263, guessing: 0.3 }) as [Doubt];
    expect(interval.map((end) => end.toFixed(4))).toEqual(["0.2553", "0.3662"]);
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
