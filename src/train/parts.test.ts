import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reckon } from "./budget.ts";
import type { TrainModel } from "./config.ts";
import { describeUse } from "./expert-use.ts";
import { plotCurves } from "./loss-plot.ts";
import { countParameters, drawValues, parameterSpecs } from "./parameters.ts";
import { rateAt } from "./schedule.ts";

const model: TrainModel = {
  ...{ architecture: "grok", name: "m", layers: 3, width: 64, heads: 4, kvHeads: 2, headSize: 16 },
  ...{ experts: 8, used: 2, hidden: 32, context: 32, ropeBase: 10_000 },
};

describe("first values", () => {
  it("are normal with the published deviations, and ones for gains", () => {
    const base = Math.sqrt(2 / (5 * 64));
    const expected: Record<string, number> = {
      "token_embd.weight": 1 / 8,
      "blk.1.attn_q.weight": base,
      "blk.1.attn_output.weight": base / Math.sqrt(6),
      "blk.1.ffn_gate_exps.weight": base,
      "blk.1.ffn_down_exps.weight": base / Math.sqrt(6),
    };
    for (const spec of parameterSpecs(model, 500)) {
      const values = drawValues(spec, 7);
      if (spec.shape.length === 1) expect(new Set(values)).toEqual(new Set([1]));
      const deviation = expected[spec.name];
      if (deviation === undefined) continue;
      const n = values.length;
      const mean = values.reduce((sum, value) => sum + value, 0) / n;
      const moment = (power: number) => values.reduce((sum, value) => sum + (value / deviation) ** power, 0) / n;
      // Five standard errors of each estimate, for a normal distribution.
      expect(Math.abs(mean / deviation)).toBeLessThan(5 / Math.sqrt(n));
      expect(Math.abs(moment(2) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
      expect(Math.abs(moment(4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
    }
  });

  it("depend on seed and name alone", () => {
    const [first, , , other] = parameterSpecs(model, 100).filter(({ deviation }) => deviation !== undefined);
    expect(drawValues(first!, 1)).toEqual(drawValues(first!, 1));
    expect(drawValues(first!, 1)).not.toEqual(drawValues(first!, 2));
    expect(drawValues({ ...first!, name: other!.name }, 1)).not.toEqual(drawValues(first!, 1));
  });

  it("are as many as the model's parts, counted by hand", () => {
    const layer = 4 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 8 * 64 + 8 * 3 * 32 * 64;
    expect(countParameters(model, 500)).toEqual({
      all: 500 * 64 + 64 + 3 * layer,
      used: 500 * 64 + 64 + 3 * (layer - 6 * 3 * 32 * 64),
    });
  });
});

describe("the schedule", () => {
  it("climbs evenly, then falls along a cosine to its share", () => {
    const optimizer = { rate: 1, warmup: 10, finalShare: 0.1 };
    const rates = Array.from({ length: 110 }, (_, i) => rateAt(i + 1, 110, optimizer));
    expect(rates[0]).toBeCloseTo(0.1, 12);
    expect(rates[4]).toBeCloseTo(0.5, 12);
    expect(rates[9]).toBe(1);
    expect(rates[59]).toBeCloseTo(0.55, 12);
    expect(rates[109]).toBeCloseTo(0.1, 12);
    expect(rates.slice(9).every((rate, i, all) => i === 0 || rate < all[i - 1]!)).toBe(true);
  });

  it("stays between 0 and its highest rate for any settings", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (steps, warmShare, finalShare) => {
          const optimizer = { rate: 6e-4, warmup: Math.floor(warmShare * steps), finalShare };
          for (let step = 1; step <= steps; step++) {
            const rate = rateAt(step, steps, optimizer);
            if (!(rate >= 0 && rate <= 6e-4 * (1 + 1e-12))) return false;
          }
          return true;
        },
      ),
    );
  });
});

describe("the budget", () => {
  it("finds the size whose 20 tokens a used parameter take just that long at this machine's compute", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 100, noNaN: true }),
        fc.integer({ min: 100, max: 1e6 }),
        fc.integer({ min: 60, max: 1e6 }),
        fc.integer({ min: 1000, max: 1e9 }),
        (secondsAStep, tokensAStep, budget, used) => {
          const found = reckon(
            { steps: 10 },
            { all: 3 * used, used },
            { budget, secondsAStep, tokensAStep, scored: 0 },
          );
          const { optimal } = found;
          const secondsAToken = (secondsAStep / tokensAStep) * (optimal.used / used);
          expect(optimal.tokens / optimal.used).toBeCloseTo(20, 9);
          expect((optimal.tokens * secondsAToken) / budget).toBeCloseTo(1, 9);
          expect(optimal.all / optimal.used).toBeCloseTo(3, 9);
        },
      ),
    );
  });
});

describe("the report of expert use", () => {
  it("tells even from uneven use and finds who is idle", () => {
    expect(describeUse([5, 5, 5, 5], 2)).toEqual({
      imbalance: 1,
      unused: 0,
      shares: [
        [0.5, 0.5],
        [0.5, 0.5],
      ],
    });
    expect(describeUse([1, 1, 1, 1, 0, 6, 1, 1], 2)).toMatchObject({ imbalance: 3, unused: 1 });
  });
});

describe("the loss plot", () => {
  it("puts points where their values are, under names that cannot break the picture", () => {
    const picture = plotCurves("a < b & c", "bits", [
      { name: "training", points: [0, 1, 2, 3, 4].map((step) => ({ step, value: 10 - 2 * step })) },
      { name: '<script>"', points: [{ step: 4, value: 6 }] },
    ]);
    expect(picture).toContain("a &#60; b &#38; c");
    expect(picture).not.toContain("<script>");
    const [line, dot] = [...picture.matchAll(/points="([^"]*)"/g)].map((match) =>
      match[1]!.split(" ").map((pair) => pair.split(",").map(Number)),
    );
    // Straight: x and y in equal steps; y grows downwards.
    for (let i = 1; i < 5; i++) {
      expect(line![i]![0]! - line![i - 1]![0]!).toBeCloseTo(line![1]![0]! - line![0]![0]!, 0);
      expect(line![i]![1]! - line![i - 1]![1]!).toBeCloseTo(line![1]![1]! - line![0]![1]!, 0);
    }
    expect(line![1]![1]).toBeGreaterThan(line![0]![1]!);
    expect(dot![0]).toEqual([line![4]![0], line![2]![1]]);
  });

  it("is a picture of any data: none, one point, equal values, thousands of steps", () => {
    const many = Array.from({ length: 5000 }, (_, step) => ({ step, value: Math.sin(step) }));
    for (const points of [[], [{ step: 3, value: 2 }], [1, 2].map((step) => ({ step, value: 5 })), many]) {
      const picture = plotCurves("t", "u", [{ name: "n", points }]);
      expect(picture).not.toMatch(/NaN|Infinity|undefined/);
      expect(picture.length).toBeLessThan(30_000);
    }
  });
});
