import { expect, it } from "vitest";
import { comparePaired } from "./paired.ts";

interface Answered {
  readonly scores: { readonly acc: number };
}

function estimate(_: "acc", records: readonly Answered[]) {
  const mean = (of: readonly Answered[]) => of.reduce((sum, { scores }) => sum + scores.acc, 0) / of.length;
  return { value: mean(records), without: records.map((record) => mean(records.filter((other) => other !== record))) };
}

it("has no share of what hangs on a single question, or is 0", () => {
  const run = (scores: readonly number[]) =>
    scores.map((acc, question) => ({ task: "t", question, line: question + 1, truncated: false, scores: { acc } }));
  const retained = (own: readonly number[], other: readonly number[]) =>
    comparePaired(["acc"], run(own), new Map(run(other).map((record) => [record.question, record])), estimate).acc!
      .retained;
  expect(retained([1, 1, 0, 0], [1, 1, 0, 0])).toEqual({ value: 1, low: 1, high: 1 });
  for (const pair of ["010 010", "110 010", "1 1", "11 00"]) {
    const [own, other] = pair.split(" ").map((run) => [...run].map(Number));
    expect(retained(own!, other!), pair).toBeUndefined();
  }
});
