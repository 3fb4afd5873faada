import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GrokError } from "../errors.ts";
import { collect, expectAllFree, type FlatRequest, greedy, nextId, prompt, requestOf, start } from "./core.case.ts";
import { type Core, createCore } from "./core.ts";
import { createFakeModel, fakeLogits, greedyOracle } from "./fake-model.case.ts";
import type { SettledEngineOptions } from "./options.ts";
import { cancellationBytes, cancelRun, createCancellations, makeInterruptible } from "./thread/interrupt.ts";

describe("generation", () => {
  it("is the model's greedy text, whatever the chunks and pages", async () => {
    for (const [batchTokens, pageTokens] of [
      [1, 1],
      [2, 4],
      [5, 3],
      [16, 64],
    ] as const) {
      const { core, fake } = start({ batchTokens, pageTokens });
      const { tokens, finishReason } = await collect(core, { tokens: prompt, maxTokens: 12, ...greedy });
      expect(tokens).toEqual(greedyOracle(prompt, 12));
      expect(finishReason).toBe("length");
      expect(Math.max(...fake.batches.map(({ rows }) => rows))).toBeLessThanOrEqual(batchTokens);
      expectAllFree(core);
    }
  });

  it("gives each of many requests what it gets alone, in shared batches", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            tokens: fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 1, maxLength: 30 }),
            maxTokens: fc.integer({ min: 1, max: 20 }),
          }),
          { minLength: 2, maxLength: 8 },
        ),
        // Down to a cache in which one request just fits: then runs are preempted, and computed again.
        fc.integer({ min: 64, max: 256 }),
        fc.integer({ min: 1, max: 24 }),
        async (requests, cacheTokens, batchTokens) => {
          const { core, fake } = start({ cacheTokens, batchTokens });
          const results = await Promise.all(requests.map((request) => collect(core, { ...request, ...greedy })));
          for (const [i, { tokens, maxTokens }] of requests.entries()) {
            expect(results[i]!.tokens).toEqual(greedyOracle(tokens, maxTokens));
          }
          // Two that go on after their first token meet, if there is room for a second row at all.
          const lasting = requests.filter(({ maxTokens }) => maxTokens > 2).length;
          if (batchTokens > 1 && lasting > 1)
            expect(Math.max(...fake.batches.map(({ sequences }) => sequences))).toBeGreaterThan(1);
          expectAllFree(core);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("answers ten thousand requests at once, each begun in its turn, for no more passes than they fill", async () => {
    const { core, fake } = start({ cacheTokens: 4096, batchTokens: 64 });
    const requests = 10_000;
    const order: number[] = [];
    const results = Array.from({ length: requests }, (_, i) =>
      core
        .generate(nextId(), undefined, { tokens: [i % 11, 2], options: { maxTokens: 2, ...greedy } }, () => undefined)
        .then(({ generatedTokens }) => {
          order.push(i);
          return generatedTokens;
        }),
    );
    expect((await Promise.all(results)).every((count) => count === 2)).toBe(true);
    // Those that are served together end in any order: none is ahead by more than two passes hold.
    for (const [place, i] of order.entries()) expect(Math.abs(place - i)).toBeLessThanOrEqual(128);
    expect(fake.batches.length).toBeLessThan((3 * requests) / 32);
    expectAllFree(core);
  });

  it("repeats itself for a seed, alone and in company, and differs for another", async () => {
    const request = (seed: number) => ({ tokens: prompt, maxTokens: 30, temperature: 1, seed });
    const { core } = start();
    const alone = await collect(core, request(7));
    const [again, other] = await Promise.all([collect(core, request(7)), collect(core, request(8))]);
    expect(again.tokens).toEqual(alone.tokens);
    expect(other.tokens).not.toEqual(alone.tokens);
  });

  it("says honestly why it ended", async () => {
    const { core } = start();
    const oracle = greedyOracle(prompt, 43);
    const reason = async (more: Partial<FlatRequest>) => {
      const { finishReason, tokens } = await collect(core, { tokens: prompt, ...greedy, ...more });
      return [finishReason, tokens.length];
    };
    expect(await reason({ maxTokens: 5 })).toEqual(["length", 5]);
    expect(await reason({ maxTokens: 0 })).toEqual(["length", 0]);
    expect(await reason({ endTokens: [oracle[3]!] })).toEqual(["stop", oracle.indexOf(oracle[3]!)]);
    expect(await reason({})).toEqual(["context", 64 - prompt.length]);
    expect(await reason({ maxTokens: 64 - prompt.length })).toEqual(["length", 64 - prompt.length]);
  });

  it("refuses what cannot be, with typed errors", async () => {
    const { core } = start();
    const code = (request: FlatRequest) =>
      core
        .generate(nextId(), undefined, requestOf(request), () => undefined)
        .then(
          () => "none",
          (error) => (error as GrokError).code,
        );
    expect(await code({ tokens: Array.from({ length: 64 }, () => 1) })).toBe("capacity");
    expect(await code({ tokens: Array.from({ length: 1000 }, () => 1) })).toBe("capacity");
    expect(await code({ tokens: [] })).toBe("argument");
    expect(await code({ tokens: [11] })).toBe("argument");
    expect(await code({ tokens: [-1] })).toBe("argument");
    expect(await code({ tokens: [1.5] })).toBe("argument");
    for (const maxTokens of [-1, 1.5, null as never]) {
      expect(await code({ tokens: [1], maxTokens })).toBe("argument");
    }
    expect(await code({ tokens: [1], lengthPenalty: Number.NaN })).toBe("argument");
    expect(await code({ tokens: [1], topP: 2 })).toBe("argument");
    expect(await code({ tokens: [1], beams: 2, topP: 0.5 })).toBe("argument");
    expect(await code({ tokens: [1], beams: 12 })).toBe("argument");
    expectAllFree(core);
  });

  it("gives the model's own log-probabilities", async () => {
    const { core } = start();
    const { tokens, logprobs } = await collect(core, {
      ...{ tokens: prompt, maxTokens: 6, logprobs: 3 },
      temperature: 0.5,
      repetitionPenalty: 1.5,
      seed: 1,
    });
    const all = [...prompt];
    for (const [i, token] of tokens.entries()) {
      const logits = fakeLogits(all);
      const total = Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0));
      expect(logprobs[i]!.token).toBe(token);
      expect(logprobs[i]!.logprob).toBeCloseTo(logits[token]! - total, 9);
      all.push(token);
    }
    const [likeliest] = (await collect(core, { tokens: prompt, maxTokens: 1, temperature: 0 })).tokens;
    const ended = { tokens: prompt, endTokens: [likeliest!], temperature: 0, logprobs: 1 };
    for (const beams of [1, 2]) {
      const { tokens: none, end } = await collect(core, { ...ended, beams, maxTokens: 1 });
      const first = await collect(core, { ...ended, beams, endTokens: [], maxTokens: 1 });
      expect([none, end]).toEqual([[], first.logprobs[0]]);
    }
    expect((await collect(core, { ...ended, logprobs: undefined })).end).toBe(undefined);
  });

  it("fails alone when its pass fails, and the engine goes on", async () => {
    const { core, fake } = start();
    fake.before = () => {
      throw new GrokError("io", "the disk is gone");
    };
    await expect(collect(core, { tokens: prompt })).rejects.toMatchObject({ code: "io" });
    fake.before = () => undefined;
    const { tokens } = await collect(core, { tokens: prompt, maxTokens: 3, ...greedy });
    expect(tokens).toEqual(greedyOracle(prompt, 3));
    expectAllFree(core);
  });
});

