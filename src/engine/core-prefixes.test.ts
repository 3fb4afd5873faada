import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { collect, expectAllFree, greedy, nextId, prompt, start } from "./core.case.ts";
import { greedyOracle } from "./fake-model.case.ts";

const shared = Array.from({ length: 40 }, (_, i) => (i * 7) % 11);

/** Tokens computed so far. */
const computedBy = ({ batches }: ReturnType<typeof start>["fake"]) => batches.reduce((sum, { rows }) => sum + rows, 0);

describe("what requests begin with alike", () => {
  it("is computed once, by whichever kind of work", async () => {
    const { core } = start({ cacheTokens: 256 });
    const first = await collect(core, { tokens: [...shared, 1], maxTokens: 6, ...greedy });
    expect(first.cachedTokens).toBe(0);
    const second = await collect(core, { tokens: [...shared, 2, 3], maxTokens: 6, ...greedy });
    expect(second.tokens).toEqual(greedyOracle([...shared, 2, 3], 6));
    expect([second.cachedTokens, second.timings.prefilledTokens]).toEqual([40, 2]);
    const again = await collect(core, { tokens: [...shared, 1], maxTokens: 6, ...greedy });
    expect([again.tokens, again.cachedTokens]).toEqual([first.tokens, 40]);
    const beams = await collect(core, { tokens: [...shared, 1], maxTokens: 6, beams: 2 });
    expect(beams.cachedTokens).toBe(40);
    const next = [...shared, 1, ...first.tokens, 5];
    expect((await collect(core, { tokens: next, maxTokens: 3, ...greedy })).cachedTokens).toBe(next.length - 2);
    expectAllFree(core);
  });

  it("is found by those of the same group alone, whatever they ask for", async () => {
    const { core, fake } = start({ cacheTokens: 512 });
    const ask = (prefixGroup?: string) =>
      collect(core, { tokens: [...shared, 1], maxTokens: 2, ...greedy, ...(prefixGroup && { prefixGroup }) });
    const cached: number[] = [];
    for (const group of ["a", "b", undefined, "a", "b", undefined]) cached.push((await ask(group)).cachedTokens);
    expect(cached).toEqual([0, 0, 0, 40, 40, 40]);
    const together = await Promise.all(["c", "d", "c"].map(ask));
    expect(together.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 0, 40]);
    const score = async (prefixGroup: string) => {
      const before = computedBy(fake);
      await core.score(nextId(), [{ tokens: [...shared, 1, 2], from: 41 }], { prefixGroup });
      return computedBy(fake) - before;
    };
    expect([await score("e"), await score("a"), await score("e")]).toEqual([41, 1, 1]);
    expectAllFree(core);
  });

  it("is computed again where its logits are wanted, and nowhere else", async () => {
    const { core, fake } = start({ cacheTokens: 256 });
    const context = [...shared, 4];
    const rowsOf = async (work: () => Promise<unknown>) => {
      const before = computedBy(fake);
      await work();
      return computedBy(fake) - before;
    };
    const score = (more: number[], from: number) => core.score(nextId(), [{ tokens: [...context, ...more], from }]);
    expect(await rowsOf(() => score([1, 2, 3], 41))).toBe(43);
    // The row after the context's last token is wanted: that token is computed.
    expect(await rowsOf(() => score([5, 2, 3], 41))).toBe(3);
    expect(await rowsOf(() => score([5, 2, 3], 1))).toBe(43);
    expect(await rowsOf(() => collect(core, { tokens: context, maxTokens: 1, ...greedy }))).toBe(1);
    expect(await rowsOf(() => core.logits(nextId(), Int32Array.from(context), false))).toBe(41);
    for (let i = 0; i < 2; i++) {
      expect(await rowsOf(() => core.bench(nextId(), { prefill: 20, decode: 0, repeats: 1 }))).toBe(40);
    }
    expectAllFree(core);
  });

  it("is known as far as several texts go alike: they are scored again all the same", async () => {
    const { core, fake } = start({ cacheTokens: 512 });
    const texts = [0, 1, 2].flatMap((kind) =>
      [0, 1].map((last) => ({ tokens: [...shared, kind, 5, 6, last], from: 43 })),
    );
    const first = await core.score(nextId(), texts);
    const before = computedBy(fake);
    expect(await core.score(nextId(), texts)).toEqual(first);
    // The last token that all have in common, and what each kind has of its own.
    expect(computedBy(fake) - before).toBe(1 + 3 * 3);
    expectAllFree(core);
  });

  it("is computed by one of those that come together, and the others wait for it", async () => {
    for (const batchTokens of [5, 16, 64]) {
      const { core, fake } = start({ cacheTokens: 1024, batchTokens });
      const requests = Array.from({ length: 11 }, (_, i) => [...shared, i, 3, i]);
      const results = await Promise.all(requests.map((tokens) => collect(core, { tokens, maxTokens: 1, ...greedy })));
      for (const [i, tokens] of requests.entries()) expect(results[i]!.tokens).toEqual(greedyOracle(tokens, 1));
      expect(results.map(({ cachedTokens }) => cachedTokens)).toEqual([0, ...new Array(10).fill(40)]);
      expect(computedBy(fake)).toBe(40 + 11 * 3);
      expectAllFree(core);
    }
  });

  it("is taken over by the next when the one that computes it is cancelled", async () => {
    const { core, fake } = start({ cacheTokens: 512, batchTokens: 8 });
    fake.before = () => {
      if (fake.batches.length === 2) core.cancel(900);
    };
    const ids = [900, 901, 902];
    const tokens = (i: number) => [...shared, i, i];
    const results = await Promise.all(
      ids.map((id, i) => collect(core, { tokens: tokens(i), maxTokens: 4, ...greedy }, undefined, id)),
    );
    expect(results[0]!.finishReason).toBe("cancelled");
    for (const i of [1, 2]) expect(results[i]!.tokens).toEqual(greedyOracle(tokens(i), 4));
    // Three passes were done when it ended.
    expect(results.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 24, 40]);
    expectAllFree(core);
  });

  it("changes no answer, in memory of any size, whoever leaves when", async () => {
    const request = fc.record({
      branch: fc.nat(3),
      alike: fc.nat(45),
      more: fc.integer({ min: 1, max: 8 }),
      maxTokens: fc.integer({ min: 1, max: 12 }),
      after: fc.nat(3),
      cancelledAfter: fc.option(fc.nat(6)),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { minLength: 2, maxLength: 14 }),
        fc.integer({ min: 64, max: 300 }),
        fc.integer({ min: 1, max: 32 }),
        async (requests, cacheTokens, batchTokens) => {
          const { core, fake } = start({ cacheTokens, batchTokens });
          let passes = 0;
          const cancels = new Map<number, number[]>();
          fake.before = () => {
            for (const id of cancels.get(passes++) ?? []) core.cancel(id);
          };
          const pending = [];
          for (const { branch, alike, more, maxTokens, after, cancelledAfter } of requests) {
            for (let i = 0; i < after; i++) await new Promise((resolve) => setImmediate(resolve));
            const tokens = [...shared.slice(0, alike), ...Array.from({ length: more }, (_, i) => (branch + i) % 11)];
            const id = nextId();
            if (cancelledAfter !== null) {
              const at = passes + cancelledAfter;
              cancels.set(at, [...(cancels.get(at) ?? []), id]);
            }
            pending.push(
              collect(core, { tokens, maxTokens, ...greedy }, undefined, id).then((result) => {
                expect(result.tokens).toEqual(greedyOracle(tokens, result.tokens.length));
                if (result.finishReason !== "cancelled") expect(result.tokens).toHaveLength(maxTokens);
              }),
            );
          }
          await Promise.all(pending);
          expectAllFree(core);
          expect(core.status().requests).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("is kept in place of what was longest unused, never of what runs", async () => {
    const { core } = start({ cacheTokens: 128 });
    const longs = [1, 2, 3].map((seed) => Array.from({ length: 50 }, (_, i) => (i * seed + seed) % 11));
    for (const tokens of longs) await collect(core, { tokens, maxTokens: 2, ...greedy });
    const { pages, freePages, keptPages } = core.status();
    expect(freePages).toBe(pages);
    expect(keptPages).toBeGreaterThan(26);
    const cached = async (tokens: number[]) => (await collect(core, { tokens, maxTokens: 2, ...greedy })).cachedTokens;
    expect(await cached(longs[2]!)).toBe(49);
    expect(await cached(longs[1]!)).toBe(49);
    expect(await cached(longs[0]!)).toBeLessThan(49);
    expect((await collect(core, { tokens: prompt, maxTokens: 3, ...greedy })).tokens).toEqual(greedyOracle(prompt, 3));
  });
});
