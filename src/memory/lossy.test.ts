import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkLossy, type LossyRouting, loseRouting } from "./lossy.ts";

const [rows, experts, used] = [3, 6, 2];

/** The usual routing of logits, and what is lost of it. */
function route(logits: readonly number[], renormalize: boolean, resident: readonly boolean[], lossy: LossyRouting) {
  const probabilities = new Float32Array(rows * experts);
  const [chosen, weights] = [new Float32Array(rows * used), new Float32Array(rows * used)];
  for (let row = 0; row < rows; row++) {
    const own = logits.slice(row * experts, (row + 1) * experts).map(Math.exp);
    const sum = own.reduce((total, each) => total + each, 0);
    own.forEach((each, i) => {
      probabilities[row * experts + i] = each / sum;
    });
    const of = probabilities.subarray(row * experts, (row + 1) * experts);
    const best = own.map((_, i) => i).sort((a, b) => of[b]! - of[a]!);
    const total = best.slice(0, used).reduce((all, i) => all + of[i]!, 0);
    for (let i = 0; i < used; i++) {
      chosen[row * used + i] = best[i]!;
      weights[row * used + i] = of[best[i]!]! / (renormalize ? total : 1);
    }
  }
  const usual = { chosen: [...chosen], weights: [...weights] };
  const lost = loseRouting({ rows, used, renormalize, probabilities, chosen, weights }, resident, lossy);
  return { lost, probabilities, usual, chosen: [...chosen], weights: [...weights] };
}

const logits = fc.array(fc.float({ min: -3, max: 3, noNaN: true }), {
  minLength: rows * experts,
  maxLength: rows * experts,
});
const residents = fc.array(fc.boolean(), { minLength: experts, maxLength: experts });
const any = (check: (logits: number[], renormalize: boolean, resident: boolean[]) => void) =>
  fc.assert(fc.property(logits, fc.boolean(), residents, check), { numRuns: 50 });

describe("routing that loses something", () => {
  it("is the usual one where nothing is to be lost, and where all that is chosen is in memory", () => {
    any((logits, renormalize, resident) => {
      const none = route(logits, renormalize, resident, {});
      expect(none.chosen).toEqual(none.usual.chosen);
      expect(none.lost).toEqual({ changed: 0, leftOut: 0 });
      for (const [i, each] of none.weights.entries()) expect(each).toBeCloseTo(none.usual.weights[i]!, 6);
      const all = route(logits, renormalize, Array(experts).fill(true), { preferResident: 5, skipSecond: 1 });
      expect([all.chosen, all.weights]).toEqual([all.usual.chosen, all.usual.weights]);
    });
  });

  it("takes experts in memory where others are not likelier by more than is asked for, with their own weights", () => {
    any((logits, renormalize, resident) => {
      const { lost, usual, probabilities, chosen, weights } = route(logits, renormalize, resident, {
        preferResident: 1,
      });
      const others = chosen.filter((each, i) => {
        const row = i - (i % used);
        return !usual.chosen.slice(row, row + used).includes(each);
      });
      expect(lost).toEqual({ changed: others.length, leftOut: 0 });
      for (let row = 0; row < rows; row++) {
        const of = (expert: number) => probabilities[row * experts + expert]!;
        const own = chosen.slice(row * used, (row + 1) * used);
        const total = renormalize ? own.reduce((sum, each) => sum + of(each), 0) : 1;
        for (const [i, each] of own.entries()) expect(weights[row * used + i]).toBeCloseTo(of(each) / total, 5);
        for (let other = 0; other < experts; other++) {
          if (own.includes(other)) continue;
          const gain = (expert: number) => Math.log(of(expert)) + (resident[expert] ? 1 : 0);
          for (const each of own) expect(gain(other)).toBeLessThanOrEqual(gain(each) + 1e-5);
        }
      }
    });
  });

  it("leaves out an absent second expert of little weight, and no other", () => {
    const least = 0.4;
    any((logits, renormalize, resident) => {
      const { lost, usual, probabilities, chosen, weights } = route(logits, renormalize, resident, {
        skipSecond: least,
      });
      let leftOut = 0;
      for (let row = 0; row < rows; row++) {
        const [first, second] = usual.chosen.slice(row * used, (row + 1) * used) as [number, number];
        const of = (expert: number) => probabilities[row * experts + expert]!;
        const others = resident.flatMap((there, each) => (there && each !== first && each !== second ? [each] : []));
        const out = !resident[second] && of(second) < least * (of(first) + of(second)) && others.length > 0;
        leftOut += out ? 1 : 0;
        expect(chosen[row * used]).toBe(first);
        expect(chosen[row * used + 1]).toBe(out ? others[0] : second);
        if (out)
          expect(weights.slice(row * used, (row + 1) * used)).toEqual([renormalize ? 1 : usual.weights[row * used], 0]);
      }
      expect(lost).toEqual({ changed: 0, leftOut });
    });
  });

  it("is asked for by names that exist, within bounds", () => {
    expect(() => checkLossy({ preferResident: -1 })).toThrow(
      "lossy.preferResident is -1, expected a number from 0 to 100",
    );
    expect(() => checkLossy({ skipSecond: 1.5 })).toThrow("lossy.skipSecond is 1.5");
    expect(() => checkLossy({ skipThird: 1 } as object)).toThrow("skipThird");
    expect(() => checkLossy({ standIn: 2 } as object)).toThrow(/lossy\.standIn is .*2/);
  });
});
