import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Matrix } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import type { Observer } from "../model/observe.ts";
import { collect, expectAllFree, type FlatRequest, greedy, nextId, prompt, start } from "./core.case.ts";
import { createCore } from "./core.ts";
import { createFakeModel, type FakeOptions, fakeLogits, greedyOracle } from "./fake-model.case.ts";

describe("sessions", () => {
  it("compute only what is new", async () => {
    const { core, fake } = start();
    core.openSession(1);
    const first = await collect(core, { tokens: prompt, maxTokens: 5, ...greedy }, 1);
    const next = [...prompt, ...first.tokens, 1, 2, 3];
    const second = await collect(core, { tokens: next, maxTokens: 5, ...greedy }, 1);
    expect(second.tokens).toEqual(greedyOracle(next, 5));
    // All but the last token generated, which was never computed, and what is new.
    expect(second.cachedTokens).toBe(next.length - 4);
    expect(second.timings.prefilledTokens).toBe(4);
    const other = [...prompt.slice(0, 10), 7, 7];
    const third = await collect(core, { tokens: other, maxTokens: 5, ...greedy }, 1);
    expect(third.cachedTokens).toBe(10);
    expect(third.tokens).toEqual(greedyOracle(other, 5));
    const same = await collect(core, { tokens: other, maxTokens: 5, ...greedy }, 1);
    expect(same.cachedTokens).toBe(other.length - 1);
    expect(same.tokens).toEqual(third.tokens);
    core.closeSession(1);
    expectAllFree(core);
    await core.close();
    expect(fake.caches).toEqual({ made: 1, freed: 1 });
  });

  it("have frequency and presence penalties begin anew with each answer: what was said before is prompt", async () => {
    for (const sampling of [{ presencePenalty: 2 }, { frequencyPenalty: 1.5 }, { frequencyPenalty: -2 }]) {
      const { core } = start({ cacheTokens: 256 });
      const oracle = (tokens: readonly number[], count: number) => {
        const all = [...tokens];
        for (let i = 0; i < count; i++) {
          const generated = all.slice(tokens.length);
          const logits = Float32Array.from(fakeLogits(all)).map((logit, token) => {
            const times = generated.filter((other) => other === token).length;
            if (times === 0) return logit;
            return logit - times * (sampling.frequencyPenalty ?? 0) - (sampling.presencePenalty ?? 0);
          });
          all.push(logits.indexOf(Math.max(...logits)));
        }
        return all.slice(tokens.length);
      };
      core.openSession(1);
      let tokens = [...prompt];
      for (let turn = 0; turn < 3; turn++) {
        const answer = await collect(core, { tokens, maxTokens: 8, ...greedy, ...sampling }, 1);
        expect(answer.tokens).toEqual(oracle(tokens, 8));
        tokens = [...tokens, ...answer.tokens, 3];
      }
      core.closeSession(1);
    }
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
      collect(core, { tokens: a!, maxTokens: 9, ...greedy }, 1),
      collect(core, { tokens: b!, maxTokens: 9, ...greedy }, 2),
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
        const { tokens } = await collect(core, { tokens: [i, ...long], maxTokens: 4, ...greedy }, 1);
        expect(tokens).toEqual(greedyOracle([i, ...long], 4));
        order.push(i);
      }),
    );
    expect(order).toEqual([0, 1, 2]);
    const same = await collect(core, { tokens: [2, ...long], maxTokens: 4, ...greedy }, 2);
    expect(same.cachedTokens).toBe(long.length);
    const elsewhere = await collect(core, { tokens: long.concat(long).slice(0, 60), maxTokens: 4, ...greedy }, 2);
    expect(elsewhere.tokens).toEqual(greedyOracle(long.concat(long).slice(0, 60), 4));
    const back = await collect(core, { tokens: [2, ...long], maxTokens: 4, ...greedy }, 1);
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
              under.push(core.score(++last, [{ tokens }]).catch(() => undefined));
            } else if (kind === "generate") {
              const tokens = Array.from({ length }, (_, j) => (j * which) % 11);
              const sampling = beams === 1 ? greedy : {};
              const done = collect(core, { tokens, maxTokens: 9, beams, ...sampling }, session, ++last).then(
                (result) => {
                  if (beams > 1 || result.finishReason === "cancelled") return;
                  expect(result.tokens).toEqual(greedyOracle(tokens, result.tokens.length));
                },
              );
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
  async function collectWide(request: FlatRequest, options: FakeOptions): Promise<number[]> {
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
    const core = createCore(
      fake.ops,
      model,
      {
        ...{ contextLength: 64, cacheTokens: 1024, kvType: "f32", batchTokens: 64, speculate: true },
      },
      { pageTokens: 4 },
    );
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
      collect(core, { tokens: [1, 2], maxTokens: 30, ...greedy }),
    ]);
    expect(beams.tokens).toEqual(alone.tokens);
    expect(other.tokens).toEqual(greedyOracle([1, 2], 30));
    expect(fake.batches.some(({ sequences }) => sequences === 4)).toBe(true);
    expectAllFree(core);
  });
});

