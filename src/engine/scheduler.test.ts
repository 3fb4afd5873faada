import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nextBatch } from "./scheduler.ts";

const works = fc
  .array(fc.record({ pending: fc.integer({ min: 1, max: 300 }), waited: fc.nat(50) }), { minLength: 1, maxLength: 40 })
  .map((list) => list.map((work, id) => ({ id, ...work })));
const budgets = fc.record({ tokens: fc.integer({ min: 1, max: 600 }), prefill: fc.integer({ min: 1, max: 600 }) });

describe("nextBatch", () => {
  it("takes decode steps first, then a prompt's chunk", () => {
    const batch = nextBatch(
      [
        { id: 1, pending: 700, waited: 0 },
        { id: 2, pending: 1, waited: 0 },
        { id: 3, pending: 1, waited: 0 },
      ],
      { tokens: 512, prefill: 256 },
    );
    expect(batch).toEqual([
      { id: 2, count: 1 },
      { id: 3, count: 1 },
      { id: 1, count: 256 },
    ]);
  });

  it("shares a chunk among prompts, and gives what a short one leaves to the others", () => {
    const prompts = [500, 500, 40].map((pending, id) => ({ id, pending, waited: 0 }));
    expect(nextBatch(prompts, { tokens: 512, prefill: 240 })).toEqual([
      { id: 0, count: 100 },
      { id: 1, count: 100 },
      { id: 2, count: 40 },
    ]);
  });

  it("stays within its budget, takes nobody twice and no more than there is, and always something", () => {
    fc.assert(
      fc.property(works, budgets, (state, budget) => {
        const batch = nextBatch(state, budget);
        expect(batch.length).toBeGreaterThan(0);
        expect(new Set(batch.map(({ id }) => id)).size).toBe(batch.length);
        let total = 0;
        let prefill = 0;
        for (const { id, count } of batch) {
          const { pending } = state[id]!;
          expect(count).toBeGreaterThan(0);
          expect(count).toBeLessThanOrEqual(pending);
          total += count;
          if (pending > 1) prefill += count;
        }
        expect(total).toBeLessThanOrEqual(budget.tokens);
        expect(prefill).toBeLessThanOrEqual(budget.prefill);
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