describe("speculation", () => {
  const always = { speculate: { always: true } } as const;
  const repetitive = { vocab: 11, contextLength: 256, memory: 2, spread: 12 };

  it("gives the same text, log-probabilities and reasons for the same seed, in fewer passes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            tokens: fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 1, maxLength: 30 }),
            maxTokens: fc.integer({ min: 1, max: 60 }),
            endTokens: fc.constantFrom([], [], [3]),
            logprobs: fc.constantFrom(undefined, 2),
            sampling: fc.record({
              temperature: fc.constantFrom(0, 0.5, 1),
              seed: fc.nat(100),
              repetitionPenalty: fc.constantFrom(1, 1.3),
              frequencyPenalty: fc.constantFrom(0, 0.5),
            }),
          }),
          { minLength: 1, maxLength: 5 },
        ),
        fc.integer({ min: 256, max: 600 }),
        fc.integer({ min: 2, max: 64 }),
        fc.constantFrom(2, undefined),
        async (requests, cacheTokens, batchTokens, memory) => {
          const { memory: _, ...forgetful } = repetitive;
          const fakeOptions = memory === undefined ? forgetful : repetitive;
          const run = async (options: Partial<SettledEngineOptions>) => {
            const { core } = start({ cacheTokens, batchTokens, ...options }, fakeOptions);
            const asked = requests.map(({ sampling, ...rest }) => ({ ...rest, ...sampling }));
            const results = await Promise.all(asked.map((request) => collect(core, request)));
            expectAllFree(core);
            return results.map(({ tokens, logprobs, finishReason, generatedTokens }) => {
              return { tokens, logprobs, finishReason, generatedTokens };
            });
          };
          expect(await run(always)).toEqual(await run({ speculate: false }));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("accepts most of what repeats, and says so", async () => {
    const { core, fake } = start(always, repetitive);
    const result = await collect(core, { tokens: prompt, maxTokens: 120, ...greedy });
    expect(result.tokens).toEqual(greedyOracle(prompt, 120, repetitive));
    expect(fake.batches.length).toBeLessThan(60);
    expect(result.acceptedTokens).toBeGreaterThan(60);
    expect(result.draftedTokens).toBeGreaterThanOrEqual(result.acceptedTokens);
    expect(Math.max(...fake.batches.map(({ rows }) => rows))).toBeLessThanOrEqual(16);
  });

  it("is off for a request, or an engine, that does not want it", async () => {
    const { core, fake } = start(always, repetitive);
    const result = await collect(core, { tokens: [1, 2], maxTokens: 50, ...greedy, speculate: false });
    expect([result.draftedTokens, fake.batches.length]).toEqual([0, 50]);
    const other = start({ speculate: false }, repetitive);
    expect((await collect(other.core, { tokens: [1, 2], maxTokens: 50, ...greedy })).draftedTokens).toBe(0);
  });

  it("leaves a session's cache as decoding one by one would", async () => {
    const { core } = start(always, repetitive);
    core.openSession(1);
    const first = await collect(core, { tokens: prompt, maxTokens: 60, ...greedy }, 1);
    expect(first.acceptedTokens).toBeGreaterThan(0);
    const next = [...prompt, ...first.tokens, 5, 4];
    const second = await collect(core, { tokens: next, maxTokens: 20, ...greedy }, 1);
    expect(second.cachedTokens).toBe(next.length - 3);
    expect(second.tokens).toEqual(greedyOracle(next, 20, repetitive));
    core.closeSession(1);
    expectAllFree(core);
  });

  it("stops where it is cancelled, in the middle of an accepted draft", async () => {
    for (let stopAt = 20; stopAt < 40; stopAt++) {
      const { core } = start(always, repetitive);
      const tokens: number[] = [];
      const result = await core.generate(5, undefined, { tokens: prompt, options: greedy }, (more) => {
        tokens.push(...more);
        if (tokens.length === stopAt) core.cancel(5);
      });
      expect([result.finishReason, tokens.length]).toEqual(["cancelled", stopAt]);
      expectAllFree(core);
    }
  });

  it("survives an answer that closes its own session", async () => {
    const { core } = start(always, repetitive);
    core.openSession(1);
    let given = 0;
    const result = await core.generate(6, 1, { tokens: prompt, options: greedy }, () => {
      if (++given === 30) core.closeSession(1);
    });
    expect(result.finishReason).toBe("cancelled");
    expectAllFree(core);
    expect((await collect(core, { tokens: prompt, maxTokens: 5, ...greedy })).tokens).toEqual(
      greedyOracle(prompt, 5, repetitive),
    );
  });
});

