import { GrokError } from "../errors.ts";
import type { GradOps, Parameter } from "../kernels/grad-ops.ts";
import type { Matrix, Ops } from "../kernels/ops.ts";
import { bindModel } from "../model/registry.ts";
import { clippingFactor } from "./clipping.ts";
import type { TrainConfig } from "./config.ts";
import type { HeldOutSet } from "./data/held-out.ts";
import type { TrainBatch } from "./data/segments.ts";
import { memoryModel, type ParameterSpec } from "./parameters.ts";
import { rateAt } from "./schedule.ts";
import { createTape } from "./tape.ts";

/** What a replica's passes of one step add up to. Plain JSON. */
export interface ReplicaSums {
  /** Nats, summed over learned tokens. */
  readonly loss: number;
  /** The router's losses, each pass by its share of the step's tokens. */
  readonly balance: number;
  readonly zLoss: number;
  /** UTF-8 bytes that the learned tokens stand for. */
  readonly bytes: number;
  /** [layers, experts] how often each expert was chosen. */
  readonly chosen: readonly number[];
}

export interface HeldOutScore {
  readonly name: string;
  readonly bitsPerByte: number;
  /** Nats a token. */
  readonly loss: number;
}

/** A model in training on one backend. */
export interface Trainer {
  readonly ops: GradOps;
  /** In the order of the specs: the order of every sum over them. */
  readonly parameters: readonly Parameter[];
  /**
   * Zeroes the gradients, then adds those of a replica's batches, as shares of a step of `tokens` rows and `learned` targets.
   */
  accumulate(batches: readonly TrainBatch[], step: { tokens: number; learned: number }): Promise<ReplicaSums>;
  /** Clips and applies the gradients. Returns the rate and their norm before clipping. */
  update(step: number): { readonly rate: number; readonly norm: number };
  /** Bits per byte = nats / ln 2 / bytes of text, over all of a held-out set; undefined when the signal came between. */
  score(set: HeldOutSet, signal?: AbortSignal): Promise<HeldOutScore | undefined>;
}

export interface TrainerOptions {
  readonly specs: readonly ParameterSpec[];
  readonly values: (spec: ParameterSpec) => Float32Array | Float64Array;
  /** [vocab] UTF-8 bytes that each token stands for. */
  readonly tokenBytes: Uint16Array;
  /** Compute activations a second time on the way back, in place of keeping them. Default false. */
  readonly recompute?: boolean;
}

/** A model whose weights are all parameters, on a tape. */
export function bindTrained(
  ops: GradOps,
  sizes: TrainConfig["model"],
  parameters: readonly Parameter[],
  options: { readonly recompute: boolean; readonly observe?: (ops: Ops) => Ops },
) {
  const { recompute, observe = (each) => each } = options;
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const tape = createTape(ops, { bind: (tensor) => byName.get(tensor.name)!, recompute });
  const file = memoryModel(sizes, new Map(parameters.map((parameter) => [parameter.name, parameter.tensor])));
  const model = bindModel(observe(tape.ops), file);
  return { tape, model, cache: model.kvCache({ pages: 0, pageTokens: 1, type: "f32" }) };
}

