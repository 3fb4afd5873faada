import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Batch, Matrix } from "../../kernels/ops.ts";
import { collect, expectAllFree, greedy, nextId, start } from "../core.case.ts";
import { fakeLogits, greedyOracle } from "../fake-model.case.ts";
import type { ScoreText } from "./score.ts";

function expected({ tokens, from = 1 }: ScoreText): number[] {
  const all = Array.from(tokens);
  return all.slice(from).map((token, i) => {
    const logits = fakeLogits(all.slice(0, from + i));
    return logits[token]! - Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0));
  });
}

function expectScores(given: readonly Float64Array[], texts: readonly ScoreText[]) {
  expect(given).toHaveLength(texts.length);
  for (const [i, text] of texts.entries()) {
    const values = expected(text);
    expect(given[i]).toHaveLength(values.length);
    for (const [j, value] of values.entries()) expect(given[i]![j]).toBeCloseTo(value, 9);
  }
}

/** Few different tokens, so that random texts have much in common. */
const text = fc
  .record({
    tokens: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 1, maxLength: 40 }),
    // Mostly a few of several long beginnings.
    beginning: fc.constantFrom(0, 0, 17, 20, 23),
    from: fc.option(fc.nat(100), { nil: undefined }),
  })
  .map(({ tokens, beginning, from }) => {
    const all = [...Array.from({ length: beginning }, (_, i) => i % 7), ...tokens];
    return { tokens: all, ...(from !== undefined && { from: 1 + (from % all.length) }) };
  });

