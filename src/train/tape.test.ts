import { afterAll, describe, expect, it } from "vitest";
import type { GradOps, Parameter } from "../kernels/grad-ops.ts";
import type { Matrix } from "../kernels/ops.ts";
import { createRandom, relativeError } from "../kernels/oracle.case.ts";
import { createGradReference } from "../kernels/reference/grad-reference.ts";
import { observe } from "../model/observe.ts";
import { bindModel } from "../model/registry.ts";
import { runTokens } from "../model/run.case.ts";
import { batchFor, forward, openModel, readVectors, type TrainVectors, trainAll } from "./models.case.ts";
import { createTape } from "./tape.ts";

const ops = createGradReference();
afterAll(() => ops.close());

const gradientOf = (parameter: Parameter, of: GradOps = ops) =>
  Float64Array.from(of.readParameter(parameter, "gradient"));

async function walk({ tape, model }: ReturnType<typeof trainAll>, vectors: TrainVectors) {
  const logits = await forward(model, batchFor(vectors));
  const { targets, weights, balance, zLoss } = vectors;
  return tape.backward(logits, Int32Array.from(targets), Float64Array.from(weights), { balance, zLoss });
}

/** A smaller batch of the same tokens; logits of all rows, or, where only some were wanted, of all but two. */
function firstRows(vectors: TrainVectors, counts: number[]): TrainVectors {
  const n = counts.reduce((a, b) => a + b, 0);
  const wanted = vectors.outputs.length < vectors.tokens.length ? n - 2 : n;
  const outputs = Array.from({ length: wanted }, (_, i) => i + n - wanted);
  const targets = outputs.map((row) => vectors.tokens[row + 1]!);
  return {
    ...vectors,
    counts,
    tokens: vectors.tokens.slice(0, n),
    outputs,
    targets,
    weights: outputs.map((i) => i / 99),
  };
}

/** The loss that `backward` descends, from a forward pass alone. */
async function lossOf(trained: ReturnType<typeof trainAll>, vectors: TrainVectors, file: ReturnType<typeof openModel>) {
  const { tape, parameters } = trained;
  const seen = new Map<string, number[]>();
  const watched = observe({ ...tape.ops, weight: (tensor) => parameters.get(tensor.name)! }, (layer, name, matrix) => {
    if (name.startsWith("ffn_moe_probs") || name === "ffn_moe_logits") {
      seen.set(`${name}.${layer}`, [...(ops.read(matrix) as Float64Array)]);
    }
  });
  const model = bindModel(watched, file);
  const logits = await forward(model, batchFor(vectors));
  const { config } = model;
  let { loss } = ops.crossEntropy(
    undefined,
    logits,
    Int32Array.from(vectors.targets),
    Float64Array.from(vectors.weights),
  );
  tape.forget();
  for (let layer = 0; config.experts > 0 && layer < config.layers; layer++) {
    const p = seen.get(`ffn_moe_probs.${layer}`)!;
    const chosen = seen.get(`ffn_moe_probs.chosen.${layer}`)!;
    const rows = p.length / config.experts;
    p.forEach((value, i) => {
      const share = chosen.filter((expert) => expert === i % config.experts).length / chosen.length;
      loss += (vectors.balance * config.experts * share * value) / rows;
    });
    const x = seen.get(`ffn_moe_logits.${layer}`)!;
    for (let row = 0; row < rows; row++) {
      const sum = x.slice(row * config.experts, (row + 1) * config.experts).reduce((all, v) => all + Math.exp(v), 0);
      loss += (vectors.zLoss * Math.log(sum) ** 2) / rows;
    }
  }
  return loss;
}

