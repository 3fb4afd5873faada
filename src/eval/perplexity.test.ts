import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ScoreOptions } from "../engine/consumers/score.ts";
import { GrokError } from "../errors.ts";
import type { LanguageModel } from "../generate/types.ts";
import { measurePerplexity, type PerplexityResult } from "./perplexity.ts";

/** A model that only scores: token t costs t nats, wherever it stands. It keeps what it was asked. */
function scorer(tokens: readonly number[], bos?: number) {
  const asked: { tokens: number[]; from: number }[] = [];
  const model = {
    tokenizer: { addBos: bos !== undefined, bos },
    encode: () => Int32Array.from(tokens),
    // The last text is done first: who sums must put them in order.
    async score(texts: { tokens: Int32Array; from: number }[], { onScored, signal }: ScoreOptions) {
      for (const { tokens, from } of texts) asked.push({ tokens: [...tokens], from });
      for (const index of texts.map((_, i) => (i + texts.length - 1) % texts.length)) {
        if (signal?.aborted) throw new GrokError("cancelled", "cancelled");
        const { tokens, from } = texts[index]!;
        onScored?.(
          index,
          Float64Array.from(tokens.subarray(from), (token) => -token),
          [],
        );
      }
    },
  } as unknown as LanguageModel;
  return { model, asked };
}

describe("perplexity", () => {
  it("cuts, replaces and scores as llama.cpp's tool does", async () => {
    // Two chunks of 8 and a remainder; of each chunk, tokens 5, 6 and 7 are scored: n / 2 - 1 of them.
    const { model, asked } = scorer([9, 1, 1, 1, 1, 1, 2, 3, 9, 1, 1, 1, 1, 4, 5, 6, 7], 99);
    const seen: PerplexityResult[] = [];
    const result = await measurePerplexity(model, "", { context: 8, onChunk: (soFar) => seen.push(soFar) });
    expect(asked).toEqual([
      { tokens: [99, 1, 1, 1, 1, 1, 2, 3], from: 5 },
      { tokens: [99, 1, 1, 1, 1, 4, 5, 6], from: 5 },
    ]);
    const mean = (1 + 2 + 3 + 4 + 5 + 6) / 6;
    expect(result.negativeLogLikelihood).toBeCloseTo(mean, 12);
    expect(result.perplexity).toBeCloseTo(Math.exp(mean), 9);
    // Population variance of 1..6 is 35 / 12; the mean's standard error divides it by n - 1.
    expect(result.error).toBeCloseTo(Math.exp(mean) * Math.sqrt(35 / 12 / 5), 9);
    expect(result).toMatchObject({ scored: 6, done: 2, chunks: 2, context: 8 });
    expect(seen.map(({ done, scored }) => [done, scored])).toEqual([
      [1, 3],
      [2, 6],
    ]);
    expect(seen[0]!.perplexity).toBeCloseTo(Math.exp(2), 9);
  });

  it("leaves the first token alone where the model asks for none", async () => {
    const { model, asked } = scorer(Array.from({ length: 16 }, (_, i) => i));
    await measurePerplexity(model, "", { context: 8, chunks: 1 });
    expect(asked.map(({ tokens }) => tokens[0])).toEqual([0]);
  });

  it("of equally likely tokens is their number, whatever the cut, and certain", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 8, max: 40 }), fc.integer({ min: 80, max: 300 }), async (context, length) => {
        const { model } = scorer(new Array<number>(length).fill(Math.log(50)));
        (model as { encode: unknown }).encode = () => new Float64Array(length).fill(Math.log(50));
        const result = await measurePerplexity(model, "", { context });
        expect(result.perplexity).toBeCloseTo(50, 6);
        expect(result.error).toBeLessThan(1e-5);
        expect(result.scored).toBe(Math.floor(length / context) * (context - Math.floor(context / 2) - 1));
      }),
    );
  });

  it("refuses a text that is too short, and stops when told to", async () => {
    const { model } = scorer(new Array<number>(15).fill(1));
    await expect(measurePerplexity(model, "", { context: 8 })).rejects.toThrow(/15 tokens.*at least 16/);
    await expect(measurePerplexity(model, "", { context: 4 })).rejects.toThrow(GrokError);
    const long = scorer(new Array<number>(80).fill(1));
    const controller = new AbortController();
    let chunks = 0;
    const running = measurePerplexity(long.model, "", {
      context: 8,
      signal: controller.signal,
      onChunk: () => {
        controller.abort();
        chunks++;
      },
    });
    await expect(running).rejects.toMatchObject({ code: "cancelled" });
    expect(chunks).toBe(1);
  });
});
