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

it("tells noise by McNemar's test, and by the error where questions are not right or wrong", () => {
  const run = (scores: readonly number[]) =>
    scores.map((acc, question) => ({ task: "t", question, line: question + 1, truncated: false, scores: { acc } }));
  const noise = (own: readonly number[], other: readonly number[]) =>
    comparePaired(["acc"], run(own), new Map(run(other).map((record) => [record.question, record])), estimate).acc!
      .noise;
  const of = (gained: number, lost: number, base: number) =>
    noise(
      [...Array(20).keys()].map((i) => (i < gained ? base : 0)),
      [...Array(20).keys()].map((i) => (i >= 20 - lost ? base : 0)),
    );
  // Exact p of 6 against 0 is 0.031, of 5 against 0 0.063, of 7 against 1 0.070.
  expect([of(6, 0, 1), of(5, 0, 1), of(7, 1, 1), of(0, 6, 1)]).toEqual([false, true, true, false]);
  // Of halves, the mean of 20 differences with its error: 5 of them are 2.5 errors from 0, 3 are 1.8.
  expect([of(5, 0, 0.5), of(3, 0, 0.5), noise([0.5], [0])]).toEqual([false, true, true]);
});
