import { describe, expect, it } from "vitest";
import { collect, expectAllFree, greedy, nextId, prompt, requestOf, start } from "./core.case.ts";
import { createFakeModel, type FakeOptions } from "./fake-model.case.ts";

const always = { speculate: { always: true } } as const;

/** A core with a model that drafts: one that thinks alike (the same spread), or that does not. */
function startDrafted(drafter: FakeOptions, options: Parameters<typeof start>[0] = always, target: FakeOptions = {}) {
  const draft = createFakeModel(drafter);
  return { ...start({ ...options, draft }, target), draft };
}

describe("a model that drafts", () => {
  it.each([
    ["thinks alike", {}],
    ["thinks of one token alone", { memory: 1 }],
    ["has a shorter context", { contextLength: 25 }],
  ])("changes no token where it %s, whatever the sampling", async (_, drafter) => {
    for (const options of [always, { speculate: true }, { speculate: { always: true, draftTokens: 3 } }]) {
      const { core, draft } = startDrafted(drafter, options);
      const { core: plain } = start({ speculate: false });
      for (const request of [
        { ...greedy },
        { temperature: 0.8, seed: 5 },
        { temperature: 1, seed: 6, topK: 5, repetitionPenalty: 1.3, penaltyWindow: 7, frequencyPenalty: 0.2 },
        { temperature: 0.7, seed: 7, logprobs: 2 },
      ]) {
        const found = await collect(core, { tokens: prompt, maxTokens: 30, ...request });
        const expected = await collect(plain, { tokens: prompt, maxTokens: 30, ...request });
        expect(found.tokens).toEqual(expected.tokens);
        expect(found.logprobs).toEqual(expected.logprobs);
        expect(found.finishReason).toBe(expected.finishReason);
      }
      expectAllFree(core);
      await core.close();
      expect(draft.caches.freed).toBe(draft.caches.made);
    }
  });

  it("has all its tokens taken where it thinks alike, also when tokens are drawn: it draws with the same numbers", async () => {
    const { core, fake } = startDrafted({});
    for (const request of [{ ...greedy }, { temperature: 1, seed: 3 }]) {
      fake.batches.length = 0;
      const { tokens, draftedTokens, acceptedTokens } = await collect(core, {
        tokens: prompt,
        maxTokens: 32,
        ...request,
      });
      expect(tokens).toHaveLength(32);
      // 32 tokens in passes of 16 rows, after those that read the prompt.
      expect(fake.batches.filter(({ rows }) => rows === 16).length).toBeLessThanOrEqual(3);
      expect(acceptedTokens).toBe(draftedTokens);
    }
  });

  it("computes what a conversation has in common with what came before once", async () => {
    const { core, draft } = startDrafted({});
    await collect(core, { tokens: prompt, maxTokens: 6, ...greedy });
    draft.batches.length = 0;
    await collect(core, { tokens: prompt, maxTokens: 6, ...greedy });
    const computed = draft.batches.reduce((sum, { rows }) => sum + rows, 0);
    expect(computed).toBeLessThan(prompt.length);
  });

  it("drafts for several at a time, in memory that holds fewer", async () => {
    const { core, draft } = startDrafted({});
    const texts = [prompt, prompt.slice(0, 9), [...prompt.slice(4), 1], [7, 7, 3]];
    const found = await Promise.all(texts.map((tokens) => collect(core, { tokens, maxTokens: 20, ...greedy })));
    const { core: plain } = start({ speculate: false });
    for (const [i, tokens] of texts.entries()) {
      expect(found[i]!.tokens).toEqual((await collect(plain, { tokens, maxTokens: 20, ...greedy })).tokens);
    }
    expect(draft.batches.some(({ sequences }) => sequences > 1)).toBe(true);
    expectAllFree(core);
  });

  it("is left in peace by a run that is cancelled while it drafts", async () => {
    const { core, draft } = startDrafted({});
    const id = nextId();
    let steps = 0;
    draft.before = async () => {
      if (++steps === 3) core.cancel(id);
      // Messages are read meanwhile.
      await new Promise((resolve) => setImmediate(resolve));
    };
    const tokens: number[] = [];
    const result = await core.generate(
      id,
      undefined,
      requestOf({ tokens: prompt, maxTokens: 30, ...greedy }),
      (more) => {
        tokens.push(...more);
      },
    );
    expect(result.finishReason).toBe("cancelled");
    expectAllFree(core);
    draft.before = () => undefined;
    const { core: plain } = start({ speculate: false });
    const request = { tokens: prompt, maxTokens: 12, ...greedy };
    expect((await collect(core, request)).tokens).toEqual((await collect(plain, request)).tokens);
  });

  it("survives a session that is closed while it drafts", async () => {
    const { core, draft } = startDrafted({});
    core.openSession(1);
    let steps = 0;
    draft.before = async () => {
      if (++steps === 3) core.closeSession(1);
      await new Promise((resolve) => setImmediate(resolve));
    };
    const closed = await collect(core, { tokens: prompt, maxTokens: 30, ...greedy }, 1);
    expect(closed.finishReason).toBe("cancelled");
    expectAllFree(core);
    expect((await collect(core, { tokens: prompt, maxTokens: 12, ...greedy })).tokens).toHaveLength(12);
  });
});
