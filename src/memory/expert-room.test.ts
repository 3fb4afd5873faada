import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planMemory } from "./budget.ts";
import { expertRoom, scratchRows } from "./expert-room.ts";

const mega = 2 ** 20;
const demand = {
  ...{ path: "m.gguf", kept: 100 * mega, experts: 4000 * mega, largestExpert: 10 * mega, used: 2, cache: 50 * mega },
  activations: mega / 4,
};

describe("the room of activations", () => {
  it("is given back once it is four times what a pass needs, and not for a few tokens more or less", () => {
    expect(scratchRows(0, 1)).toBe(32);
    expect([33, 100, 300, 1024].map((tokens) => scratchRows(32, tokens))).toEqual([64, 128, 512, 1024]);
    expect([300, 256, 1].map((tokens) => scratchRows(1024, tokens))).toEqual([1024, 256, 32]);
    fc.assert(
      fc.property(fc.integer({ min: 5, max: 13 }), fc.integer({ min: 1, max: 5000 }), (power, tokens) => {
        const rows = scratchRows(2 ** power, tokens);
        expect(rows).toBeGreaterThanOrEqual(tokens);
        expect(scratchRows(rows, tokens)).toBe(rows);
      }),
    );
  });

  it("is lent to experts as long as nobody needs it, inside the budget for every pass", () => {
    const megabytes = fc.integer({ min: 400, max: 4000 });
    fc.assert(
      fc.property(megabytes, fc.array(fc.integer({ min: 1, max: 4096 }), { minLength: 1 }), (size, passes) => {
        const budget = size * mega;
        const plan = { ...planMemory(demand, { budget }), budget };
        let rows = 0;
        for (const tokens of passes.map((each) => Math.min(each, plan.batchTokens))) {
          rows = scratchRows(rows, tokens);
          const room = expertRoom(plan, rows, undefined);
          const activations = tokens * demand.activations;
          expect(demand.kept + demand.cache + activations + room).toBeLessThanOrEqual(budget);
          expect(room).toBeGreaterThanOrEqual(plan.experts);
        }
        expect(expertRoom(plan, 32, undefined)).toBe(plan.experts + (plan.batchTokens - 32) * demand.activations);
      }),
    );
  });

  it("grows by what was measured to be free, less what the pass takes of it, and never below what was planned; not of a small budget", () => {
    const budget = 2000 * mega;
    const plan = { ...planMemory(demand, { budget }), budget };
    const room = (others: number, rows: number, free = 10_000 * mega) =>
      expertRoom(plan, rows, { others: others * mega, rows: 32, room: free });
    expect(room(200, 32)).toBeCloseTo(0.98 * budget - 200 * mega, -1);
    expect(room(200, 32) - room(200, 256)).toBeCloseTo((256 - 32) * demand.activations, -1);
    expect(room(200, 32, 1500 * mega)).toBe(Math.max(1500 * mega, expertRoom(plan, 32, undefined)));
    expect(room(1900, 32)).toBe(expertRoom(plan, 32, undefined));
    const small = { ...planMemory(demand, { budget: 1000 * mega }), budget: 1000 * mega };
    const free = { others: 0, rows: 32, room: budget };
    expect(expertRoom(small, 32, free)).toBe(expertRoom(small, 32, undefined));
  });
});