describe("scoring, logits and bench", () => {
  const softmax = (tokens: number[], next: number) => {
    const logits = fakeLogits(tokens);
    return logits[next]! - Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0));
  };

  it("give the log-probability of every token from the one asked for", async () => {
    const { core } = start({ batchTokens: 5 });
    for (const from of [1, 2, 7, prompt.length - 1, prompt.length]) {
      const [values] = await core.score(nextId(), [{ tokens: prompt, from }]);
      const expected = prompt.slice(from).map((token, i) => softmax(prompt.slice(0, from + i), token));
      expect(values).toHaveLength(expected.length);
      for (const [i, value] of expected.entries()) expect(values![i]).toBeCloseTo(value, 9);
    }
    expectAllFree(core);
  });

  it("give all logits, beside a generation that goes on", async () => {
    const { core } = start({ batchTokens: 5 });
    const running = collect(core, { tokens: prompt, maxTokens: 10, ...greedy });
    const { logits } = await core.logits(nextId(), Int32Array.from(prompt), false);
    expect(logits.shape).toEqual([prompt.length, 11]);
    for (let i = 0; i < prompt.length; i++) {
      const expected = Float32Array.from(fakeLogits(prompt.slice(0, i + 1)));
      expect(logits.values.slice(i * 11, (i + 1) * 11)).toEqual(expected);
    }
    expect((await running).tokens).toEqual(greedyOracle(prompt, 10));
  });

  it("refuse logits that no memory holds", async () => {
    const { core } = start({}, { vocab: 2 ** 31, contextLength: 2 ** 20 });
    await expect(core.logits(nextId(), new Int32Array(2 ** 20), false)).rejects.toMatchObject({ code: "capacity" });
    expectAllFree(core);
  });

  it("bench runs the tokens asked for, and no more", async () => {
    const { core, fake } = start();
    const result = await core.bench(nextId(), { prefill: 30, decode: 7, repeats: 3 });
    expect(result.prefillSeconds).toHaveLength(3);
    expect(result.prefillTokensPerSecond).toBeGreaterThan(0);
    expect(fake.batches.reduce((sum, { rows }) => sum + rows, 0)).toBe(4 * 37);
    expect(fake.batches.filter(({ rows }) => rows === 1)).toHaveLength(4 * 7);
    await expect(core.bench(nextId(), { prefill: 60, decode: 7 })).rejects.toMatchObject({
      code: "capacity",
      details: { prefill: 60, decode: 7, contextLength: 64 },
    });
    const warm = await core.bench(nextId(), { prefill: 3, decode: 1, repeats: 2, warmup: 1 });
    expect(warm.decodeSeconds).toHaveLength(2);
    expect(fake.batches.length).toBeGreaterThan(4 * 8 + 8);
    const usual = await core.bench(nextId(), {});
    expect([usual.prefillTokens, usual.decodeTokens]).toEqual([32, 32]);
    const long = await core.bench(nextId(), { prefill: 60 });
    expect([long.prefillTokens, long.decodeTokens]).toEqual([60, 4]);
    expectAllFree(core);
  });

  it("bench runs the tokens that are given, and tells what came of them and what was read meanwhile", async () => {
    let asked = 0;
    const counters = () => ({
      ...{ bytes: 0, usedBytes: 0, problem: undefined, there: 0, coming: 0, repeated: 0, bytesReadAhead: 0, ahead: 0 },
      ...{ aheadAsked: 0, foretold: 0, foretoldRight: 0, changed: 0, leftOut: 0, stoodIn: 0 },
      ...{ asked: ++asked, bytesRead: 10 * asked, stalled: [asked] },
    });
    const { core } = start({ experts: counters });
    const result = await core.bench(nextId(), { prefill: 10, decode: 5, cold: true, tokens: prompt, logits: true });
    const expected = Array.from({ length: 5 }, (_, i) => [...fakeLogits(prompt.slice(0, 11 + i))]).flat();
    expect(result.logits).toEqual(Float32Array.from(expected));
    const [use, ...others] = result.decodeExperts;
    expect(others).toEqual([]);
    expect(use!.asked).toBeGreaterThan(0);
    expect(use).toMatchObject({ bytesRead: 10 * use!.asked, stalled: [use!.asked] });
    for (const [tokens, message] of [
      [prompt.slice(0, 14), "14 tokens are given, expected 15 for prefill 10 and decode 5"],
      [prompt.map(() => 99), "token 99 at place 0 is not in the vocabulary"],
    ] as const) {
      await expect(core.bench(nextId(), { prefill: 10, decode: 5, tokens })).rejects.toThrow(message);
    }
    expectAllFree(core);
  });

  it("tells how far a prompt is read", async () => {
    const { core } = start({ batchTokens: 4 });
    const told: number[] = [];
    const tokens = Int32Array.from({ length: 10 }, (_, i) => i);
    await core.generate(
      nextId(),
      undefined,
      { tokens, options: { maxTokens: 3, ...greedy } },
      () => undefined,
      (n) => told.push(n),
    );
    expect(told).toEqual([4, 8, 10]);
  });

  it("and who cannot be told, or shown a layer, fails alone in its pass", async () => {
    const { fake } = start();
    const bindObserved = (see: Observer): Model => ({
      ...fake.model,
      async forward(batch, cache) {
        see(0, "l_out", {
          name: "l_out",
          rows: batch.tokens.length,
          cols: 2 ** 50,
          values: new Float64Array(1),
        } as unknown as Matrix);
        return await fake.model.forward(batch, cache);
      },
    });
    const settled = { contextLength: 64, cacheTokens: 256, kvType: "f32", batchTokens: 16, speculate: true } as const;
    const core = createCore(fake.ops, fake.model, settled, { pageTokens: 4, bindObserved });
    const deaf = () => {
      throw new Error("nobody listens");
    };
    const untold = core.generate(nextId(), undefined, { tokens: [1, 2], options: greedy }, () => undefined, deaf);
    const unshown = core.logits(nextId(), Int32Array.of(1, 2, 3), true);
    const other = collect(core, { tokens: prompt, maxTokens: 4, ...greedy });
    await expect(untold).rejects.toThrow("nobody listens");
    await expect(unshown).rejects.toThrow(RangeError);
    expect((await other).tokens).toEqual(greedyOracle(prompt, 4));
    expectAllFree(core);
  });

  it("can be cancelled", async () => {
    const { core, fake } = start({ batchTokens: 2 });
    const id = nextId();
    fake.before = () => {
      if (fake.batches.length === 2) core.cancel(id);
    };
    const job = core.score(id, [{ tokens: prompt }]);
    await expect(job).rejects.toMatchObject({ code: "cancelled" });
    expect(fake.batches).toHaveLength(3);
    expectAllFree(core);
  });
});

it("a defect in drafting ends the request, not the engine", async () => {
  // A number that Math.min throws for.
  const { core } = start({ speculate: { draftTokens: 1n as never } });
  await expect(collect(core, { tokens: prompt, maxTokens: 4, ...greedy })).rejects.toThrow(TypeError);
  expectAllFree(core);
  const { tokens } = await collect(core, { tokens: prompt, maxTokens: 4, ...greedy, speculate: false });
  expect(tokens).toEqual(greedyOracle(prompt, 4));
  await expect(collect(core, { tokens: prompt, speculate: "x" as never })).rejects.toMatchObject({ code: "argument" });
});
