import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, it } from "vitest";
import { createRandom } from "../sampling/random.ts";
import type { Coalition } from "./coalition-pairs.ts";
import { shapleyValues } from "./shapley.ts";

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);
const norm = (values: Iterable<number>) => Math.hypot(...values);
const setOf = (coalition: Coalition) => coalition.reduce((set, bit, i) => set | (bit << i), 0);

/** A game of any worths whatever, and how often it was asked for each. */
function randomGame(players: number, seed: number) {
  const random = createRandom(seed);
  const worths = Array.from({ length: 2 ** players }, () => 20 * random.uniform() - 10);
  const asked = new Map<number, number>();
  const worth = async (coalitions: readonly Coalition[]) =>
    coalitions.map((coalition) => {
      const set = setOf(coalition);
      asked.set(set, (asked.get(set) ?? 0) + 1);
      return worths[set]!;
    });
  return { worths, worth, asked };
}

/** By the definition: the mean of what a player adds, over all n! orders. */
function overAllOrders(players: number, worths: readonly number[]): number[] {
  const values = new Array<number>(players).fill(0);
  let orders = 0;
  const walk = (set: number, added: readonly (readonly [number, number])[]) => {
    if (added.length === players) {
      orders++;
      for (const [player, value] of added) values[player]! += value;
      return;
    }
    for (let i = 0; i < players; i++) {
      if ((set >> i) & 1) continue;
      walk(set | (1 << i), [...added, [i, worths[set | (1 << i)]! - worths[set]!]]);
    }
  };
  walk(0, []);
  return values.map((value) => value / orders);
}

it("is the mean over all orders, each coalition asked for once", async () => {
  for (const players of [1, 2, 3, 6]) {
    const { worths, worth, asked } = randomGame(players, players);
    const { method, values, errors, evaluations } = await shapleyValues(players, worth, { pairs: 64, seed: 0 });
    for (const [i, value] of overAllOrders(players, worths).entries()) expect(values[i]).toBeCloseTo(value, 10);
    expect([...errors]).toEqual(new Array(players).fill(0));
    expect([...asked.values()]).toEqual(new Array(2 ** players).fill(1));
    expect([method, evaluations]).toEqual(["exact", 2 ** players]);
  }
});

it("sums to what all are worth beyond none, whatever is sampled", async () => {
  const game = fc.record({
    players: fc.integer({ min: 1, max: 11 }),
    seed: fc.nat(),
    more: fc.integer({ min: 0, max: 40 }),
  });
  await fc.assert(
    fc.asyncProperty(game, async ({ players, seed, more }) => {
      const pairs = 2 * players + more;
      const { worths, worth, asked } = randomGame(players, seed);
      const found = await shapleyValues(players, worth, { pairs, seed });
      expect([found.none, found.all]).toEqual([worths[0], worths.at(-1)]);
      expect(Math.abs(sum(found.values) - (found.all - found.none))).toBeLessThan(1e-11);
      expect(Math.max(...asked.values())).toBe(1);
      expect(found.evaluations).toBe(asked.size);
      expect(found.evaluations).toBeLessThanOrEqual(2 * pairs + 2);
      expect(await shapleyValues(players, worth, { pairs, seed })).toEqual(found);
    }),
    { numRuns: 60 },
  );
});

it("comes as near to all orders as its standard errors say", async () => {
  const players = 8;
  let [inside, all] = [0, 0];
  for (let seed = 1; seed <= 40; seed++) {
    const { worth } = randomGame(players, seed);
    const exact = await shapleyValues(players, worth, { pairs: 128, seed });
    const { values, errors } = await shapleyValues(players, worth, { pairs: 40, seed });
    for (const [i, value] of values.entries()) {
      all++;
      if (Math.abs(value - exact.values[i]!) < 2 * errors[i]!) inside++;
    }
  }
  // 95 % of a normal distribution lie within two of its standard deviations.
  expect(inside / all).toBeGreaterThan(0.9);
  expect(inside / all).toBeLessThan(0.99);
});

it("has players and their pairs for themselves: what is additive has no error", async () => {
  const gains = [3, -1, 0.5, 7, 2, 0];
  const worth = async (coalitions: readonly Coalition[]) =>
    coalitions.map((coalition) => {
      const alone = sum(gains.map((gain, i) => gain * coalition[i]!));
      return alone + 4 * coalition[0]! * coalition[3]! - 2 * coalition[1]! * coalition[2]!;
    });
  const { values, errors } = await shapleyValues(gains.length, worth, { pairs: 12, seed: 9 });
  // Between a coalition and its complement what two have together cancels.
  for (const [i, value] of [5, -2, -0.5, 9, 2, 0].entries()) expect(values[i]).toBeCloseTo(value, 12);
  expect(norm(errors)).toBeLessThan(1e-12);
});

it("is within 2 % of all maskings of a sentence, of which half are looked at", async () => {
  const players = 12;
  const worths = new Float32Array(readFileSync("test/vectors/explain/worths.f32").buffer.slice(0));
  expect(worths.length).toBe(2 ** players);
  const worth = async (coalitions: readonly Coalition[]) => coalitions.map((coalition) => worths[setOf(coalition)]!);
  const exact = await shapleyValues(players, worth, { pairs: 2 ** 11, seed: 1 });
  const largest = Math.max(...exact.values.map(Math.abs));
  for (let seed = 1; seed <= 5; seed++) {
    const { method, values, evaluations } = await shapleyValues(players, worth, { pairs: 2 ** 10, seed });
    expect([exact.method, method]).toEqual(["exact", "sampled"]);
    expect(evaluations).toBeLessThanOrEqual(2 ** 11 + 2);
    expect(Math.max(...values.map((value, i) => Math.abs(value - exact.values[i]!))) / largest).toBeLessThan(0.02);
  }
});

it("refuses fewer pairs than tell players apart", async () => {
  const { worth } = randomGame(8, 1);
  await expect(shapleyValues(8, worth, { pairs: 15, seed: 1 })).rejects.toThrow(/pairs is 15, expected at least 16/);
});
