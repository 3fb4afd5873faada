import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planMemory, shareBudget } from "./budget.ts";

const mega = 2 ** 20;
const demand = {
  ...{ path: "m.gguf", kept: 100 * mega, experts: 4000 * mega, largestExpert: 10 * mega, used: 2, cache: 50 * mega },
  activations: mega / 4,
};

describe("a budget of memory", () => {
  it("has room for all that is planned with it, and the least is enough", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6000 }), (megabytes) => {
        const budget = megabytes * mega;
        let plan: ReturnType<typeof planMemory>;
        try {
          plan = planMemory(demand, { budget });
        } catch (error) {
          const { needed } = (error as { details: { needed: number } }).details;
          expect(needed).toBeGreaterThan(budget);
          expect(planMemory(demand, { budget: needed }).streamed).toBe(true);
          return;
        }
        const experts = plan.streamed ? plan.experts : demand.experts;
        expect(demand.kept + demand.cache + plan.batchTokens * demand.activations + experts).toBeLessThan(budget);
        expect(experts).toBeGreaterThanOrEqual(plan.least);
      }),
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
