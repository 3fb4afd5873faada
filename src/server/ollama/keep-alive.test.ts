import { expect, it } from "vitest";
import { keepSecondsOf } from "./keep-alive.ts";

it.each([
  [undefined, undefined],
  [0, 0],
  [-1, -1],
  [90, 90],
  ["0", 0],
  ["0s", 0],
  ["5m", 300],
  ["1h30m", 5400],
  ["1.5h", 5400],
  [".5s", 0.5],
  ["250ms", 0.25],
  ["-1m", -60],
  ["+2s", 2],
])("%s is kept for %s seconds", (keep, seconds) => {
  expect(keepSecondsOf({ keep_alive: keep })).toBe(seconds);
});

it.each(["", "5", "-1", "m", "5 m", "1d", "forever", "5m!", "--1s"])("%j is no time", (keep) => {
  expect(() => keepSecondsOf({ keep_alive: keep })).toThrow(/keep_alive/);
});
