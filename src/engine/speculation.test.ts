import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../sampling/random.ts";
import { createOdds } from "./odds.ts";
import { createSpeculation } from "./speculation.ts";

const powers = (chance: number, length: number) => Array.from({ length }, (_, i) => chance ** (i + 1));

/** Decodes `tokens`; returns the time it took with speculation as a share of what it takes without. */
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
  const odds = createOdds([0.4]);
  let made = 0;
  let seconds = 0;
  while (made < tokens) {
    const there = random.uniform() < guessed;
    const guess = powers(believed ?? odds.of(0), there ? 15 : 0);
    const drafted = speculation.choose([guess], 64)[0]!;
    let right = 0;
    while (right < drafted && random.uniform() < chance) right++;
    for (let i = 0; i < Math.min(drafted, right + 1); i++) odds.add(0, i < right);
    if (drafted === 0 && there) odds.add(0, random.uniform() < chance);
    seconds += cost(1 + drafted);
    made += 1 + right;
    const pass = { rows: 1 + drafted, sequences: 1, tokens: 1 + right, seconds: cost(1 + drafted) };
    speculation.passed({ ...pass, draftSteps: 0, draftSeconds: 0 });
  }
  return { ratio: seconds / (made * cost(1)), made };
}

/** The same with a model that drafts, a step of which takes `step`. */
function simulateModel(options: {
  cost: (rows: number) => number;
  step: number;
  chance: number;
  tokens: number;
  seed?: number;
}) {
  const { cost, step, chance, tokens, seed = 1 } = options;
  const random = createRandom(seed);
  const speculation = createSpeculation();
  const odds = createOdds([0.8]);
  let made = 0;
  let seconds = 0;
  let drafts = 0;
  while (made < tokens) {
    const guess: number[] = [];
    const hopes = () => [{ most: 15 - guess.length, chance: odds.of(0) }];
    let steps = 0;
    while (speculation.goesOn([guess], hopes(), steps, 64)) {
      guess.push((guess.at(-1) ?? 1) * odds.of(0));
      steps++;
    }
    if (steps === 0) odds.rest();
    else drafts++;
    const drafted = speculation.choose([guess], 64)[0]!;
    const rights = guess.map(() => random.uniform() < chance);
    const right = [...rights.slice(0, drafted), false].indexOf(false);
    for (let i = 0; i < Math.min(guess.length, Math.max(1, Math.min(drafted, right + 1))); i++) odds.add(0, rights[i]!);
    seconds += cost(1 + drafted) + steps * step;
    made += 1 + right;
    const pass = { rows: 1 + drafted, sequences: 1, tokens: 1 + right, seconds: cost(1 + drafted) };
    speculation.passed({ ...pass, draftSteps: steps, draftSeconds: steps * step });
  }
  return { ratio: seconds / (made * cost(1)), drafts };
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
    const guesses = [9, 2, 0].map((length) => powers(0.5, length));
    expect(speculation.choose(guesses, 64)).toEqual([6, 2, 0]);
    expect(speculation.choose(guesses, 12)).toEqual([3, 2, 0]);
    expect(speculation.choose(guesses, 3)).toEqual([0, 0, 0]);
    expect(speculation.choose([], 8)).toEqual([]);
  });
});

describe("speculation with a model that drafts", () => {
  it("loses at most a few percent, whatever rows and steps cost and however bad the drafts are", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1.5, noNaN: true }),
        fc.double({ min: 0, max: 2, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 1000 }),
        (slope, step, chance, seed) => {
          const { ratio } = simulateModel({ cost: (rows) => 1 + slope * (rows - 1), step, chance, seed, tokens: 600 });
          expect(ratio).toBeLessThan(1.04);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("gains most of what there is to gain", () => {
    // A sixteenth of the cost of a pass for each step, and unions of eight experts with two used.
    const cost = (rows: number) => 4 * (1 - 0.75 ** rows);
    const { ratio } = simulateModel({ cost, step: 0.06, chance: 0.95, tokens: 600 });
    // The best: 15 tokens for 0.9 + 3.96 passes, 11.2 right in the mean.
    expect(ratio).toBeLessThan(0.55);
  });

  it("drafts little where it does not pay, and tries again some day", () => {
    const { drafts, ratio } = simulateModel({ cost: (rows) => rows, step: 0.5, chance: 0.9, tokens: 2000 });
    expect(ratio).toBeLessThan(1.02);
    expect(drafts).toBeLessThan(60);
    // What was always wrong for a long time and is right from then on is found out.
    const odds = createOdds([0.8]);
    for (let i = 0; i < 1000; i++) odds.add(0, false);
    expect(odds.of(0)).toBeLessThan(0.01);
    for (let i = 0; i < 300; i++) odds.rest();
    expect(odds.of(0)).toBeGreaterThan(0.7);
  });

  it("has nothing drafted beyond the rows of a batch, the hopes and draftTokens", () => {
    const speculation = createSpeculation({ always: true, draftTokens: 3 });
    const hope = { chance: 0.9, most: 2 };
    expect(speculation.goesOn([[0.9]], [hope], 1, 64)).toBe(true);
    expect(speculation.goesOn([[0.9, 0.8, 0.7]], [hope], 3, 64)).toBe(false);
    expect(speculation.goesOn([[0.9]], [{ ...hope, most: 0 }], 1, 64)).toBe(false);
    expect(speculation.goesOn([[0.9]], [hope], 1, 2)).toBe(false);
  });
});

describe("odds", () => {
  it("come to what is true, for each kind", () => {
    const odds = createOdds([0.1, 0.7]);
    const random = createRandom(3);
    for (let i = 0; i < 400; i++) {
      odds.add(0, random.uniform() < 0.1);
      for (let right = true; right; ) {
        right = random.uniform() < 0.9;
        odds.add(9, right);
      }
    }
    expect(odds.of(0)).toBeLessThan(0.3);
    expect(odds.of(1)).toBeGreaterThan(0.8);
    expect(odds.of(1)).toBeLessThan(1);
  });
});
