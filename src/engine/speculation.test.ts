import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../sampling/random.ts";
import { createOdds, createSpeculation } from "./speculation.ts";

/** Decodes until `total` seconds of plain decoding are done; returns the time it took with speculation. */
function simulate(options: {
  cost: (rows: number) => number;
  chance: number;
  guessed: number;
  tokens: number;
  seed?: number;
  believed?: number;
}) {
  const { cost, chance, guessed, tokens, seed = 1, believed } = options;
  const random = createRandom(seed);
  const speculation = createSpeculation();
  const odds = createOdds();
  let made = 0;
  let seconds = 0;
  while (made < tokens) {
    const there = random.uniform() < guessed;
    const guess = { length: there ? 15 : 0, chance: believed ?? odds.of(4) };
    const drafted = speculation.choose([guess], 64)[0]!;
    let right = 0;
    while (right < drafted && random.uniform() < chance) right++;
    if (drafted > 0) odds.add(4, drafted, right);
    else if (there) odds.add(4, 1, random.uniform() < chance ? 1 : 0);
    seconds += cost(1 + drafted);
    made += 1 + right;
    speculation.passed(1 + drafted, 1, 1 + right, cost(1 + drafted));
  }
  return { ratio: seconds / (made * cost(1)), made };
}

describe("speculation", () => {
  it("loses at most a few percent, whatever rows cost and however bad the guesses are", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1.5, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 1000 }),
        (slope, chance, guessed, seed) => {
          const { ratio } = simulate({ cost: (rows) => 1 + slope * (rows - 1), chance, guessed, seed, tokens: 400 });
          expect(ratio).toBeLessThan(1.03);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("is bounded by its credit even when it believes in what is never right", () => {
    const { ratio } = simulate({ cost: (rows) => rows, chance: 0, guessed: 1, believed: 0.99, tokens: 400 });
    expect(ratio).toBeLessThan(1.03);
  });

  it("gains most of what there is to gain", () => {
    // Rows that cost next to nothing and guesses that hold: 16 tokens a pass are possible.
    expect(
      simulate({ cost: (rows) => 1 + 0.02 * (rows - 1), chance: 0.95, guessed: 1, tokens: 600 }).ratio,
    ).toBeLessThan(0.2);
    // Each row costs half a pass: with 0.9, a draft of 3 gives 3.4 tokens for 2.5.
    expect(simulate({ cost: (rows) => 1 + 0.5 * (rows - 1), chance: 0.9, guessed: 1, tokens: 600 }).ratio).toBeLessThan(
      0.82,
    );
  });

  it("drafts nothing when each row costs as much as a pass", () => {
    const { ratio } = simulate({ cost: (rows) => rows, chance: 0.9, guessed: 1, tokens: 400 });
    expect(ratio).toBeLessThan(1.02);
  });

  it("keeps within the rows of a batch, the guesses, and draftTokens", () => {
    const speculation = createSpeculation({ always: true, draftTokens: 6 });
    const guesses = [9, 2, 0].map((length) => ({ length, chance: 0.5 }));
    expect(speculation.choose(guesses, 64)).toEqual([6, 2, 0]);
    expect(speculation.choose(guesses, 12)).toEqual([3, 2, 0]);
    expect(speculation.choose(guesses, 3)).toEqual([0, 0, 0]);
    expect(speculation.choose([], 8)).toEqual([]);
  });
});

describe("odds", () => {
  it("come to what is true, for each length of match", () => {
    const odds = createOdds();
    const random = createRandom(3);
    for (let i = 0; i < 400; i++) {
      odds.add(2, 1, random.uniform() < 0.1 ? 1 : 0);
      let right = 0;
      while (right < 5 && random.uniform() < 0.9) right++;
      odds.add(16, 5, right);
    }
    expect(odds.of(2)).toBeLessThan(0.3);
    expect(odds.of(16)).toBeGreaterThan(0.8);
    expect(odds.of(16)).toBeLessThan(1);
  });
});