describe.each(["grok-1", "grok-2", "llama", "mixtral"])("%s, every weight a parameter", (name) => {
  const file = openModel(name);
  afterAll(() => file.close());
  const vectors = readVectors<TrainVectors>(name);

  it("has PyTorch's loss and gradients", async () => {
    const trained = trainAll(ops, file);
    const losses = await walk(trained, vectors);
    expect(losses.loss / vectors.loss - 1).toBeCloseTo(0, 9);
    if (trained.model.config.experts > 0) {
      expect(losses.balance / vectors.balanceLoss - 1).toBeCloseTo(0, 9);
      expect(losses.zLoss / vectors.zLossValue - 1).toBeCloseTo(0, 9);
    }
    expect([...trained.parameters.keys()].sort()).toEqual(Object.keys(vectors.gradients).sort());
    for (const [tensor, expected] of Object.entries(vectors.gradients)) {
      const gradient = gradientOf(trained.parameters.get(tensor)!);
      const norm = Math.hypot(...gradient);
      expect(Math.abs(norm / expected.norm - 1), tensor).toBeLessThan(1e-6);
      const product = gradient.reduce((sum, value, i) => sum + value * Math.cos(i), 0);
      expect(Math.abs(product - expected.product) / expected.norm, tensor).toBeLessThan(1e-6);
      const some = expected.places.map((place) => gradient[place]!);
      expect(relativeError(some, expected.values), tensor).toBeLessThan(1e-6);
    }
    ops.freeParameters([...trained.parameters.values()]);
  });

  it("has the gradients of finite differences, of every parameter", async () => {
    const trained = trainAll(ops, file);
    const short = firstRows(vectors, [4, 1, 6]);
    await walk(trained, short);
    const random = createRandom(name.length);
    for (const [tensor, parameter] of trained.parameters) {
      const gradient = gradientOf(parameter);
      const order = [...gradient.keys()].sort((a, b) => Math.abs(gradient[b]!) - Math.abs(gradient[a]!));
      // Where it is largest, differences are sharpest; and one place anywhere.
      const places = [order[random.below(8)]!, random.below(gradient.length)];
      const values = ops.readParameter(parameter, "values");
      const slopes: number[] = [];
      for (const place of places) {
        const value = values[place]!;
        const at = async (shift: number) => {
          const moved = Float64Array.from(values);
          moved[place] = value + shift;
          ops.writeParameter(parameter, "values", moved);
          const loss = await lossOf(trained, short, file);
          moved[place] = value;
          ops.writeParameter(parameter, "values", moved);
          return loss;
        };
        // Central differences of fourth order: the embedding is scaled by 80 and more, so the loss bends quickly.
        const step = 2e-5;
        const [near, far] = [(await at(step)) - (await at(-step)), (await at(2 * step)) - (await at(-2 * step))];
        slopes.push((8 * near - far) / (12 * step));
      }
      const some = places.map((place) => gradient[place]!);
      expect(relativeError(some, slopes), tensor).toBeLessThan(1e-6);
    }
    ops.freeParameters([...trained.parameters.values()]);
  });

  it("runs forward as without a tape", async () => {
    const trained = trainAll(ops, file);
    const tokens = Int32Array.from(vectors.tokens.slice(0, 9));
    const every = Array.from(tokens.keys());
    const batch = batchFor({ ...vectors, counts: [9], tokens: [...tokens], outputs: every });
    const logits = Array.from(await ops.read(await forward(trained.model, batch)));
    // Caches hold float32.
    expect(relativeError(logits, (await runTokens(ops, file, tokens)).logits)).toBeLessThan(1e-6);
    trained.tape.forget();
    ops.freeParameters([...trained.parameters.values()]);
  });

  it("has the same gradients, to the bit, when layers are computed again", async () => {
    const kept = trainAll(ops, file);
    const again = trainAll(ops, file, { recompute: true });
    expect(await walk(again, vectors)).toEqual(await walk(kept, vectors));
    for (const [tensor, parameter] of kept.parameters) {
      expect(gradientOf(again.parameters.get(tensor)!), tensor).toEqual(gradientOf(parameter));
    }
    // And a second pass adds the same again.
    await walk(again, vectors);
    for (const [tensor, parameter] of kept.parameters) {
      const twice = gradientOf(parameter).map((value) => 2 * value);
      expect(relativeError(gradientOf(again.parameters.get(tensor)!), twice), tensor).toBeLessThan(1e-14);
    }
    ops.freeParameters([...kept.parameters.values(), ...again.parameters.values()]);
  });
});

/** `ops`, and what is asked of it: names of matrices, and how often each rule is called. */
function watch(inner: GradOps) {
  const names = new Set<string>();
  const calls = new Map<string, number>();
  const note = (matrix: unknown) => {
    if (typeof (matrix as Matrix | undefined)?.name === "string") names.add((matrix as Matrix).name);
    else if (typeof matrix === "object" && matrix !== null) for (const part of Object.values(matrix)) note(part);
  };
  const watched = Object.fromEntries(
    Object.entries(inner).map(([name, call]) => [
      name,
      typeof call === "function"
        ? (...args: unknown[]) => {
            calls.set(name, (calls.get(name) ?? 0) + 1);
            const result = (call as (...args: unknown[]) => unknown)(...args);
            if (!["parameter", "weight", "lowRank", "readParameter", "read"].includes(name)) note(result);
            return result;
          }
        : call,
    ]),
  ) as unknown as GradOps;
  return { watched, names, calls };
}

