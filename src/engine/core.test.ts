import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GrokError } from "../errors.ts";
import { type Core, type CoreOptions, createCore } from "./core.ts";
import { createFakeModel, type FakeOptions, fakeLogits, greedyOracle } from "./fake-model.case.ts";
import { cancellationBytes, createCancellations, makeInterruptible } from "./interrupt.ts";
import { computeLogits, computeLogprobs, runBench } from "./jobs.ts";
import type { EngineRequest } from "./types.ts";

const greedy = { temperature: 0 } as const;

function start(options: Partial<CoreOptions> = {}, fakeOptions: FakeOptions = {}) {
  const fake = createFakeModel(fakeOptions);
  const { contextLength } = fake.model.config;
  const core = createCore(fake.ops, fake.model, {
    ...{
      contextLength,
      cacheTokens: 2 * contextLength,
      kvType: "f32",
      batchTokens: 16,
      pageTokens: 4,
    },
    ...options,
  });
  return { fake, core };
}

let ids = 0;
async function collect(core: Core, request: EngineRequest, session?: number, id = ++ids) {
  const tokens: number[] = [];
  const logprobs: { token: number; logprob: number }[] = [];
  const result = await core.generate(id, session, request, (more, probabilities) => {
    tokens.push(...more);
    logprobs.push(...(probabilities ?? []));
  });
  return { tokens, logprobs, ...result };
}

function expectAllFree(core: Core) {
  const { pages, freePages } = core.status();
  expect(freePages).toBe(pages);
}

/** A prompt after which the fake model does not end by itself for a while. */
const prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6];

