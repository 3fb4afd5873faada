import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { merge } from "../../src/convert/merge.ts";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { loadModel, type Session } from "../../src/index.ts";
import { readConfig } from "../../src/model/config.ts";
import { makeAdapter } from "../../src/model/lora/lora.case.ts";
import { listModules } from "../../src/model/lora/modules.ts";
import { writeAdapter } from "../../src/model/lora/write.ts";

const vectors = fileURLToPath(new URL("../vectors", import.meta.url));
const base = join(vectors, "models/llama.gguf");
/** Made and saved by peft. */
const first = join(vectors, "lora/llama");
const expected = JSON.parse(readFileSync(join(first, "expected.json"), "utf8")) as Record<string, number[]>;
const folder = mkdtempSync(join(tmpdir(), "grok1-library-adapters-"));
const second = join(folder, "second");
const backend = "reference";
const adapters = [
  { path: first, name: "first" },
  { path: second, name: "second" },
];

beforeAll(async () => {
  const file = openGguf(base);
  const { terms } = makeAdapter(listModules(file), { rank: 4, alpha: 8, size: 0.4 });
  await writeAdapter(second, { terms, rank: 4, alpha: 8, base, headSize: readConfig(file).headSize });
  file.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

const prompt = expected.tokens!;
const answer = async (from: Pick<Session, "generate">, chosen?: readonly { name: string; scale?: number }[]) => {
  const request = { temperature: 0, ignoreEnd: true, maxTokens: 10, ...(chosen && { adapters: chosen }) };
  return (await from.generate(prompt, request).result).tokens;
};

describe("a model loaded with adapters", () => {
  it("answers each of two sessions at once with its own, as a model that it is merged into does", async () => {
    await using model = await loadModel(base, { backend, adapters });
    await using one = model.session();
    await using two = model.session();
    const choices = [[{ name: "first" }], [{ name: "second", scale: 0.5 }]];
    const found = await Promise.all([one, two].map((session, i) => answer(session, choices[i])));
    for (const [i, [{ name, scale = 1 }]] of (choices as [{ name: string; scale?: number }][]).entries()) {
      const merged = join(folder, `merged-${i}.gguf`);
      const { path } = adapters.find((each) => each.name === name)!;
      await merge({ model: base, out: merged, adapters: [{ path, scale }], type: "f32" });
      await using alone = await loadModel(merged, { backend });
      expect(found[i]).toEqual(await answer(alone));
    }
    // And the base itself is as it was.
    await using plain = await loadModel(base, { backend });
    expect(await answer(model, [])).toEqual(await answer(plain));
    expect(new Set([...found, await answer(plain), await answer(model)].map(String)).size).toBe(4);
  });

  it("gives peft's own probabilities", async () => {
    await using model = await loadModel(base, { backend, adapters });
    const { vocab } = model.info;
    for (const [scale, logits] of [
      [1, expected.logits!],
      [0, expected.base!],
    ] as const) {
      const request = { temperature: 0, ignoreEnd: true, maxTokens: 1, logprobs: 0 };
      const { logprobs } = await model.generate(prompt, { ...request, adapters: [{ name: "first", scale }] }).result;
      const row = logits.slice(-vocab);
      const token = row.indexOf(Math.max(...row));
      const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
      expect(logprobs![0]!.token).toBe(token);
      expect(logprobs![0]!.logprob).toBeCloseTo(row[token]! - total, 4);
    }
  });

  it.each(["reference", "auto"] as const)(
    "scores as its whole logits say, of an adapted output matrix: %s",
    async (kind) => {
      const base = join(vectors, "models/mixtral.gguf");
      const file = openGguf(base);
      const modules = listModules(file);
      expect(modules.some(({ target }) => target === "output")).toBe(true);
      const both = [5, 6].map((seed) => ({ path: join(folder, `${kind}-${seed}`), scale: 1 / seed }));
      for (const [i, { path }] of both.entries()) {
        const { terms } = makeAdapter(modules, { rank: 4, alpha: 8, size: 0.4, seed: i });
        await writeAdapter(path, { terms, rank: 4, alpha: 8, base, headSize: readConfig(file).headSize });
      }
      file.close();
      const prompt = [3, 14, 15, 9, 26, 5, 35];
      const texts = [
        { tokens: prompt, from: 1 },
        { tokens: prompt.slice(0, 3), from: 2 },
        { tokens: [...prompt].reverse(), from: 1 },
        { tokens: [...prompt, ...prompt.slice(2)], from: prompt.length },
      ];
      await using model = await loadModel(base, { backend: kind, adapters: both });
      const scores = await model.score(texts, { top: 3 });
      for (const [i, { tokens, from }] of texts.entries()) {
        const { values, shape } = (await model.logits(tokens)).logits;
        const vocab = shape[1]!;
        for (let at = from; at < tokens.length; at++) {
          const row = Float64Array.from(values.subarray((at - 1) * vocab, at * vocab));
          const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
          expect(scores[i]![at - from]).toBeCloseTo(row[tokens[at]!]! - total, 5);
        }
      }
      // The base alone says something else, the model that both are merged into the same.
      const merged = join(folder, `output-${kind}.gguf`);
      await merge({ model: base, out: merged, adapters: both, type: "f32" });
      await using alone = await loadModel(merged, { backend: kind });
      await using plain = await loadModel(base, { backend: kind });
      const [same, other] = [await alone.score(texts), await plain.score(texts)];
      expect(
        Math.max(...scores.flatMap((list, i) => [...list].map((x, j) => Math.abs(x - same[i]![j]!)))),
      ).toBeLessThan(1e-4);
      expect(
        Math.max(...scores.flatMap((list, i) => [...list].map((x, j) => Math.abs(x - other[i]![j]!)))),
      ).toBeGreaterThan(0.1);
      // Nor does it matter who looks on, or generates beside.
      for (const beside of [
        () => model.logits(prompt, { layers: true }),
        () => model.generate(prompt, { maxTokens: 4 }).result,
        () => model.logits(prompt),
      ]) {
        const [again] = await Promise.all([model.score(texts), beside()]);
        for (const [i, list] of again.entries())
          for (const [j, x] of list.entries()) expect(x).toBeCloseTo(scores[i]![j]!, 5);
      }
      for (const watched of [model, plain]) {
        const before = await watched.score(texts);
        const seen = watched.logits(prompt, { layers: true });
        const [during, { logits }] = await Promise.all([watched.score(texts), seen]);
        expect(during).toEqual(before);
        expect(logits.values).toEqual((await watched.logits(prompt)).logits.values);
      }
    },
  );

  it("refuses adapters that are not there, on loading and on asking", async () => {
    const missing = join(folder, "none");
    await expect(loadModel(base, { backend, adapters: [{ path: missing }] })).rejects.toMatchObject({
      ...{ code: "io", message: expect.stringContaining(missing) },
    });
    await using model = await loadModel(base, { backend, adapters });
    await expect(answer(model, [{ name: "third" }])).rejects.toMatchObject({
      ...{ code: "argument", message: expect.stringMatching(/no adapter third, expected one of first, second/) },
    });
  });
});
