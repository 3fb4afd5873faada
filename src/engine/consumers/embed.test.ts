import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { convertModel } from "../../convert/convert.ts";
import { loadModel } from "../../generate/load.ts";
import { collect, expectAllFree, greedy, nextId, start } from "../core.case.ts";
import { fakeLogits, greedyOracle } from "../fake-model.case.ts";

const vectors = join(import.meta.dirname, "../../../test/vectors/hugging-face");
/** Made by transformers: see test/oracles/make_embedding_vectors.py. */
const oracle = JSON.parse(readFileSync(join(vectors, "embeddings.json"), "utf8")) as {
  readonly texts: readonly (readonly number[])[];
  readonly vectors: Readonly<Record<string, readonly (readonly number[])[]>>;
};
const folder = mkdtempSync(join(tmpdir(), "grok1-embed-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(Object.keys(oracle.vectors))("%s", (name) => {
  it.each(["reference", "native"] as const)(
    "gives the vectors that transformers gives, on the %s backend",
    async (backend) => {
      const out = join(folder, `${name}.gguf`);
      await convertModel({ source: join(vectors, name), out, type: "f32" });
      await using model = await loadModel(out, { backend });
      const found = await model.embed(oracle.texts);
      for (const [i, expected] of oracle.vectors[name]!.entries()) {
        expect(found[i]).toHaveLength(expected.length);
        for (const [j, value] of expected.entries())
          expect(found[i]![j]).toBeCloseTo(value, backend === "native" ? 3 : 5);
        expect(Math.hypot(...found[i]!)).toBeCloseTo(1, 5);
      }
      // The same in any company.
      const [alone] = await model.embed([oracle.texts[1]!]);
      const more = await model.embed([...oracle.texts, ...oracle.texts]);
      for (const [j, value] of alone!.entries()) expect(more[4]![j]).toBeCloseTo(value, 5);
      expect(await model.status()).toMatchObject({ requests: 0 });
    },
  );
});

/** Of the fake model, whose hidden states are its logits. */
function expected(tokens: readonly number[]): number[] {
  const rows = tokens.map((_, i) => fakeLogits(tokens.slice(0, i + 1)));
  const sum = rows[0]!.map((_, at) => rows.reduce((total, row) => total + row[at]!, 0));
  return [...sum.map((value) => value / Math.hypot(...sum))];
}

describe("embedding many texts", () => {
  it("gives each what it has alone, however short memory is and whoever else is there", async () => {
    const text = fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { maxLength: 12 }),
        fc.integer({ min: 64, max: 200 }),
        fc.integer({ min: 1, max: 40 }),
        fc.nat(2),
        async (texts, cacheTokens, batchTokens, conversations) => {
          const { core } = start({ cacheTokens, batchTokens }, { width: 11 });
          const embedding = core.embed(
            nextId(),
            texts.map((tokens) => Int32Array.from(tokens)),
          );
          const answers = Array.from({ length: conversations }, (_, i) =>
            collect(core, { tokens: [i, 1, 2], maxTokens: 12, ...greedy }),
          );
          const found = await embedding;
          for (const [i, tokens] of texts.entries()) {
            for (const [j, value] of expected(tokens).entries()) expect(found[i]![j]).toBeCloseTo(value, 5);
          }
          for (const [i, answer] of answers.entries())
            expect((await answer).tokens).toEqual(greedyOracle([i, 1, 2], 12));
          expectAllFree(core);
          await core.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  it("can be cancelled, and refuses what does not fit", async () => {
    const { core } = start({}, { width: 11 });
    const id = nextId();
    const long = core.embed(
      id,
      Array.from({ length: 50 }, () => new Int32Array(60).fill(1)),
    );
    core.cancel(id);
    await expect(long).rejects.toMatchObject({ code: "cancelled" });
    await expect(core.embed(nextId(), [new Int32Array(65)])).rejects.toMatchObject({ code: "capacity" });
    await expect(core.embed(nextId(), [new Int32Array(0)])).rejects.toMatchObject({ code: "argument" });
    expect(await core.embed(nextId(), [])).toEqual([]);
    expectAllFree(core);
    await core.close();
  });
});
