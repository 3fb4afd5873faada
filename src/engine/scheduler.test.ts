import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nextBatch } from "./scheduler.ts";

const works = fc
  .array(
    fc.record({
      pending: fc.integer({ min: 1, max: 300 }),
      last: fc.boolean(),
      background: fc.boolean(),
      waited: fc.nat(50),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((list) => list.map(({ last, ...work }, id) => ({ id, quiet: last ? work.pending - 1 : 0, ...work })));
const budgets = fc.record({
  tokens: fc.integer({ min: 1, max: 600 }),
  prefill: fc.integer({ min: 1, max: 600 }),
  rows: fc.integer({ min: 2, max: 600 }),
  background: fc.integer({ min: 1, max: 100 }),
});
const plenty = { rows: 1000, background: 1000 };
const prompt = (id: number, pending: number) => ({ id, pending, quiet: pending - 1, background: false, waited: 0 });

describe("nextBatch", () => {
  it("takes decode steps first, then a prompt's chunk", () => {
    const batch = nextBatch([prompt(1, 700), prompt(2, 1), prompt(3, 1)], { tokens: 512, prefill: 256, ...plenty });
    expect(batch).toEqual([
      { id: 2, count: 1 },
      { id: 3, count: 1 },
      { id: 1, count: 256 },
    ]);
  });

  it("shares a chunk among prompts, and gives what a short one leaves to the others", () => {
    const prompts = [500, 500, 40].map((pending, id) => prompt(id, pending));
    expect(nextBatch(prompts, { tokens: 512, prefill: 240, ...plenty })).toEqual([
      { id: 0, count: 100 },
      { id: 1, count: 100 },
      { id: 2, count: 40 },
    ]);
  });

  it("gives background work what the budget leaves it beside decode steps, and all without", () => {
    const scored = { id: 9, pending: 400, quiet: 0, background: true, waited: 5 };
    const budget = { tokens: 512, prefill: 512, rows: 300, background: 7 };
    expect(nextBatch([prompt(1, 1), scored], budget)).toEqual([
      { id: 1, count: 1 },
      { id: 9, count: 7 },
    ]);
    expect(nextBatch([prompt(1, 1), scored], { ...budget, background: 0 })).toEqual([{ id: 1, count: 1 }]);
    expect(nextBatch([scored], budget)).toEqual([{ id: 9, count: 300 }]);
  });

  it("stays within its budget, takes nobody twice and no more than there is, and always something", () => {
    fc.assert(
      fc.property(works, budgets, (state, budget) => {
        const batch = nextBatch(state, budget);
        expect(batch.length).toBeGreaterThan(0);
        expect(new Set(batch.map(({ id }) => id)).size).toBe(batch.length);
        let total = 0;
        let prefill = 0;
        let rows = 0;
        let background = 0;
        let decodes = 0;
        for (const { id, count } of batch) {
          const { pending, quiet, background: behind } = state[id]!;
          expect(count).toBeGreaterThan(0);
          expect(count).toBeLessThanOrEqual(pending);
          total += count;
          rows += Math.max(0, count - quiet);
          if (behind) background += count;
          else if (pending === 1) decodes++;
          if (pending > 1 || behind) prefill += count;
        }
        expect(total).toBeLessThanOrEqual(budget.tokens);
        expect(prefill).toBeLessThanOrEqual(budget.prefill);
        expect(rows).toBeLessThanOrEqual(budget.rows);
        if (decodes > 0) expect(background).toBeLessThanOrEqual(budget.background);
      }),
    );
  });

  it("lets nobody starve", () => {
    fc.assert(
      fc.property(works, budgets, (state, budget) => {
        let current = state.map((work) => ({ ...work, waited: 0 }));
        const served = new Set<number>();
        // Nothing ever finishes: decodes stay decodes, prompts stay prompts. Each must still get its turn.
        for (let pass = 0; pass < 4 * state.length + 4; pass++) {
          const batch = new Set(nextBatch(current, budget).map(({ id }) => id));
          for (const id of batch) served.add(id);
          current = current.map((work) => ({ ...work, waited: batch.has(work.id) ? 0 : work.waited + 1 }));
        }
        expect(served.size).toBe(state.length);
      }),
      { numRuns: 50 },
    );
  });
});