export function createTrainer(ops: GradOps, config: TrainConfig, options: TrainerOptions): Trainer {
  const { model: sizes, optimizer, losses } = config;
  const parameters = options.specs.map((spec) => ops.parameter(spec.name, spec.shape, options.values(spec)));
  const use = createChoiceCount(sizes.layers, sizes.experts);
  const { tape, model, cache } = bindTrained(ops, sizes, parameters, {
    ...{ recompute: options.recompute ?? false, observe: use.observe },
  });
  const matrices = parameters.filter(({ shape }) => shape.length > 1);
  const gains = parameters.filter(({ shape }) => shape.length === 1);

  return {
    ops,
    parameters,
    async accumulate(batches, { tokens, learned }) {
      ops.zeroGradients(parameters);
      use.reset();
      const sums = { loss: 0, balance: 0, zLoss: 0, bytes: 0 };
      for (const { batch, targets } of batches) {
        // A pass that teaches nothing: its prompts fill the batch, the answers begin in none of it.
        if (targets.length === 0) continue;
        const share = batch.tokens.length / tokens;
        const logits = await model.forward(batch, cache);
        const weights = new Float64Array(targets.length).fill(1 / learned);
        const router = { balance: losses.balance * share, zLoss: losses.routerZ * share };
        const pass = await tape.backward(logits, targets, weights, router);
        sums.loss += pass.loss * learned;
        sums.balance += pass.balance * share;
        sums.zLoss += pass.zLoss * share;
        for (const target of targets) sums.bytes += options.tokenBytes[target]!;
        // Signals and messages are seen between passes.
        await new Promise((resolve) => setImmediate(resolve));
      }
      return { ...sums, chosen: await use.counts() };
    },
    update(step) {
      const norm = ops.gradientNorm(parameters);
      if (!Number.isFinite(norm)) {
        throw new GrokError(
          "argument",
          `${config.path}: at step ${step} the gradient is ${norm}: training diverged; a lower optimizer.rate or a longer warm-up may help`,
          { step },
        );
      }
      const rate = rateAt(step, config.steps, optimizer);
      const [beta1, beta2] = optimizer.betas;
      const factor = clippingFactor(norm, optimizer.clip);
      const common = { rate, beta1, beta2, epsilon: optimizer.epsilon, step, factor };
      ops.adamw(matrices, { ...common, decay: optimizer.weightDecay });
      ops.adamw(gains, { ...common, decay: 0 });
      return { rate, norm };
    },
    async score(set, signal) {
      let nats = 0;
      for (const { batch, targets, weights } of set.batches()) {
        if (signal?.aborted) return undefined;
        if (targets.length === 0) continue;
        const logits = await model.forward(batch, cache);
        nats += ops.crossEntropy(undefined, logits, targets, weights).loss;
        tape.forget();
        await new Promise((resolve) => setImmediate(resolve));
      }
      return { name: set.name, bitsPerByte: nats / Math.LN2 / set.bytes, loss: nats / set.tokens };
    },
  };
}

/** Counts how often the router chose each expert. */
function createChoiceCount(layers: number, experts: number) {
  let counts = new Array<number>(layers * experts).fill(0);
  let waiting: Promise<void>[] = [];
  let layer = -1;
  const add = (values: ArrayLike<number>, at: number) => {
    for (let i = 0; i < values.length; i++) counts[at * experts + values[i]!]!++;
  };
  const observe = (ops: Ops): Ops => ({
    ...ops,
    at(index) {
      layer = index;
      ops.at(index);
    },
    route(name, logits: Matrix, options) {
      const routing = ops.route(name, logits, options);
      const at = layer;
      const values = ops.read(routing.chosen);
      if (values instanceof Promise) waiting.push(values.then((read) => add(read, at)));
      else add(values, at);
      return routing;
    },
  });
  return {
    observe,
    reset() {
      counts = new Array<number>(layers * experts).fill(0);
      waiting = [];
    },
    async counts(): Promise<readonly number[]> {
      await Promise.all(waiting);
      return counts;
    },
  };
}

export interface ExpertUse {
  /** Of the busiest expert of any layer, its share of the choices, times the experts: 1 is even use. */
  readonly imbalance: number;
  /** Experts, of all layers, that nothing chose. */
  readonly unused: number;
  /** [layers][experts] shares of a layer's choices. */
  readonly shares: readonly (readonly number[])[];
}

export function describeUse(chosen: readonly number[], layers: number): ExpertUse {
  const experts = chosen.length / layers;
  const shares = Array.from({ length: layers }, (_, layer) => {
    const counts = chosen.slice(layer * experts, (layer + 1) * experts);
    const total = counts.reduce((sum, count) => sum + count, 0);
    return counts.map((count) => (total === 0 ? 0 : count / total));
  });
  return {
    imbalance: Math.max(...shares.flat()) * experts,
    unused: chosen.filter((count) => count === 0).length,
    shares,
  };
}
