import { expect, test } from "vitest";
import { createRandom, splitmix64, xoshiro128 } from "./random.ts";

test("xoshiro128** gives the published implementation's numbers", () => {
  const random = xoshiro128([1, 2, 3, 4]);
  expect(Array.from({ length: 10 }, () => random.next())).toEqual([
    11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
  ]);
});

test("splitmix64 gives the published implementation's numbers", () => {
  const mix = splitmix64(1234567n);
  expect(Array.from({ length: 5 }, () => mix())).toEqual([
    6457827717110365317n,
    3203168211198807973n,
    9817491932198370423n,
    4593380528125082431n,
    16408922859458223821n,
  ]);
});

test("uniform numbers fill [0, 1) evenly, and near seeds have nothing in common", () => {
  const [a, b] = [createRandom(1), createRandom(2)];
  const bins = new Uint32Array(64);
  let covariance = 0;
  let outside = false;
  for (let i = 0; i < 64000; i++) {
    const [x, y] = [a.uniform(), b.uniform()];
    outside ||= x < 0 || x >= 1;
    bins[Math.floor(x * 64)]!++;
    covariance += (x - 0.5) * (y - 0.5);
  }
  expect(outside).toBe(false);
  const statistic = bins.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  expect(statistic).toBeLessThan(63 + 5 * Math.sqrt(126));
  expect(Math.abs(covariance / 64000)).toBeLessThan(5 / 12 / Math.sqrt(64000));
});