describe("generation", () => {
  it("is the model's greedy text, whatever the chunks and pages", async () => {
    for (const [batchTokens, pageTokens] of [
      [1, 1],
      [2, 4],
      [5, 3],
      [16, 64],
    ] as const) {
      const { core, fake } = start({ batchTokens, pageTokens });
      const { tokens, finishReason } = await collect(core, { tokens: prompt, maxTokens: 12, sampling: greedy });
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
          const results = await Promise.all(requests.map((request) => collect(core, { ...request, sampling: greedy })));
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

  it("repeats itself for a seed, alone and in company, and differs for another", async () => {
    const request = (seed: number) => ({ tokens: prompt, maxTokens: 30, sampling: { temperature: 1, seed } });
    const { core } = start();
    const alone = await collect(core, request(7));
    const [again, other] = await Promise.all([collect(core, request(7)), collect(core, request(8))]);
    expect(again.tokens).toEqual(alone.tokens);
    expect(other.tokens).not.toEqual(alone.tokens);
  });

  it("says honestly why it ended", async () => {
    const { core } = start();
    const oracle = greedyOracle(prompt, 43);
    const reason = async (more: Partial<EngineRequest>) => {
      const { finishReason, tokens } = await collect(core, { tokens: prompt, sampling: greedy, ...more });
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
    const code = (request: EngineRequest) =>
      core
        .generate(++ids, undefined, request, () => undefined)
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
    expect(await code({ tokens: [1], maxTokens: -1 })).toBe("argument");
    expect(await code({ tokens: [1], sampling: { topP: 2 } })).toBe("argument");
    expect(await code({ tokens: [1], beams: 2, sampling: { topP: 0.5 } })).toBe("argument");
    expect(await code({ tokens: [1], beams: 12 })).toBe("argument");
    expectAllFree(core);
  });

  it("gives the model's own log-probabilities", async () => {
    const { core } = start();
    const { tokens, logprobs } = await collect(core, {
      ...{ tokens: prompt, maxTokens: 6, logprobs: 3 },
      sampling: { temperature: 0.5, repetitionPenalty: 1.5, seed: 1 },
    });
    const all = [...prompt];
    for (const [i, token] of tokens.entries()) {
      const logits = fakeLogits(all);
      const total = Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0));
      expect(logprobs[i]!.token).toBe(token);
      expect(logprobs[i]!.logprob).toBeCloseTo(logits[token]! - total, 9);
      all.push(token);
    }
  });

  it("fails alone when its pass fails, and the engine goes on", async () => {
    const { core, fake } = start();
    fake.before = () => {
      throw new GrokError("io", "the disk is gone");
    };
    await expect(collect(core, { tokens: prompt })).rejects.toMatchObject({ code: "io" });
    fake.before = () => undefined;
    const { tokens } = await collect(core, { tokens: prompt, maxTokens: 3, sampling: greedy });
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
          const run = async (options: Partial<CoreOptions>) => {
            const { core } = start({ cacheTokens, batchTokens, ...options }, fakeOptions);
            const asked = requests.map(({ logprobs, ...rest }) => ({
              ...rest,
              ...(logprobs !== undefined && { logprobs }),
            }));
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
    const result = await collect(core, { tokens: prompt, maxTokens: 120, sampling: greedy });
    expect(result.tokens).toEqual(greedyOracle(prompt, 120, repetitive));
    expect(fake.batches.length).toBeLessThan(60);
    expect(result.acceptedTokens).toBeGreaterThan(60);
    expect(result.draftedTokens).toBeGreaterThanOrEqual(result.acceptedTokens);
    expect(Math.max(...fake.batches.map(({ rows }) => rows))).toBeLessThanOrEqual(16);
  });

  it("is off for a request, or an engine, that does not want it", async () => {
    const { core, fake } = start(always, repetitive);
    const result = await collect(core, { tokens: [1, 2], maxTokens: 50, sampling: greedy, speculate: false });
    expect([result.draftedTokens, fake.batches.length]).toEqual([0, 50]);
    const other = start({ speculate: false }, repetitive);
    expect((await collect(other.core, { tokens: [1, 2], maxTokens: 50, sampling: greedy })).draftedTokens).toBe(0);
  });

  it("leaves a session's cache as decoding one by one would", async () => {
    const { core } = start(always, repetitive);
    core.openSession(1);
    const first = await collect(core, { tokens: prompt, maxTokens: 60, sampling: greedy }, 1);
    expect(first.acceptedTokens).toBeGreaterThan(0);
    const next = [...prompt, ...first.tokens, 5, 4];
    const second = await collect(core, { tokens: next, maxTokens: 20, sampling: greedy }, 1);
    expect(second.cachedTokens).toBe(next.length - 3);
    expect(second.tokens).toEqual(greedyOracle(next, 20, repetitive));
    core.closeSession(1);
    expectAllFree(core);
  });

  it("stops where it is cancelled, in the middle of an accepted draft", async () => {
    for (let stopAt = 20; stopAt < 40; stopAt++) {
      const { core } = start(always, repetitive);
      const tokens: number[] = [];
      const result = await core.generate(5, undefined, { tokens: prompt, sampling: greedy }, (more) => {
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
    const result = await core.generate(6, 1, { tokens: prompt, sampling: greedy }, () => {
      if (++given === 30) core.closeSession(1);
    });
    expect(result.finishReason).toBe("cancelled");
    expectAllFree(core);
    expect((await collect(core, { tokens: prompt, maxTokens: 5, sampling: greedy })).tokens).toEqual(
      greedyOracle(prompt, 5, repetitive),
    );
  });
});

describe("prefill chunks", () => {
  it("are whole for a request alone", async () => {
    const { core, fake } = start({ batchTokens: 100, cacheTokens: 1024 }, { contextLength: 512 });
    const long = Array.from({ length: 450 }, (_, i) => i % 11);
    fake.before = () => new Promise((resolve) => setTimeout(resolve, 20));
    await collect(core, { tokens: long, maxTokens: 1, sampling: greedy });
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
      const first = collect(core, { tokens: long, maxTokens: 30, sampling: greedy });
      const second = collect(core, { tokens: [...long].reverse(), maxTokens: 1, sampling: greedy });
      await Promise.all([first, second]);
      rows = Math.max(...fake.batches.slice(2, 8).map((batch) => batch.rows));
    } finally {
      performance.now = now;
    }
    expect(rows).toBeLessThan(130);
    expect(rows).toBeGreaterThanOrEqual(64);
  });
});

describe("cancellation", () => {
  it("ends within one token and returns the memory", async () => {
    const { core } = start();
    const tokens: number[] = [];
    const result = await core.generate(77, undefined, { tokens: prompt, sampling: greedy }, (more) => {
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
    for (const spread of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const { core } = start({ source: "some.gguf" }, { spread });
      for (const sampling of [greedy, { temperature: 1 }]) {
        const failed = collect(core, { tokens: prompt, sampling });
        await expect(failed).rejects.toMatchObject({ code: "format", message: expect.stringMatching(/^some\.gguf: /) });
      }
      expectAllFree(core);
    }
    const biased = collect(start().core, { tokens: prompt, sampling: { logitBias: { 11: 1 } } });
    await expect(biased).rejects.toMatchObject({ code: "argument" });
  });

  it("interrupts a pass between two layers when nobody else is in it", async () => {
    const fake = createFakeModel();
    const interrupt = createCancellations(new SharedArrayBuffer(cancellationBytes));
    const ops = makeInterruptible(fake.ops, interrupt);
    let passes = 0;
    fake.before = () => {
      passes++;
      if (passes === 3) {
        Atomics.add(interrupt.numbers, 0, 1);
        setImmediate(() => {
          interrupt.seen();
          core.cancel(79);
        });
      }
      ops.at(0);
    };
    const { contextLength } = fake.model.config;
    const core = createCore(ops, fake.model, {
      ...{ contextLength, cacheTokens: 64, kvType: "f32", batchTokens: 16, interrupt },
    });
    const { finishReason, tokens } = await collect(core, { tokens: [1], sampling: greedy }, undefined, 79);
    expect(finishReason).toBe("cancelled");
    expect(tokens).toEqual(greedyOracle([1], tokens.length));
    expect(tokens.length).toBeLessThanOrEqual(3);
    expectAllFree(core);
  });

  it("of a request that waits leaves the job before it whole", async () => {
    const fake = createFakeModel();
    const interrupt = createCancellations(new SharedArrayBuffer(cancellationBytes));
    const ops = makeInterruptible(fake.ops, interrupt);
    let passes = 0;
    fake.before = () => {
      passes++;
      if (passes === 1) {
        Atomics.add(interrupt.numbers, 0, 1);
        setImmediate(() => {
          interrupt.seen();
          core.cancel(81);
        });
      }
      ops.at(0);
    };
    const { contextLength } = fake.model.config;
    const core = createCore(ops, fake.model, {
      ...{ contextLength, cacheTokens: 64, kvType: "f32", batchTokens: 16, interrupt },
    });
    const tokens = Int32Array.from(prompt);
    const job = core.exclusive(80, (host) => computeLogprobs(host, tokens, 1));
    const waiting = collect(core, { tokens: prompt, sampling: greedy }, undefined, 81);
    const undisturbed = await start().core.exclusive(82, (host) => computeLogprobs(host, tokens, 1));
    expect(await job).toEqual(undisturbed);
    expect(passes).toBeGreaterThan(1);
    expect((await waiting).finishReason).toBe("cancelled");
    expectAllFree(core);
  });
});

describe("sessions", () => {
  it("compute only what is new, and return their memory", async () => {
    const { core, fake } = start();
    core.openSession(1);
    const first = await collect(core, { tokens: prompt, maxTokens: 5, sampling: greedy }, 1);
    const next = [...prompt, ...first.tokens, 1, 2, 3];
    const second = await collect(core, { tokens: next, maxTokens: 5, sampling: greedy }, 1);
    expect(second.tokens).toEqual(greedyOracle(next, 5));
    // All but the last token generated, which was never computed, and what is new.
    expect(second.cachedTokens).toBe(next.length - 4);
    expect(second.timings.prefilledTokens).toBe(4);
    const other = [...prompt.slice(0, 10), 7, 7];
    const third = await collect(core, { tokens: other, maxTokens: 5, sampling: greedy }, 1);
    expect(third.cachedTokens).toBe(10);
    expect(third.tokens).toEqual(greedyOracle(other, 5));
    const same = await collect(core, { tokens: other, maxTokens: 5, sampling: greedy }, 1);
    expect(same.cachedTokens).toBe(other.length - 1);
    expect(same.tokens).toEqual(third.tokens);
    core.closeSession(1);
    expectAllFree(core);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(fake.caches.made).toBeGreaterThan(0);
    expect(fake.caches.freed).toBe(fake.caches.made);
  });

  it("fork without disturbing each other", async () => {
    const { core } = start();
    core.openSession(1);
    await collect(core, { tokens: prompt, maxTokens: 0 }, 1);
    const free = core.status().freePages;
    core.forkSession(1, 2);
    expect(core.status().freePages).toBe(free);
    const [a, b] = [
      [...prompt, 1],
      [...prompt, 2],
    ];
    const [one, two] = await Promise.all([
      collect(core, { tokens: a!, maxTokens: 9, sampling: greedy }, 1),
      collect(core, { tokens: b!, maxTokens: 9, sampling: greedy }, 2),
    ]);
    expect(one.tokens).toEqual(greedyOracle(a!, 9));
    expect(two.tokens).toEqual(greedyOracle(b!, 9));
    expect([one.cachedTokens, two.cachedTokens]).toEqual([prompt.length, prompt.length]);
    core.closeSession(1);
    core.closeSession(2);
    expectAllFree(core);
  });

  it("answer their requests in order, and idle ones forget when memory is short", async () => {
    const { core } = start({ cacheTokens: 64 });
    core.openSession(1);
    core.openSession(2);
    const long = Array.from({ length: 50 }, (_, i) => i % 11);
    const order: number[] = [];
    await Promise.all(
      [0, 1, 2].map(async (i) => {
        const { tokens } = await collect(core, { tokens: [i, ...long], maxTokens: 4, sampling: greedy }, 1);
        expect(tokens).toEqual(greedyOracle([i, ...long], 4));
        order.push(i);
      }),
    );
    expect(order).toEqual([0, 1, 2]);
    const elsewhere = await collect(core, { tokens: long, maxTokens: 4, sampling: greedy }, 2);
    expect(elsewhere.tokens).toEqual(greedyOracle(long, 4));
    const back = await collect(core, { tokens: [2, ...long], maxTokens: 4, sampling: greedy }, 1);
    expect(back.cachedTokens).toBe(0);
    expect(back.tokens).toEqual(greedyOracle([2, ...long], 4));
  });

  it("leak nothing, whatever happens in whatever order", async () => {
    const action = fc.record({
      kind: fc.constantFrom("generate", "generate", "generate", "cancel", "open", "fork", "close", "wait", "logprobs"),
      which: fc.nat(5),
      length: fc.integer({ min: 1, max: 40 }),
      beams: fc.constantFrom(1, 1, 2, 3),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { maxLength: 30 }),
        fc.integer({ min: 64, max: 160 }),
        async (script, cacheTokens) => {
          const { core, fake } = start({ cacheTokens, batchTokens: 8 });
          const open = new Set<number>();
          const under: Promise<unknown>[] = [];
          let last = 0;
          for (const [i, { kind, which, length, beams }] of script.entries()) {
            const session = [...open][which % Math.max(1, open.size)];
            if (kind === "open") core.openSession(i) ?? open.add(i);
            else if (kind === "fork" && session !== undefined) core.forkSession(session, i) ?? open.add(i);
            else if (kind === "close" && session !== undefined) core.closeSession(session) ?? open.delete(session);
            else if (kind === "cancel") core.cancel(last - (which % 3));
            else if (kind === "wait")
              for (let j = 0; j < which; j++) await new Promise((resolve) => setImmediate(resolve));
            else if (kind === "logprobs") {
              const tokens = Int32Array.from({ length }, (_, j) => j % 11);
              under.push(core.exclusive(++last, (host) => computeLogprobs(host, tokens, 1)).catch(() => undefined));
            } else if (kind === "generate") {
              const tokens = Array.from({ length }, (_, j) => (j * which) % 11);
              const sampling = beams === 1 ? greedy : {};
              const done = collect(core, { tokens, maxTokens: 9, beams, sampling }, session, ++last).then((result) => {
                if (beams > 1 || result.finishReason === "cancelled") return;
                expect(result.tokens).toEqual(greedyOracle(tokens, result.tokens.length));
              });
              under.push(done);
            }
          }
          await Promise.all(under);
          for (const session of open) core.closeSession(session);
          expectAllFree(core);
          expect(core.status()).toMatchObject({ sessions: 0, requests: 0 });
          await core.close();
          expect(fake.caches.freed).toBe(fake.caches.made);
        },
      ),
      { numRuns: 80 },
    );
  });

  it("end with the engine", async () => {
    const { core } = start();
    const running = collect(core, { tokens: prompt });
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([core.close(), expect(running).rejects.toMatchObject({ code: "cancelled" })]);
    await expect(collect(core, { tokens: prompt })).rejects.toMatchObject({ code: "argument" });
  });
});

describe("beam search", () => {
  /** Every text up to `length` tokens with its score; a text ends with `end` or at full length. */
  function bruteForce(start: number[], length: number, end: number, penalty: number, options: FakeOptions) {
    let best = { tokens: [] as number[], score: Number.NEGATIVE_INFINITY };
    const visit = (tokens: number[], sum: number) => {
      const consider = (found: number[], total: number, size: number) => {
        const score = total / ((5 + size) / 6) ** penalty;
        if (score > best.score) best = { tokens: found, score };
      };
      if (tokens.length === length) return consider(tokens, sum, length);
      const logits = fakeLogits([...start, ...tokens], options);
      const total = Math.log(logits.reduce((all, value) => all + Math.exp(value), 0));
      for (const [token, logit] of logits.entries()) {
        if (token === end) consider(tokens, sum + logit - total, tokens.length + 1);
        else visit([...tokens, token], sum + logit - total);
      }
    };
    visit([], 0);
    return best.tokens;
  }

  it("with enough beams finds the best of all texts", async () => {
    const options = { vocab: 4, spread: 3 };
    // 3 live tokens and 4 steps: 27 open texts are all there are before the last step.
    for (const lengthPenalty of [0, 0.6, 1, 2, -1]) {
      for (let first = 0; first < 4; first++) {
        const request = { tokens: [first, 2], maxTokens: 4, endTokens: [3], lengthPenalty };
        expect(await collectWide(request, options)).toEqual(bruteForce([first, 2], 4, 3, lengthPenalty, options));
      }
    }
  });

  /** A beam search of 27 beams over a vocabulary of 4, padded to 27 with impossible tokens. */
  async function collectWide(request: EngineRequest, options: FakeOptions): Promise<number[]> {
    const fake = createFakeModel({ ...options, vocab: 4 });
    const model = {
      ...fake.model,
      config: { ...fake.model.config, vocab: 27 },
      async forward(...args: Parameters<typeof fake.model.forward>) {
        const matrix = await fake.model.forward(...args);
        const narrow = fake.ops.read(matrix) as Float64Array;
        const values = new Float64Array(matrix.rows * 27).fill(Number.NEGATIVE_INFINITY);
        for (let row = 0; row < matrix.rows; row++) values.set(narrow.subarray(row * 4, row * 4 + 4), row * 27);
        return { ...matrix, cols: 27, values };
      },
    };
    const core = createCore(fake.ops, model, {
      ...{ contextLength: 64, cacheTokens: 1024, kvType: "f32", batchTokens: 64, pageTokens: 4 },
    });
    const { tokens } = await collect(core, { ...request, beams: 27 });
    expectAllFree(core);
    await core.close();
    return tokens;
  }

  it("finds a text at least as likely as the greedy one, with its log-probabilities", async () => {
    const { core } = start();
    const { tokens, logprobs, generatedTokens } = await collect(core, {
      ...{ tokens: prompt, maxTokens: 8, beams: 3, logprobs: 2 },
    });
    expect(tokens).toHaveLength(8);
    expect(generatedTokens).toBe(8);
    const all = [...prompt];
    let sum = 0;
    for (const [i, token] of tokens.entries()) {
      const logits = fakeLogits(all);
      const total = Math.log(logits.reduce((every, value) => every + Math.exp(value), 0));
      expect(logprobs[i]!.token).toBe(token);
      expect(logprobs[i]!.logprob).toBeCloseTo(logits[token]! - total, 9);
      sum += logits[token]! - total;
      all.push(token);
    }
    let greedySum = 0;
    const greedyAll = [...prompt];
    for (const token of greedyOracle(prompt, 8)) {
      const logits = fakeLogits(greedyAll);
      greedySum += logits[token]! - Math.log(logits.reduce((every, value) => every + Math.exp(value), 0));
      greedyAll.push(token);
    }
    expect(sum).toBeGreaterThanOrEqual(greedySum - 1e-9);
    expectAllFree(core);
  });

  it("runs in one ragged batch beside others, forks without copying the prompt, and survives preemption", async () => {
    const { core, fake } = start({ cacheTokens: 64 });
    const alone = await collect(core, { tokens: prompt, maxTokens: 10, beams: 3 });
    const [beams, other] = await Promise.all([
      collect(core, { tokens: prompt, maxTokens: 10, beams: 3 }),
      collect(core, { tokens: [1, 2], maxTokens: 30, sampling: greedy }),
    ]);
    expect(beams.tokens).toEqual(alone.tokens);
    expect(other.tokens).toEqual(greedyOracle([1, 2], 30));
    expect(fake.batches.some(({ sequences }) => sequences === 4)).toBe(true);
    expectAllFree(core);
  });
});

describe("jobs", () => {
  const softmax = (tokens: number[], next: number) => {
    const logits = fakeLogits(tokens);
    return logits[next]! - Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0));
  };

  it("give the log-probability of every token from the one asked for", async () => {
    const { core } = start({ batchTokens: 5 });
    for (const from of [1, 2, 7, prompt.length - 1, prompt.length]) {
      const values = await core.exclusive(++ids, (host) => computeLogprobs(host, Int32Array.from(prompt), from));
      const expected = prompt.slice(from).map((token, i) => softmax(prompt.slice(0, from + i), token));
      expect(values).toHaveLength(expected.length);
      for (const [i, value] of expected.entries()) expect(values[i]).toBeCloseTo(value, 9);
    }
    expectAllFree(core);
  });

  it("give all logits, beside a generation that goes on", async () => {
    const { core, fake } = start({ batchTokens: 5 });
    const running = collect(core, { tokens: prompt, maxTokens: 10, sampling: greedy });
    const { logits } = await core.exclusive(++ids, (host) =>
      computeLogits(host, fake.ops, Int32Array.from(prompt), undefined),
    );
    expect(logits.shape).toEqual([prompt.length, 11]);
    for (let i = 0; i < prompt.length; i++) {
      const expected = Float32Array.from(fakeLogits(prompt.slice(0, i + 1)));
      expect(logits.values.slice(i * 11, (i + 1) * 11)).toEqual(expected);
    }
    expect((await running).tokens).toEqual(greedyOracle(prompt, 10));
  });

  it("bench runs the tokens asked for, and no more", async () => {
    const { core, fake } = start();
    const result = await core.exclusive(++ids, (host) => runBench(host, { prefill: 30, decode: 7, repeats: 3 }));
    expect(result.prefillSeconds).toHaveLength(3);
    expect(result.prefillTokensPerSecond).toBeGreaterThan(0);
    expect(fake.batches.reduce((sum, { rows }) => sum + rows, 0)).toBe(4 * 37);
    expect(fake.batches.filter(({ rows }) => rows === 1)).toHaveLength(4 * 7);
    await expect(core.exclusive(++ids, (host) => runBench(host, { prefill: 60, decode: 7 }))).rejects.toMatchObject({
      code: "capacity",
    });
    expectAllFree(core);
  });

  it("can be cancelled", async () => {
    const { core, fake } = start({ batchTokens: 2 });
    const id = ++ids;
    fake.before = () => {
      if (fake.batches.length === 2) core.cancel(id);
    };
    const job = core.exclusive(id, (host) => computeLogprobs(host, Int32Array.from(prompt), 1));
    await expect(job).rejects.toMatchObject({ code: "cancelled" });
    expect(fake.batches).toHaveLength(3);
    expectAllFree(core);
  });
});

it("a defect in drafting ends the request, not the engine", async () => {
  // A number that Math.min throws for.
  const { core } = start({ speculate: { draftTokens: 1n as never } });
  await expect(collect(core, { tokens: prompt, maxTokens: 4, sampling: greedy })).rejects.toThrow(TypeError);
  expectAllFree(core);
  const { tokens } = await collect(core, { tokens: prompt, maxTokens: 4, sampling: greedy, speculate: false });
  expect(tokens).toEqual(greedyOracle(prompt, 4));
  await expect(collect(core, { tokens: prompt, speculate: "x" as never })).rejects.toMatchObject({ code: "argument" });
});