describe("prefill chunks", () => {
  it("are whole for a request alone", async () => {
    const { core, fake } = start({ batchTokens: 100, cacheTokens: 1024 }, { contextLength: 512 });
    const long = Array.from({ length: 450 }, (_, i) => i % 11);
    fake.before = () => new Promise((resolve) => setTimeout(resolve, 20));
    await collect(core, { tokens: long, maxTokens: 1, ...greedy });
    expect(fake.batches.map(({ rows }) => rows)).toEqual([100, 100, 100, 100, 50]);
  });

  it("shrink to what takes about a second while others wait", async () => {
    const { core, fake } = start({ batchTokens: 200, cacheTokens: 2048 }, { contextLength: 1024 });
    const long = Array.from({ length: 900 }, (_, i) => i % 11);
    // 200 rows take two seconds by the clock of the test.
    let rows = 0;
    const now = performance.now.bind(performance);
    let ahead = 0;
    performance.now = () => now() + ahead;
    fake.before = () => {
      ahead += 10 * (fake.batches.at(-1)?.rows ?? 200);
    };
    try {
      const first = collect(core, { tokens: long, maxTokens: 30, ...greedy });
      const second = collect(core, { tokens: [...long].reverse(), maxTokens: 1, ...greedy });
      await Promise.all([first, second]);
      rows = Math.max(...fake.batches.slice(2, 8).map((batch) => batch.rows));
    } finally {
      performance.now = now;
    }
    expect(rows).toBeLessThan(130);
    expect(rows).toBeGreaterThanOrEqual(64);
  });
});

