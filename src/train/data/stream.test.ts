import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { load, separated } from "./corpus.case.ts";
import { createBatchStream, type StreamOptions, type TrainStep } from "./stream.ts";

const settings: StreamOptions = { context: 32, batchTokens: 50, accumulation: 2, replicas: 2, seed: 3 };
const flat = (step: TrainStep) => step.shards.flatMap(({ batches }) => batches);

describe("stream", () => {
  const line = (i: number) => JSON.stringify({ prompt: `what is ${i}`, answer: `number ${i * i}` });
  const two = Promise.all([
    load(separated, { weight: 3 }),
    load(Array.from({ length: 40 }, (_, i) => line(i)).join("\n"), { format: "pairs", weight: 1 }),
  ]);

  it("learns every token of an epoch once", async () => {
    const [corpus] = await two;
    const stream = createBatchStream([corpus!], { ...settings, accumulation: 1, replicas: 1 });
    const seen: number[] = [];
    while (seen.length < stream.epochTokens[0]!)
      seen.push(...flat(stream.next()).flatMap(({ targets }) => [...targets]));
    const { ids, starts } = corpus!.documents;
    const firsts = new Set(starts);
    const expected = [...ids].filter((_, at) => !firsts.has(at));
    expect(seen.slice(0, expected.length).sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b));
  });

  it("batches are whole: rows in order from position 0, targets after their rows, learned rows only", async () => {
    const corpora = await two;
    const stream = createBatchStream(corpora, settings);
    for (let step = 0; step < 30; step++) {
      const made = stream.next();
      expect(flat(made)).toHaveLength(4);
      let tokens = 0;
      let learned = 0;
      for (const { batch, targets, weights } of flat(made)) {
        expect(batch.tokens.length).toBeLessThanOrEqual(settings.batchTokens);
        let row = 0;
        for (const { start, count } of batch.sequences) {
          expect(start).toBe(row);
          expect(count).toBeLessThanOrEqual(settings.context);
          expect([...batch.positions.subarray(start, start + count)]).toEqual([...Array(count).keys()]);
          row += count;
        }
        expect(row).toBe(batch.tokens.length);
        const lastRows = new Set(batch.sequences.map(({ start, count }) => start + count - 1));
        for (const [i, output] of batch.outputs.entries()) {
          if (!lastRows.has(output)) expect(targets[i]).toBe(batch.tokens[output + 1]);
        }
        expect(weights).toHaveLength(targets.length);
        tokens += batch.tokens.length;
        learned += targets.length;
      }
      expect(made).toMatchObject({ tokens, learned });
    }
  });

  it("gives each source its share of the tokens", async () => {
    const stream = createBatchStream(await two, settings);
    for (let step = 0; step < 50; step++) stream.next();
    const [story, pair] = stream.save().sources;
    expect(story!.served / (story!.served + pair!.served)).toBeCloseTo(0.75, 2);
    expect(pair!.epoch).toBeGreaterThan(0);
  });

  it("goes on from a saved place bit for bit, at any moment", async () => {
    const corpora = await two;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 5 }), (steps, seed) => {
        const whole = createBatchStream(corpora, { ...settings, seed });
        for (let i = 0; i < steps; i++) whole.next();
        const resumed = createBatchStream(corpora, { ...settings, seed });
        resumed.restore(JSON.parse(JSON.stringify(whole.save())), "saved");
        for (let i = 0; i < 5; i++) expect(resumed.next()).toEqual(whole.next());
        expect(resumed.save()).toEqual(whole.save());
      }),
      { numRuns: 25 },
    );
  });

  it("replicas by themselves make what one process makes", async () => {
    const corpora = await two;
    const whole = createBatchStream(corpora, settings);
    const parts = [0, 1].map((replica) => createBatchStream(corpora, { ...settings, replica }));
    for (let step = 0; step < 10; step++) {
      const made = parts.map((part) => part.next());
      const all = whole.next();
      expect(made.flatMap(({ shards }) => shards)).toEqual(all.shards);
      for (const { tokens, learned } of made)
        expect({ tokens, learned }).toEqual({ tokens: all.tokens, learned: all.learned });
    }
  });

  it("another seed is another order; another data set or setting refuses the state", async () => {
    const corpora = await two;
    const stream = createBatchStream(corpora, settings);
    const other = createBatchStream(corpora, { ...settings, seed: 4 });
    expect(other.next()).not.toEqual(stream.next());
    expect(() => other.restore(stream.save(), "run/x")).toThrow(/^run\/x: .*other data or settings/);
    expect(() => createBatchStream(corpora.slice(0, 1), settings).restore(stream.save(), "x")).toThrow(/other data/);
  });

  it("refuses settings that cannot be", async () => {
    const corpora = await two;
    expect(() => createBatchStream([], settings)).toThrow(/no source/);
    expect(() => createBatchStream(corpora, { ...settings, batchTokens: 31 })).toThrow(/cannot hold a context/);
    expect(() => createBatchStream(corpora, { ...settings, replica: 2 })).toThrow(/replica 2 of 2/);
    expect(() => createBatchStream(corpora, { ...settings, accumulation: 0.5 })).toThrow(/accumulation/);
  });
});
