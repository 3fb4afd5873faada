import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createUnions, effectiveExperts, expectedUnion } from "./unions.ts";

/** What `rows` tokens ask for together, each `used` different ones of the first `alike` of all experts. */
function drawUnion(random: () => number, alike: number, used: number, rows: number): number {
  const union = new Set<number>();
  for (let row = 0; row < rows; row++) {
    const own = new Set<number>();
    while (own.size < used) own.add(Math.floor(random() * alike));
    for (const each of own) union.add(each);
  }
  return union.size;
}

/** Numerical Recipes' generator is random enough here. */
function createUniform(seed: number) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const shape = fc
  .record({ experts: fc.integer({ min: 2, max: 128 }), used: fc.integer({ min: 1, max: 8 }) })
  .filter(({ experts, used }) => used < experts);

describe("what tokens ask for together", () => {
  it("is what a token uses for one, at most all, and grows ever more slowly", () => {
    fc.assert(
      fc.property(shape, ({ experts, used }) => {
        const { of } = createUnions({ experts, used });
        expect(of(1)).toBeCloseTo(used);
        let growth = Number.POSITIVE_INFINITY;
        for (let rows = 2; rows < 40; rows++) {
          const more = of(rows) - of(rows - 1);
          expect(more).toBeGreaterThanOrEqual(0);
          expect(more).toBeLessThanOrEqual(growth + 1e-9);
          growth = more;
        }
        expect(of(10_000)).toBeLessThanOrEqual(experts);
      }),
    );
  });

  it("is 5.5 of eight for four tokens with two each, as drawing says too", () => {
    const random = createUniform(7);
    let sum = 0;
    for (let i = 0; i < 4000; i++) sum += drawUnion(random, 8, 2, 4);
    expect(sum / 4000).toBeCloseTo(expectedUnion(8, 2, 4), 1);
    expect(expectedUnion(8, 2, 4)).toBeCloseTo(5.47, 2);
  });

  it("tells how many experts it is as if there were", () => {
    fc.assert(
      fc.property(
        shape,
        fc.integer({ min: 2, max: 16 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (all, rows, part) => {
          const { experts, used } = all;
          const alike = used + part * (experts - used);
          const found = effectiveExperts(experts, used, rows, expectedUnion(alike, used, rows));
          // Where a union is nearly all, many numbers of experts give it.
          expect(expectedUnion(found, used, rows)).toBeCloseTo(expectedUnion(alike, used, rows), 6);
        },
      ),
    );
  });

  it("is learnt where neighbours choose alike", () => {
    const random = createUniform(3);
    const unions = createUnions({ experts: 8, used: 2 });
    for (let i = 0; i < 400; i++) {
      let sum = 0;
      for (let layer = 0; layer < 32; layer++) sum += drawUnion(random, 4, 2, 2);
      unions.add(2, sum / 32);
    }
    // Never told of more than two tokens.
    expect(unions.of(2)).toBeCloseTo(expectedUnion(4, 2, 2), 1);
    expect(unions.of(6)).toBeCloseTo(expectedUnion(4, 2, 6), 0);
  });

  it("stays within its bounds whatever it is told", () => {
    fc.assert(
      fc.property(
        shape,
        fc.array(fc.tuple(fc.integer({ min: 2, max: 16 }), fc.double({ min: 0, max: 200, noNaN: true }))),
        (all, told) => {
          const unions = createUnions(all);
          for (const [rows, union] of told) unions.add(rows, union);
          expect(unions.of(1)).toBeCloseTo(all.used);
          expect(unions.of(16)).toBeGreaterThanOrEqual(all.used - 1e-9);
          expect(unions.of(16)).toBeLessThanOrEqual(all.experts);
        },
      ),
    );
  });
});