/**
 * A core in whose pass of that number, from 1, the requests of those ids are cancelled as another thread would. With `awaits` the pass
 * waits for data meanwhile, and messages are read.
 */
function startInterrupted(pass: number, ids: readonly number[], awaits = false) {
  const fake = createFakeModel();
  const memory = new SharedArrayBuffer(cancellationBytes);
  const interrupt = createCancellations(memory);
  const ops = makeInterruptible(fake.ops, interrupt);
  let passes = 0;
  fake.before = async () => {
    passes++;
    if (passes === pass) {
      for (const id of ids) cancelRun(new Int32Array(memory), id);
      const read = new Promise<void>((resolve) => {
        setImmediate(() => {
          for (const id of ids) core.cancel(id);
          resolve();
        });
      });
      if (awaits) await read;
    }
    ops.at(0);
  };
  const { contextLength } = fake.model.config;
  const core = createCore(
    ops,
    fake.model,
    {
      ...{ contextLength, cacheTokens: 256, kvType: "f32", batchTokens: 16, speculate: true },
    },
    { interrupt },
  );
  return { core, fake, interrupt, ops, passes: () => passes };
}

describe("cancellation", () => {
  it("ends within one token and returns the memory", async () => {
    const { core } = start();
    const tokens: number[] = [];
    const result = await core.generate(77, undefined, { tokens: prompt, options: greedy }, (more) => {
      tokens.push(...more);
      if (tokens.length === 4) core.cancel(77);
    });
    expect(result.finishReason).toBe("cancelled");
    expect(tokens).toEqual(greedyOracle(prompt, 4));
    expectAllFree(core);
  });

  it("ends between two chunks of a prompt", async () => {
    const { core, fake } = start({ batchTokens: 2 });
    fake.before = () => {
      if (fake.batches.length === 3) core.cancel(78);
    };
    const { finishReason, tokens } = await collect(core, { tokens: prompt }, undefined, 78);
    expect([finishReason, tokens.length, fake.batches.length]).toEqual(["cancelled", 0, 4]);
    expectAllFree(core);
  });

  it("of a model that computes no numbers fails with the model's name, and of wrong options with theirs", async () => {
    const damaged = { code: "format", message: expect.stringMatching(/^some\.gguf: /) };
    for (const spread of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const { core } = start({ source: "some.gguf" }, { spread });
      for (const sampling of [greedy, { temperature: 1 }]) {
        const failed = collect(core, { tokens: prompt, ...sampling });
        await expect(failed).rejects.toMatchObject(damaged);
      }
      await expect(collect(core, { tokens: prompt, beams: 2 })).rejects.toMatchObject(damaged);
      const tokens = Int32Array.from(prompt);
      await expect(core.score(90, [{ tokens }])).rejects.toMatchObject(damaged);
      await expect(core.logits(91, tokens, false)).rejects.toMatchObject(damaged);
      expectAllFree(core);
    }
    const biased = collect(start().core, { tokens: prompt, logitBias: { 11: 1 } });
    await expect(biased).rejects.toMatchObject({ code: "argument" });
  });

  it("interrupts a pass between two layers when nobody else is in it", async () => {
    const { core } = startInterrupted(3, [79]);
    const { finishReason, tokens } = await collect(core, { tokens: [1], ...greedy }, undefined, 79);
    expect(finishReason).toBe("cancelled");
    expect(tokens).toEqual(greedyOracle([1], tokens.length));
    expect(tokens.length).toBeLessThanOrEqual(3);
    expectAllFree(core);
  });

  it("leaves a pass also when it was read while the pass awaited data", async () => {
    const { core, fake, passes } = startInterrupted(3, [82], true);
    const { finishReason } = await collect(core, { tokens: [1], ...greedy }, undefined, 82);
    expect([finishReason, passes(), fake.batches.length]).toEqual(["cancelled", 3, 2]);
    expectAllFree(core);
  });

  it("of a request that waits leaves what runs whole", async () => {
    const { core, passes } = startInterrupted(1, [81]);
    core.openSession(1);
    const first = collect(core, { tokens: prompt, maxTokens: 5, ...greedy }, 1, 80);
    const waiting = collect(core, { tokens: prompt, ...greedy }, 1, 81);
    expect((await first).tokens).toEqual(greedyOracle(prompt, 5));
    // Two for the prompt, one for each token after the first: none was run again.
    expect(passes()).toBe(6);
    expect((await waiting).finishReason).toBe("cancelled");
    core.closeSession(1);
    expectAllFree(core);
  });

  it("of some in a pass leaves it to the others, of all ends it", async () => {
    const asked = (core: Core) =>
      [90, 91].map((id) => collect(core, { tokens: [id % 11], maxTokens: 6, ...greedy }, undefined, id));
    const some = startInterrupted(2, [90]);
    const [left, whole] = await Promise.all(asked(some.core));
    // Its message is read after the pass.
    expect([left!.finishReason, left!.tokens.length]).toEqual(["cancelled", 2]);
    expect(whole!.tokens).toEqual(greedyOracle([91 % 11], 6));
    expect([some.passes(), some.fake.batches.length]).toEqual([6, 6]);
    const all = startInterrupted(2, [90, 91]);
    for (const { finishReason, tokens } of await Promise.all(asked(all.core))) {
      expect([finishReason, tokens.length]).toEqual(["cancelled", 1]);
    }
    expect([all.passes(), all.fake.batches.length]).toEqual([2, 1]);
    for (const { core } of [some, all]) expectAllFree(core);
  });

  it("ends a pass that its session's end, or the engine's, leaves alone", async () => {
    for (const end of ["session", "engine"]) {
      const { core, fake, interrupt, ops } = startInterrupted(0, []);
      const begun = new Promise<void>((begin) => {
        fake.before = async () => {
          begin();
          await interrupt.left();
          ops.at(0);
        };
      });
      core.openSession(1);
      const asked = collect(core, { tokens: prompt, ...greedy }, 1, 92).catch((error) => error);
      await begun;
      if (end === "session") core.closeSession(1);
      else await core.close();
      expect(await asked).toMatchObject(end === "session" ? { finishReason: "cancelled" } : { code: "cancelled" });
    }
  });
});
