import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { loadAddon } from "../../src/addon.ts";
import { loadModel } from "../../src/index.ts";

const vectors = resolve(import.meta.dirname, "../vectors/models");
const greedy = { temperature: 0, ignoreEnd: true } as const;

const backends = ["reference", ...(loadAddon().addon === undefined ? [] : ["native" as const])] as const;

describe.each(backends)("experts of tokens, on the %s backend", (backend) => {
  it.each(["grok-1", "grok-2", "mixtral"])(
    "are those that the layers of %s chose for what they came from",
    async (name) => {
      // A prompt longer than a pass: its last part counts.
      await using model = await loadModel(join(vectors, `${name}.gguf`), { backend, batchTokens: 8 });
      const prompt = model.encode("A long beginning, so that it takes several passes.");
      const options = { ...greedy, maxTokens: 12 };
      const company = model.generate("Meanwhile", options).result;
      const generation = model.generate(prompt, { ...options, experts: true });
      const pieces = [];
      for await (const { tokens, experts } of generation) {
        expect(experts).toHaveLength(tokens.length);
        pieces.push(...experts!);
      }
      const { tokens, experts, usage } = await generation.result;
      expect(pieces).toEqual(experts);
      expect(usage.draftedTokens).toBe(0);
      // Watching changes nothing, neither for who is watched nor for others.
      expect(tokens).toEqual((await model.generate(prompt, options).result).tokens);
      expect((await company).tokens).toEqual((await model.generate("Meanwhile", options).result).tokens);
      expect((await company).experts).toBeUndefined();

      const { layers } = await model.logits([...prompt, ...tokens], { layers: true });
      const { config } = model.description;
      for (const [i, choices] of experts!.entries()) {
        const row = prompt.length - 1 + i;
        expect(choices.map(({ layer }) => layer)).toEqual(Array.from({ length: config!.layers }, (_, layer) => layer));
        for (const { layer, experts: chosen, weights } of choices) {
          const of = (kind: string, cols: number) => [
            ...layers.get(`${kind}.${layer}`)!.values.subarray(row * cols, (row + 1) * cols),
          ];
          expect(chosen).toEqual(of("experts", config!.used));
          const probabilities = of("router", config!.experts);
          const kept = chosen.map((expert) => probabilities[expert]!);
          const total = name.startsWith("grok") ? 1 : kept.reduce((sum, p) => sum + p, 0);
          for (const [k, weight] of weights.entries()) expect(weight).toBeCloseTo(kept[k]! / total, 4);
        }
      }
    },
  );

  it("are none in a dense model", async () => {
    await using model = await loadModel(join(vectors, "llama.gguf"), { backend });
    const { experts } = await model.generate("Once", { ...greedy, maxTokens: 3, experts: true }).result;
    expect(experts).toEqual([[], [], []]);
  });

  it("are refused where tokens are not drawn one by one, and where it is no flag", async () => {
    await using model = await loadModel(join(vectors, "grok-1.gguf"), { backend });
    for (const options of [{ beams: 2, experts: true }, { experts: 1 as never }]) {
      await expect(model.generate("Once", { maxTokens: 2, ...options }).result).rejects.toMatchObject({
        code: "argument",
        details: { option: "experts" },
      });
    }
  });
});
