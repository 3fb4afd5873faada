import { expect, it } from "vitest";
import { auroc, type Scored } from "./auroc.ts";
import { type QuestionRecord, summarize } from "./scores.ts";

let state = 1;
function random(n: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
}

/** By its definition, pair by pair. */
function byPairs(all: readonly Scored[]): number {
  const pairs = all
    .filter(({ isSo }) => isSo)
    .flatMap((one) => all.filter(({ isSo }) => !isSo).map((other) => Math.sign(one.score - other.score)));
  return pairs.length === 0 ? 0.5 : pairs.reduce((total, sign) => total + (sign + 1) / 2, 0) / pairs.length;
}

it("the area under the curve is the share of pairs in order, also with each left out, whatever is equal", () => {
  for (let round = 0; round < 200; round++) {
    const levels = 1 + random(6);
    const all = Array.from({ length: 1 + random(12) }, () => ({ isSo: random(3) === 0, score: random(levels) }));
    const { value, without } = auroc(all);
    expect(value).toBeCloseTo(byPairs(all), 12);
    for (const [left, of] of without.entries()) expect(of).toBeCloseTo(byPairs(all.filter((_, at) => at !== left)), 12);
  }
});

it("of two choices it is that of the second, of more each one's, averaged; its error is near Hanley and McNeil's", () => {
  const record = (answer: number, ...logprobs: number[]): QuestionRecord => ({
    ...{ task: "t", question: 0, line: 1, truncated: false, scores: {}, answer: [answer], logprobs },
  });
  // Never the likelier one, and yet in order: only the line is drawn in the wrong place.
  const two = [record(0, -1, -4), record(0, -1, -3), record(1, -1, -2), record(1, -5, -5.5)];
  expect(summarize("f1", two).value).toBe(0);
  expect(summarize("auroc", two).value).toBe(1);
  expect(summarize("auroc", [record(0, -1, -2), record(1, -2, -3)]).value).toBe(0.5);
  const three = [record(0, -1, -2, -3), record(1, -2, -1, -3), record(2, -1, -2, -3)];
  // Choice 0 has its own before one of two and level with the other, choice 1 before both, choice 2 is level with both.
  expect(summarize("auroc", three).value).toBeCloseTo((0.75 + 1 + 0.5) / 3, 12);

  const many = Array.from({ length: 2000 }, (_, i) => record(i % 2, 0, random(1000) + 200 * (i % 2)));
  const { value: a, error } = summarize("auroc", many);
  const [q1, q2] = [a / (2 - a), (2 * a * a) / (1 + a)];
  const expected = Math.sqrt((a * (1 - a) + 999 * (q1 - a * a) + 999 * (q2 - a * a)) / 1e6);
  expect(error / expected).toBeGreaterThan(0.85);
  expect(error / expected).toBeLessThan(1.15);
});
