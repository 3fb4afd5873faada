import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { advanceBeams, type BeamOptions, beamScore, finishBeams, type Hypothesis, startBeams } from "./beam.ts";

/** A model that looks at the last token only: row t holds the logits after token t. */
type Table = readonly (readonly number[])[];

function search(table: Table, first: number, options: Partial<BeamOptions>): readonly Hypothesis[] {
  const rows = table.map((row) => Float64Array.from(row));
  let state = startBeams(options);
  while (!state.done)
    state = advanceBeams(
      state,
      state.open.map((beam) => rows[beam.tokens.at(-1) ?? first]!),
    );
  return state.finished;
}

/** Every text there is, best first. */
function enumerate(table: Table, first: number, end: number, maxTokens: number, alpha: number): Hypothesis[] {
  const logprobs = table.map((row) => {
    const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
    return row.map((x) => x - total);
  });
  const found: Hypothesis[] = [];
  const visit = (tokens: number[], logprob: number) => {
    if (tokens.at(-1) === end || tokens.length === maxTokens) {
      found.push({ tokens, logprob, score: logprob / ((5 + tokens.length) / 6) ** alpha });
      return;
    }
    const row = logprobs[tokens.at(-1) ?? first]!;
    row.forEach((x, token) => {
      visit([...tokens, token], logprob + x);
    });
  };
  visit([], 0);
  return found.sort((a, b) => b.score - a.score);
}

describe("against Hugging Face's beam search (test/oracles/make_sampling_vectors.py)", () => {
  interface Case {
    table: number[][];
    first: number;
    end: number;
    earlyStopping: boolean;
    maxTokens: number;
    beams: number;
    sequences: { tokens: number[]; logprob: number }[];
  }
  const cases = JSON.parse(
    readFileSync(new URL("../../test/vectors/sampling/beams.json", import.meta.url), "utf8"),
  ) as Case[];

  test.each(cases.map((each, n) => [n, each] as const))(
    "case %i",
    (_, { table, first, end, sequences, ...options }) => {
      const logits = table.map((row) => row.map((x) => x / 1024));
      const found = search(logits, first, { ...options, lengthPenalty: 0, endTokens: new Set([end]) });
      expect(found.map(({ tokens }) => tokens)).toEqual(sequences.map(({ tokens }) => tokens));
      found.forEach(({ logprob }, n) => {
        expect(logprob).toBeCloseTo(sequences[n]!.logprob, 4);
      });
    },
  );
});

describe("against every text there is", () => {
  const tables = fc.array(
    fc.array(
      fc.integer({ min: -400, max: 400 }).map((x) => x / 100),
      { minLength: 3, maxLength: 3 },
    ),
    {
      minLength: 3,
      maxLength: 3,
    },
  );

  test("beams enough for all texts find the best ones, whatever the length penalty", () => {
    fc.assert(
      fc.property(tables, fc.constantFrom(0, 0.6, 1, 2), (table, lengthPenalty) => {
        const beams = 81;
        const found = search(table, 1, {
          beams,
          lengthPenalty,
          maxTokens: 4,
          endTokens: new Set([0]),
          earlyStopping: "never",
        });
        const expected = enumerate(table, 1, 0, 4, lengthPenalty);
        expect(found.length).toBe(expected.length);
        found.forEach(({ score }, n) => {
          expect(score).toBeCloseTo(expected[n]!.score, 9);
        });
      }),
      { numRuns: 60 },
    );
  });

  test("one beam is greedy search", () => {
    fc.assert(
      fc.property(tables, (table) => {
        const tokens: number[] = [];
        while (tokens.length < 5 && tokens.at(-1) !== 0) {
          const row = table[tokens.at(-1) ?? 1]!;
          tokens.push(row.indexOf(Math.max(...row)));
        }
        const found = search(table, 1, { beams: 1, maxTokens: 5, endTokens: new Set([0]), earlyStopping: true });
        expect(found.map((each) => each.tokens)).toEqual([tokens]);
      }),
    );
  });

  test("stopping later never finds worse", () => {
    fc.assert(
      fc.property(tables, fc.constantFrom(0, 0.6, 2), (table, lengthPenalty) => {
        const best = ([true, false, "never"] as const).map(
          (earlyStopping) =>
            search(table, 1, { beams: 2, lengthPenalty, maxTokens: 6, endTokens: new Set([0]), earlyStopping })[0]!
              .score,
        );
        expect(best[1]).toBeGreaterThanOrEqual(best[0]! - 1e-12);
        expect(best[2]).toBeGreaterThanOrEqual(best[1]! - 1e-12);
      }),
    );
  });
});

test("the length penalty is GNMT's", () => {
  expect(beamScore(-6, 1, 0.7)).toBe(-6);
  expect(beamScore(-6, 7, 1)).toBe(-3);
  expect(beamScore(-6, 100, 0)).toBe(-6);
  const [short, long] = [-2, -3].map((logprob, n) => beamScore(logprob, [1, 13][n]!, 1));
  expect(long).toBeGreaterThan(short!);
});

test("parents name the beam each open one continues; several end tokens leave enough beams open", () => {
  const row = (best: number) => Float32Array.from({ length: 8 }, (_, i) => (i === best ? 3 : i < 3 ? 2 : 0));
  const options = { beams: 2, endTokens: new Set([0, 1, 2]) };
  const first = advanceBeams(startBeams(options), [row(5)]);
  expect(first.open.map(({ tokens }) => tokens)).toEqual([[5], [3]]);
  expect(first.finished.map(({ tokens }) => tokens)).toEqual([[0]]);
  const second = advanceBeams(first, [row(6), row(7)]);
  expect(second.parents.length).toBe(2);
  second.open.forEach(({ tokens }, n) => {
    expect(tokens.slice(0, -1)).toEqual(first.open[second.parents[n]!]!.tokens);
  });
  expect(finishBeams(second).length).toBe(2);
});

test("bad options and bad rows are refused", () => {
  for (const options of [{ beams: 0 }, { beams: 1.5 }, { maxTokens: 0 }, { lengthPenalty: Number.NaN }]) {
    expect(() => startBeams(options)).toThrow(Object.keys(options)[0]);
  }
  expect(() => advanceBeams(startBeams(), [])).toThrow("0 rows");
  expect(() => advanceBeams(startBeams(), [new Float32Array([Number.NaN, 1])])).toThrow("NaN");
});
