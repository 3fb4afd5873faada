import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { governedLimit } from "./governor.ts";

const mega = 2 ** 20;

describe("the memory governor", () => {
  /** A machine of `total` bytes on which others take what `others` says at each step, and experts fill what they may. */
  const simulate = (
    total: number,
    others: readonly number[],
    { most = 600 * mega, least = 50 * mega, reserve = 100 * mega } = {},
  ) => {
    let limit = most;
    let used = 0;
    return others.map((taken) => {
      const available = total - taken - used;
      limit = governedLimit({ limit, filled: used, most, least, available, reserve });
      used = Math.min(used, limit);
      const left = total - taken - used;
      // Reading fills it a little at a time.
      used = Math.min(limit, used + 20 * mega);
      return { limit, used, left };
    });
  };

  it("gives back what others take, and takes it again when they are gone", () => {
    const quiet = new Array<number>(60).fill(100 * mega);
    const steps = simulate(1000 * mega, [...quiet, ...new Array<number>(30).fill(500 * mega), ...quiet]);
    expect(steps[59]!.used).toBe(600 * mega);
    expect(steps[60]!.left).toBe(100 * mega);
    expect(steps[89]!.used).toBeLessThanOrEqual(420 * mega);
    expect(steps.at(-1)!.used).toBe(600 * mega);
  });

  it("stays between its bounds, and leaves the reserve where its least allows", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 900 }), { minLength: 1, maxLength: 100 }), (others) => {
        for (const { limit, left } of simulate(
          1000 * mega,
          others.map((each) => each * mega),
        )) {
          expect(limit).toBeGreaterThanOrEqual(50 * mega);
          expect(limit).toBeLessThanOrEqual(600 * mega);
          if (limit > 50 * mega) expect(left).toBeGreaterThanOrEqual(100 * mega - 1);
        }
      }),
    );
  });
});
