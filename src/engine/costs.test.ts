import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createUnions, expectedUnion } from "../memory/unions.ts";
import { createUnionCosts } from "./costs.ts";
import { createSpeculation } from "./speculation.ts";

const plainPass = (seconds: number) => ({ rows: 1, sequences: 1, tokens: 1, seconds, draftSteps: 0, draftSeconds: 0 });
/** Of 15 tokens, each right with a chance where those before it are. */
const powers = (chance: number) => Array.from({ length: 15 }, (_, i) => chance ** (i + 1));

/** What is drafted of 15 tokens, each right with `chance`, once passes are known to take time by the experts that they ask for. */
function decide({ experts, used, chance }: { experts: number; used: number; chance: number }): number {
  const speculation = createSpeculation({}, createUnionCosts(createUnions({ experts, used })));
  // So many that every draft can be paid for.
  for (let i = 0; i < 4000; i++) speculation.passed(plainPass(used));
  return speculation.choose([powers(chance)], 64)[0]!;
}

/** Tokens that a pass gives when `drafted` are verified. */
const given = (chance: number, drafted: number) =>
  Array.from({ length: drafted + 1 }, (_, i) => chance ** i).reduce((sum, each) => sum + each, 0);

describe("drafts where experts are read as they are needed", () => {
  const mixture = fc
    .record({
      experts: fc.integer({ min: 2, max: 64 }),
      used: fc.integer({ min: 1, max: 8 }),
      chance: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    .filter(({ experts, used }) => used < experts);

  it("are taken only where a token then asks for fewer experts, and as many as let it ask for the fewest", () => {
    fc.assert(
      fc.property(mixture, ({ experts, used, chance }) => {
        const each = (drafted: number) => expectedUnion(experts, used, drafted + 1) / given(chance, drafted);
        const drafted = decide({ experts, used, chance });
        const best = Math.min(...Array.from({ length: 16 }, (_, i) => each(i)));
        if (drafted > 0) expect(each(drafted)).toBeLessThan(used);
        // A gain of a few percent is not worth being wrong about.
        expect(each(drafted)).toBeLessThanOrEqual(1.04 * best);
      }),
    );
  });

  it("have to be likely in a mixture of many experts, less so where neighbours choose alike", () => {
    const unlike = { experts: 128, used: 2 };
    expect(decide({ ...unlike, chance: 0.9 })).toBe(0);
    expect(decide({ experts: 8, used: 2, chance: 0.9 })).toBe(15);
    expect(decide({ experts: 8, used: 2, chance: 0.6 })).toBe(0);
    // As when all tokens choose among four.
    const unions = createUnions(unlike);
    for (let i = 0; i < 300; i++) unions.add(2, expectedUnion(4, 2, 2));
    const speculation = createSpeculation({}, createUnionCosts(unions));
    for (let i = 0; i < 4000; i++) speculation.passed(plainPass(2));
    expect(speculation.choose([powers(0.9)], 64)[0]).toBeGreaterThan(4);
  });
});
