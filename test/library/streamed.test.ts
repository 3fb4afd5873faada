import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { type LoadOptions, loadModel } from "../../src/index.ts";
import { withoutAddon } from "../support/addon.ts";

const stories = resolve(import.meta.dirname, "../../models/grok1-stories-q8_0.gguf");

/** The least memory that a model runs in, and so much more. */
async function tightMemory(path: string, more: number, options: LoadOptions): Promise<number> {
  const refused: unknown = await loadModel(path, { ...options, memory: 1 }).catch((error) => error);
  return (refused as { readonly details: { readonly needed: number } }).details.needed + more;
}

describe.skipIf(withoutAddon !== "")(`a model that is larger than its memory${withoutAddon}`, () => {
  it("gives the same text with drafts as without, and as in memory", async () => {
    const options = { threads: 2, contextLength: 512 } as const;
    const memory = await tightMemory(stories, 3e6, options);
    await using whole = await loadModel(stories, { ...options, speculate: false });
    await using plain = await loadModel(stories, { ...options, memory, speculate: false });
    await using drafting = await loadModel(stories, { ...options, memory });
    await using always = await loadModel(stories, { ...options, memory, speculate: { always: true } });
    const prompt = "The dog ran to the park. The cat ran to the park. The dog ran to the park. The cat ran to";
    for (const temperature of [0, 0.7]) {
      const request = { temperature, seed: 4, maxTokens: 40, ignoreEnd: true, logprobs: 0 };
      const expected = await whole.generate(prompt, request).result;
      for (const model of [plain, drafting, always]) {
        const { tokens, logprobs } = await model.generate(prompt, request).result;
        expect(tokens).toEqual(expected.tokens);
        expect(logprobs).toEqual(expected.logprobs);
      }
    }
    const { experts } = await always.status();
    expect(experts!.there).toBeLessThan(experts!.asked);
    // Tokens after one another are more alike than chance is, and not the same.
    const { asked, repeated } = (await plain.status()).experts!;
    expect(repeated).toBeGreaterThan(asked / 4);
    expect(repeated).toBeLessThan(asked);
  });
});
