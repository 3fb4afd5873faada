import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../../formats/gguf/file.ts";
import { createGradReference } from "../../kernels/reference/grad-reference.ts";
import { adaptModel } from "./adapted-model.ts";
import { type MemoryRequest, planMemory } from "./memory-plan.ts";

const models = join(import.meta.dirname, "../../../test/vectors/models");

describe.each(["llama", "mixtral", "grok-1"])("memory for %s", (name) => {
  const file = openGguf(join(models, `${name}.gguf`));
  afterAll(() => file.close());
  const shape = { rank: 4, alpha: 8, targets: ["attention", "experts"] } as const;
  // Nothing is computed: of so many rows, what the process happens to hold is a small part.
  const request: MemoryRequest = {
    ...{ shape, context: 4096, batchTokens: 2 ** 20, accumulation: 2, outputShare: 0.1 },
    ...{ ops: { elementBytes: 4 }, bound: 2 ** 50, mayShrink: true },
  };

  it("is kept, recomputed, or halved, whatever fits the bound", async () => {
    const kept = await planMemory(file, request);
    expect(kept).toMatchObject({ recompute: false, batchTokens: 2 ** 20, accumulation: 2 });
    const again = await planMemory(file, { ...request, bound: 0.98 * kept.estimate });
    expect(again).toMatchObject({ recompute: true, batchTokens: 2 ** 20 });
    expect(again.estimate).toBeLessThan(0.98 * kept.estimate);
    const halved = await planMemory(file, { ...request, bound: again.estimate * 0.9 });
    expect(halved).toMatchObject({ batchTokens: 2 ** 19, accumulation: 4 });
    expect(halved.estimate).toBeLessThan(0.9 * again.estimate);
    const stuck = { ...request, bound: again.estimate * 0.9, mayShrink: false };
    await expect(planMemory(file, stuck)).rejects.toMatchObject({ code: "capacity" });
  });

  it("does not change what is learned", async () => {
    const gradients = await Promise.all(
      [false, true].map(async (recompute) => {
        const ops = createGradReference();
        const { tape, model, cache, parameters } = adaptModel(ops, file, shape, { seed: 3, recompute });
        for (const parameter of parameters) {
          const values = ops.readParameter(parameter, "values");
          ops.writeParameter(
            parameter,
            "values",
            values.map((_, i) => Math.sin(i) / 8),
          );
        }
        const rows = Int32Array.from({ length: 9 }, (_, i) => i);
        const sequences = [{ start: 0, count: 9, pages: new Int32Array(0) }];
        const batch = { tokens: rows.map((i) => 3 * i + 1), positions: rows, sequences, outputs: rows };
        const logits = await model.forward(batch, cache);
        await tape.backward(logits, rows, new Float64Array(9).fill(1));
        const found = parameters.map((parameter) => Float64Array.from(ops.readParameter(parameter, "gradient")));
        ops.close();
        return found;
      }),
    );
    expect(gradients[1]).toEqual(gradients[0]);
    expect(gradients[0]!.flatMap((values) => [...values]).some((value) => value !== 0)).toBe(true);
  });
});
