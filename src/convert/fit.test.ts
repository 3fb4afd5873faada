import { expect, test } from "vitest";
import { chooseOptions, type FitOption } from "./fit.ts";

function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Options as types are: more bytes, less cost, with some that no one should take. */
function drawItems(next: () => number, count: number, options: number): FitOption[][] {
  return Array.from({ length: count }, () => {
    const elements = 100 + Math.floor(10_000 * next());
    const weight = next() ** 4;
    return Array.from({ length: options }, (_, i) => {
      const bits = 2 + i + (next() < 0.2 ? 1.5 : 0);
      return { bytes: Math.ceil((elements * bits) / 8), cost: weight * elements * 4 ** -bits * (0.5 + next()) };
    });
  });
}

const sum = (items: readonly FitOption[][], chosen: readonly number[], what: keyof FitOption) =>
  chosen.reduce((total, option, item) => total + items[item]![option]![what], 0);

/** Every way to choose. */
function* ways(items: readonly FitOption[][], item = 0): Generator<number[]> {
  if (item === items.length) yield [];
  else for (const rest of ways(items, item + 1)) for (const i of items[item]!.keys()) yield [i, ...rest];
}

test("takes no more than there is, and costs no more than any uniform choice that fits", () => {
  const next = generator(1);
  for (let round = 0; round < 60; round++) {
    const items = drawItems(next, 1 + Math.floor(30 * next()), 5);
    const sizes = Array.from({ length: 5 }, (_, i) =>
      sum(
        items,
        items.map(() => i),
        "bytes",
      ),
    );
    const smallest = items.reduce((total, options) => total + Math.min(...options.map(({ bytes }) => bytes)), 0);
    for (const budget of [smallest - 1, smallest, ...sizes, sizes[2]! + 1000 * next(), 1e9]) {
      const chosen = chooseOptions(items, budget);
      if (budget < smallest) expect(chosen).toBeUndefined();
      if (chosen === undefined) continue;
      expect(sum(items, chosen, "bytes")).toBeLessThanOrEqual(budget);
      for (const [i, size] of sizes.entries()) {
        if (size > budget) continue;
        const uniform = sum(
          items,
          items.map(() => i),
          "cost",
        );
        expect(sum(items, chosen, "cost")).toBeLessThanOrEqual(uniform * (1 + 1e-12));
      }
      expect(chooseOptions(items, budget)).toEqual(chosen);
    }
  }
});

test("of few items it misses the best there is by little, and seldom", () => {
  const next = generator(2);
  let [found, all] = [0, 0];
  for (let round = 0; round < 60; round++) {
    const items = drawItems(next, 5, 4);
    const budget = sum(
      items,
      items.map(() => Math.floor(4 * next())),
      "bytes",
    );
    const chosen = chooseOptions(items, budget);
    let best = Number.POSITIVE_INFINITY;
    for (const way of ways(items)) {
      if (sum(items, way, "bytes") <= budget) best = Math.min(best, sum(items, way, "cost"));
    }
    if (best === Number.POSITIVE_INFINITY) continue;
    all++;
    const cost = sum(items, chosen!, "cost");
    expect(cost).toBeLessThan(1.5 * best);
    if (cost <= best * (1 + 1e-12)) found++;
  }
  expect(found / all).toBeGreaterThan(0.8);
});

test("with room for all it takes the best of each, and items with other options than others' are no trouble", () => {
  const items = [
    [{ bytes: 5, cost: 3 }],
    [
      { bytes: 1, cost: 9 },
      { bytes: 4, cost: 1 },
      { bytes: 6, cost: 1 },
    ],
  ];
  expect(chooseOptions(items, 9)).toEqual([0, 1]);
  expect(chooseOptions(items, 8)).toEqual([0, 0]);
  expect(chooseOptions(items, 5)).toBeUndefined();
  expect(chooseOptions([], 0)).toEqual([]);
});
