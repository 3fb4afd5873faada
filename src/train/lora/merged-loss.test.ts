import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { merge, mergeTypes } from "../../convert/merge.ts";
import { type GgufFile, openGguf } from "../../formats/gguf/file.ts";
import { createGradReference } from "../../kernels/reference/grad-reference.ts";
import { bindModel } from "../../model/registry.ts";
import { heldOutSets } from "../data/held-out.ts";
import { createCrossEntropy, type TapedModel } from "../objective.ts";
import { createTape } from "../tape.ts";
import { createTrainer } from "../trainer.ts";
import { adaptModel } from "./adapted-model.ts";
import { openFinetuneCheckpoint } from "./checkpoint.ts";
import { loadData } from "./data.ts";
import { finetune } from "./finetune.ts";
import { settleOptions } from "./options.ts";

vi.setConfig({ testTimeout: 120_000 });
const models = join(import.meta.dirname, "../../../test/vectors/models");
const folder = mkdtempSync(join(tmpdir(), "grok1-merged-loss-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What is learned: a letter for a letter, a word backwards, how many there are. */
const tasks: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  letters: [..."abcdef"].map((letter, i) => [letter, [..."uvwxyz"][i]!] as const),
  backwards: ["sun", "moon", "fox"].map((word) => [word, [...word].reverse().join("")] as const),
  counts: ["a", "aa", "aaa", "aaaa"].map((text) => [text, String(text.length)] as const),
};
const targets = ["attention", "experts"];

/** Nats a learned token. */
async function lossOf(file: GgufFile, data: string, bind: (ops: ReturnType<typeof createGradReference>) => TapedModel) {
  const ops = createGradReference();
  const settled = settleOptions({ model: file.path, data: [data], out: "none", heldOut: 0 });
  const corpora = (await loadData(file, settled, 16, () => {})).map((corpus) => ({
    ...corpus,
    heldOut: corpus.training,
  }));
  const sets = heldOutSets(corpora, { context: 16, batchTokens: 64 });
  const optimizer = {
    rate: 1,
    warmup: 0,
    finalShare: 1,
    betas: [0.9, 0.9],
    epsilon: 1,
    weightDecay: 0,
    clip: 1,
  } as const;
  const objective = createCrossEntropy(ops, bind(ops));
  const trainer = createTrainer(ops, { parameters: [], objective, optimizer, steps: 1, source: data });
  const [score] = (await trainer.score(sets, 1))!;
  ops.close();
  return score!.loss;
}

describe.each(["llama", "mixtral", "grok-1"])("%s, fine-tuned and merged", (name) => {
  it.each(Object.keys(tasks))("says %s as with its adapter, or warns, in every type", async (task) => {
    const model = join(models, `${name}.gguf`);
    const data = join(folder, `${name}-${task}.jsonl`);
    writeFileSync(data, tasks[task]!.map(([prompt, answer]) => `${JSON.stringify({ prompt, answer })}\n`).join(""));
    const out = join(folder, `${name}-${task}`);
    const shape = { rank: 4, alpha: 8, targets };
    await finetune({
      ...{ model, data: [data], out, backend: "reference", heldOut: 0, rank: 4, targets, rate: 0.03, steps: 15 },
      ...{ warmup: 1, batchTokens: 64, context: 16 },
    });
    const base = openGguf(model);
    const adapted = await lossOf(base, data, (ops) => {
      const bound = adaptModel(ops, base, shape, { seed: 1, recompute: false });
      const checkpoint = openFinetuneCheckpoint(out);
      checkpoint.restore(ops, bound.parameters);
      checkpoint.close();
      return bound;
    });
    base.close();
    for (const type of ["keep", ...mergeTypes] as const) {
      if (type === "q4_k" || type === "q6_k") continue; // rows of 64
      const path = join(folder, "merged.gguf");
      const { changed } = await merge({ model, out: path, adapters: [{ path: out }], type });
      const merged = openGguf(path);
      const loss = await lossOf(merged, data, (ops) => {
        const tape = createTape(ops);
        const bound = bindModel(tape.ops, merged);
        return { tape, model: bound, cache: bound.kvCache({ pages: 0, pageTokens: 1, type: "f32" }) };
      });
      merged.close();
      const warned = changed.some(({ good }) => !good);
      if (type === "keep") expect(warned).toBe(false);
      if (!warned) expect(Math.abs(loss - adapted), `${type}: ${loss}, with the adapter ${adapted}`).toBeLessThan(0.05);
    }
  });
});
