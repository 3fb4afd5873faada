import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planMemory, shareBudget } from "./budget.ts";

const mega = 2 ** 20;
const demand = {
  ...{ path: "m.gguf", kept: 100 * mega, experts: 4000 * mega, largestExpert: 10 * mega, used: 2, cache: 50 * mega },
  activations: mega / 4,
};

describe("a budget of memory", () => {
  it("has room for all that is planned with it, and the least is enough, however large an expert is beside a token", () => {
    const megabytes = fc.integer({ min: 1, max: 6000 });
    fc.assert(
      fc.property(
        megabytes,
        fc.constantFrom(1, 10, 600),
        fc.constantFrom(undefined, 1, 100),
        (size, expert, batchTokens) => {
          const [budget, of] = [size * mega, { ...demand, largestExpert: expert * mega }];
          let plan: ReturnType<typeof planMemory>;
          try {
            plan = planMemory(of, { budget, batchTokens });
          } catch (error) {
            const { needed } = (error as { details: { needed: number } }).details;
            expect(needed).toBeGreaterThan(budget);
            expect(planMemory(of, { budget: needed, batchTokens }).streamed).toBe(true);
            return;
          }
          const experts = plan.streamed ? plan.experts : demand.experts;
          expect(demand.kept + demand.cache + plan.batchTokens * demand.activations + experts).toBeLessThan(budget);
          expect(experts).toBeGreaterThanOrEqual(plan.least);
        },
      ),
    );
  });

  it("lets a prompt of the usual length be one chunk where four tenths of the memory are enough for it", () => {
    const chunk = (megabytes: number) => planMemory(demand, { budget: megabytes * mega }).batchTokens;
    expect(chunk(1020)).toBe(1024);
    expect(chunk(700)).toBeLessThan(700);
    expect(chunk(700)).toBeGreaterThan(300);
    // An eighth is more.
    expect(chunk(3600)).toBeGreaterThan(1500);
  });

  it("says what the least is made of", () => {
    expect(() => planMemory(demand, { budget: 300 * mega })).toThrow(
      /^m\.gguf: 315 MB of memory may be used, and \d\d\d MB is the least: 105 MB of weights that every token needs, 52\.4 MB for keys and values, 2 experts of \d+\.\d+ MB, \d+\.?\d* MB of activations, 210 MB for the program: allow more/,
    );
    expect(() => planMemory({ ...demand, standIns: 50 * mega }, { budget: 300 * mega })).toThrow(
      /every token needs, 52\.4 MB of experts that stand in, 52\.4 MB for keys/,
    );
    expect(() => planMemory(demand, { budget: 300 * mega, allowed: 400 * mega })).toThrow(
      "315 MB of memory can be had now of the 419 MB that may be used, and",
    );
  });

  it("is shared by models: all of it, and no more than an equal part to whoever leaves others with less than they need", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 100, max: 5000 }), (needs, budget) => {
        const shares = shareBudget(needs, budget);
        const sum = shares.reduce((total, share) => total + share, 0);
        expect(sum).toBeLessThanOrEqual(budget);
        expect(sum).toBeGreaterThan(budget - needs.length);
        const fits = needs.reduce((total, need) => total + need, 0) <= budget;
        for (const [i, need] of needs.entries()) {
          expect(shares[i]).toBeGreaterThanOrEqual(fits ? need : Math.min(need, Math.floor(budget / needs.length)));
        }
      }),
    );
    expect(shareBudget([50, 900, 900], 1000)).toEqual([50, 475, 475]);
  });
});
