import { rmSync } from "node:fs";
import { afterAll, describe, expect, it, vi } from "vitest";
import { withoutAddon } from "../../test/support/addon.ts";
import { openGradBackend } from "./backend.ts";
import { createFullTrainer } from "./full-model.ts";
import { defaultBound, planTraining } from "./memory-plan.ts";
import type { TrainEvent, TrainOptions } from "./options.ts";
import { drawValues } from "./parameters.ts";
import { train } from "./run.ts";
import { prepareTraining } from "./setup.ts";
import { lastTensors, makeToy } from "./toy.case.ts";

vi.setConfig({ testTimeout: 120_000 });
const toy = makeToy();
afterAll(() => rmSync(toy.folder, { recursive: true, force: true }));

const sides = {
  layers: 8,
  width: 32,
  heads: 2,
  kvHeads: 1,
  headSize: 16,
  experts: 4,
  used: 2,
  hidden: 32,
  context: 16,
};
const changes = {
  model: { name: "toy", ...sides },
  batchTokens: 6144,
  steps: 2,
  replicas: 2,
  optimizer: { rate: 0.01, warmup: 1 },
};

describe("computing activations again", () => {
  it.for([
    ["reference", ""],
    ["native", withoutAddon],
  ] as const)("gives the same gradients on the %s backend%s", async ([backend, without], { skip }) => {
    skip(without !== "", without);
    const config = toy.config();
    const setup = await prepareTraining(config);
    const found = [];
    for (const recompute of [false, true]) {
      const { ops } = openGradBackend(backend, 2);
      const trainer = createFullTrainer(ops, config, { ...setup, values: (spec) => drawValues(spec, 7), recompute });
      const step = setup.stream().next();
      const sums = await trainer.accumulate(step.shards[0]!.batches, step);
      found.push({ sums, gradients: trainer.parameters.map((each) => [...ops.readParameter(each, "gradient")]) });
      ops.close();
    }
    expect(found[1]).toEqual(found[0]);
    expect(found[0]!.gradients.every((values) => values.some((value) => value !== 0))).toBe(true);
  });

  it("happens where activations do not fit the bound, which is refused when it still does not", async () => {
    const config = toy.config({ ...changes, batchTokens: 2 ** 20 });
    const { specs } = await prepareTraining(config);
    const common = { ops: { elementBytes: 4 }, processes: 1 } as const;
    const kept = await planTraining(config, specs, { ...common, bound: 2 ** 50 });
    expect(kept.recompute).toBe(false);
    const again = await planTraining(config, specs, { ...common, bound: 0.98 * kept.estimate });
    expect(again.recompute).toBe(true);
    expect(again.estimate).toBeLessThan(0.5 * kept.estimate);
    await expect(planTraining(config, specs, { ...common, bound: 0.9 * again.estimate })).rejects.toMatchObject({
      code: "capacity",
      message: expect.stringMatching(/config\.json: batchTokens 1048576.*fewer batchTokens with more accumulation/),
    });
    const two = await planTraining(config, specs, { ...common, processes: 2, bound: 2 ** 50 });
    expect(two.estimate / kept.estimate).toBeCloseTo(2, 1);
    const wide = await planTraining(config, specs, { ...common, ops: { elementBytes: 8 }, bound: 2 ** 50 });
    expect(wide.estimate / kept.estimate).toBeCloseTo(2, 1);
  });

  it("counts what processes exchange in shared memory", async () => {
    const config = toy.config({ model: { name: "toy", ...sides, width: 2048, hidden: 1024 }, replicas: 3 });
    const { specs } = await prepareTraining(config);
    const parameters = specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const plan = (processes: number) =>
      planTraining(config, specs, { ops: { elementBytes: 4 }, processes, bound: 2 ** 50 });
    const [one, two] = [(await plan(1)).estimate, (await plan(2)).estimate];
    // Values, and a gradient of each replica; what this process holds already changes between the two a little.
    const expected = 4 * parameters * (1 + 3);
    expect(Math.abs(two - 2 * one - expected)).toBeLessThan(0.1 * expected);
  });

  it("has a tenth left, and 256 MiB of a small limit, but never less than half of it", () => {
    const mebi = 2 ** 20;
    expect([64 * 1024, 2048, 600, 300].map((limit) => Math.round(defaultBound(limit * mebi) / mebi))).toEqual([
      58982, 1792, 344, 150,
    ]);
  });

  it.skipIf(withoutAddon !== "")(
    `leaves a run what it is, to the bit, whatever the bound and the processes${withoutAddon}`,
    async () => {
      const runs = [];
      for (const { fit, processes } of [
        { fit: "kept", processes: 1 },
        { fit: "again", processes: 1 },
        { fit: "again", processes: 2 },
      ]) {
        const config = toy.config(changes);
        const events: TrainEvent[] = [];
        const options: TrainOptions = { backend: "native", processes, onEvent: (event) => events.push(event) };
        // What the process holds already differs from time to time: the bound is half-way.
        const { specs } = await prepareTraining(config);
        const plan = (bound: number) => planTraining(config, specs, { ops: { elementBytes: 4 }, processes, bound });
        const kept = (await plan(2 ** 50)).estimate;
        const memory = fit === "kept" ? 2 * kept : Math.floor((kept + (await plan(0.98 * kept)).estimate) / 2);
        await train(config, { ...options, memory });
        const start = events.find((event) => event.type === "start")!;
        runs.push({ recompute: start.memory.recompute, tensors: lastTensors(config) });
      }
      expect(runs.map(({ recompute }) => recompute)).toEqual([false, true, true]);
      for (const { tensors } of runs) expect(tensors).toEqual(runs[0]!.tensors);
    },
  );
});