describe("a tape", () => {
  const file = openModel("grok-1");
  afterAll(() => file.close());
  const vectors = readVectors<TrainVectors>("grok-1");

  it("needs no new memory once warm, and less when layers are computed again", async () => {
    const slots = [false, true].map(async (recompute) => {
      const { watched, names } = watch(ops);
      const trained = trainAll(watched, file, { recompute });
      await walk(trained, vectors);
      const warm = names.size;
      await walk(trained, vectors);
      expect(names.size).toBe(warm);
      ops.freeParameters([...trained.parameters.values()]);
      return warm;
    });
    const [kept, again] = await Promise.all(slots);
    expect(again!).toBeLessThan(0.75 * kept!);
  });

  it("trains adapters over a quantized base, and walks back no further than they need", async () => {
    const { watched, calls } = watch(ops);
    const random = createRandom(3);
    const adapters = new Map<string, Parameter>();
    const draw = (name: string, shape: readonly number[]) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const parameter = ops.parameter(name, shape, random.normal(count, 0.1));
      adapters.set(name, parameter);
      return parameter;
    };
    const tape = createTape(watched, {
      bind(tensor) {
        const base = ops.weight(tensor);
        if (!/^blk\.1\.(attn_q|attn_output|ffn_gate_inp|ffn_(gate|up|down)_exps)\.weight$/.test(tensor.name))
          return base;
        const { shape, name } = tensor;
        const [rows, cols, stack] = [shape.at(-2)!, shape.at(-1)!, shape.slice(0, -2)];
        const a = draw(`${name}.a`, [...stack, 3, cols]);
        return ops.lowRank(base, a, draw(`${name}.b`, [...stack, rows, 3]), 2);
      },
    });
    const model = bindModel(tape.ops, file);
    const batch = batchFor(vectors);
    const [targets, weights] = [Int32Array.from(vectors.targets), Float64Array.from(vectors.weights)];
    await tape.backward(await forward(model, batch), targets, weights);
    // In layer 1: the output, three of attention (q by itself), the router. In layer 0 nothing is trained.
    expect([calls.get("selfAttentionBackward"), calls.get("expertsBackward")]).toEqual([1, 1]);
    expect(calls.get("matmulBackward")).toBe(4);
    expect(calls.get("embedBackward")).toBeUndefined();

    expect(adapters.size).toBe(12);
    for (const [name, parameter] of adapters) {
      const gradient = gradientOf(parameter);
      const direction = createRandom(name.length).normal(gradient.length);
      // Steps along the gradient, with noise so that each element counts for something.
      const scale = Math.hypot(...gradient) / Math.sqrt(gradient.length);
      const along = gradient.map((value, i) => value / scale + direction[i]! / 10);
      const values = Float64Array.from(ops.readParameter(parameter, "values"));
      const at = async (step: number) => {
        ops.writeParameter(parameter, "values", values.map((value, i) => value + step * along[i]!)); // biome-ignore format: one call
        const { loss } = ops.crossEntropy(undefined, await forward(model, batch), targets, weights);
        tape.forget();
        return loss;
      };
      const step = 1e-4;
      const [near, far] = [(await at(step)) - (await at(-step)), (await at(2 * step)) - (await at(-2 * step))];
      ops.writeParameter(parameter, "values", values);
      const slope = (8 * near - far) / (12 * step);
      const expected = gradient.reduce((sum, value, i) => sum + value * along[i]!, 0);
      expect(Math.abs(slope / expected - 1), name).toBeLessThan(1e-6);
    }
  });

  it("refuses what it did not record, and sequences that do not start at their beginning", async () => {
    const trained = trainAll(ops, file);
    const { tape, model } = trained;
    const [targets, weights] = [Int32Array.from(vectors.targets), Float64Array.from(vectors.weights)];
    const logits = await forward(model, batchFor(vectors));
    tape.forget();
    await expect(tape.backward(logits, targets, weights)).rejects.toThrow(/recorded/);
    const frozen = createTape(ops);
    const still = await forward(bindModel(frozen.ops, file), batchFor(vectors));
    await expect(frozen.backward(still, targets, weights)).rejects.toThrow(/trains/);
    const late = batchFor(vectors);
    late.positions[0] = 3;
    await expect(forward(model, late)).rejects.toThrow(/position 3/);
    ops.freeParameters([...trained.parameters.values()]);
  });
});