describe("scoring many texts", () => {
  it("gives each what it has alone, whatever they share, however short memory is and whoever else is there", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { maxLength: 20 }),
        fc.integer({ min: 64, max: 300 }),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom(1, 4, 16),
        fc.nat(3),
        async (texts, cacheTokens, batchTokens, pageTokens, conversations) => {
          const { core } = start({ cacheTokens, batchTokens, pageTokens });
          const done = new Map<number, Float64Array>();
          const scored = core.score(nextId(), texts, { onScored: (index, values) => done.set(index, values) });
          const others = Array.from({ length: conversations }, (_, i) =>
            collect(core, { tokens: [1, 2, i], maxTokens: 25, ...greedy }),
          );
          const values = await scored;
          expectScores(values, texts);
          expect(done.size).toBe(texts.length);
          for (const [index, each] of done) expect(each).toEqual(values[index]);
          for (const [i, other] of others.entries()) {
            expect((await other).tokens).toEqual(greedyOracle([1, 2, i], 25));
          }
          expectAllFree(core);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("computes a beginning that all share once, also that of some within it", async () => {
    const contextLength = 1040;
    const { core, fake } = start(
      { batchTokens: 512, pageTokens: 64, cacheTokens: 2 * contextLength },
      { contextLength },
    );
    const beginning = Array.from({ length: 1000 }, (_, i) => (i * i) % 11);
    const question = (i: number) => Array.from({ length: 20 }, (_, j) => (i * 7 + j * i) % 11);
    // Four answers of two tokens to each of 50 questions: 200 texts.
    const texts = Array.from({ length: 200 }, (_, i) => {
      const tokens = [...beginning, (i >> 4) % 11, ...question(i >> 2), 3 * (i & 3), 2];
      return { tokens, from: tokens.length - 2 };
    });
    const values = await core.score(nextId(), texts);
    expectScores(values.slice(0, 8), texts.slice(0, 8));
    const computed = fake.batches.reduce((sum, { rows }) => sum + rows, 0);
    // The beginning, at most 21 tokens a question, and of each answer the first: its last needs no computing.
    expect(computed).toBeLessThanOrEqual(1000 + 50 * 21 + 200);
    expect(computed).toBeGreaterThan(1000);
    expectAllFree(core);
  });

  it("asks for no more rows of logits than memory allows, and only those that are wanted", async () => {
    const vocab = 2 ** 20;
    const { core, fake } = start({ batchTokens: 64 }, { vocab });
    const rows: number[] = [];
    let wanted = 0;
    const matrix = (count: number, cols: number) =>
      ({ name: "", rows: count, cols, values: new Float64Array(count * cols) }) as Matrix;
    Object.assign(fake.model, {
      hidden: async ({ outputs }: Batch) => {
        wanted += outputs.length;
        return matrix(outputs.length, 1);
      },
      logits(x: Matrix) {
        rows.push(x.rows);
        return matrix(x.rows, vocab);
      },
    });
    const tokens = Array.from({ length: 60 }, (_, i) => i);
    const [values] = await core.score(nextId(), [{ tokens, from: 25 }]);
    expect([...values!]).toEqual(Array.from({ length: 35 }, () => expect.closeTo(-Math.log(vocab), 6)));
    // 64 MiB are 16 rows of 2^20 floats; 35 rows are wanted, those from token 24 to token 58.
    expect(Math.max(...rows)).toBeLessThanOrEqual(16);
    expect([wanted, rows.reduce((sum, count) => sum + count, 0)]).toEqual([35, 35]);
  });

  it("ends at once when cancelled, whenever that is", async () => {
    const texts = Array.from({ length: 12 }, (_, i) => ({
      tokens: Array.from({ length: 30 }, (_, j) => (i + j) % 11),
    }));
    for (let pass = 0; pass < 12; pass++) {
      const { core, fake } = start({ batchTokens: 8 });
      const id = nextId();
      fake.before = () => {
        if (fake.batches.length === pass) core.cancel(id);
      };
      await expect(core.score(id, texts)).rejects.toMatchObject({ code: "cancelled" });
      expect(fake.batches).toHaveLength(pass + 1);
      expectAllFree(core);
      await core.close();
    }
  });

  it("refuses what is no text, and scores none", async () => {
    const { core } = start();
    expect(await core.score(nextId(), [])).toEqual([]);
    expect(await core.score(nextId(), [{ tokens: [5] }])).toEqual([new Float64Array(0)]);
    const refused = (texts: ScoreText[], code: string, options = {}) =>
      expect(core.score(nextId(), texts, options)).rejects.toMatchObject({ code });
    await refused([{ tokens: [1, 2] }, { tokens: [] }], "argument");
    await refused([{ tokens: [1, 2], from: 3 }], "argument");
    await refused([{ tokens: [1, 2], from: 0 }], "argument");
    await refused([{ tokens: [1, 11] }], "argument");
    await refused([{ tokens: Array.from({ length: 66 }, () => 1) }], "capacity");
    await refused([{ tokens: [1, 2] }], "argument", { passTokens: 0 });
    expectAllFree(core);
  });
});

describe("beside conversations", () => {
  it("scoring takes of a pass what is asked, at most, and everyone goes on", async () => {
    const { core, fake } = start({ batchTokens: 64, cacheTokens: 1024 }, { contextLength: 256 });
    const texts = Array.from({ length: 6 }, (_, i) => ({
      tokens: Array.from({ length: 100 }, (_, j) => (i * j) % 11),
    }));
    const given: number[] = [];
    let scored = false;
    const conversations = [1, 2, 3, 4].map((first) =>
      core.generate(nextId(), undefined, { tokens: [first], options: { maxTokens: 60, ...greedy } }, () => {
        if (!scored) given.push(first);
      }),
    );
    const scoring = core.score(nextId(), texts, { passTokens: 5 }).then((values) => {
      scored = true;
      return values;
    });
    await Promise.all(conversations);
    expectScores(await scoring, texts);
    expect(new Set(given).size).toBe(4);
    const shared = fake.batches.filter(({ sequences }) => sequences > 4).map(({ rows }) => rows - 4);
    expect(shared.length).toBeGreaterThan(20);
    expect(Math.max(...shared)).toBeLessThanOrEqual(5);
    expectAllFree(core);
  });
});
