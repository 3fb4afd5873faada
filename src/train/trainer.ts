import { GrokError } from "../errors.ts";
import type { GradOps, Parameter } from "../kernels/grad-ops.ts";
import { clippingFactor } from "./clipping.ts";
import type { TrainOptimizer } from "./config.ts";
import type { HeldOutSet } from "./data/held-out.ts";
import type { TrainBatch } from "./data/segments.ts";
import type { ChoiceCount } from "./expert-use.ts";
import type { Objective } from "./objective.ts";
import { rateAt } from "./schedule.ts";

/** What a replica's passes of one step add up to. Plain JSON. */
export interface ReplicaSums {
  /** Nats, summed over learned tokens. */
  readonly loss: number;
  /** The router's losses, each pass by its share of the step's tokens. */
  readonly balance: number;
  readonly zLoss: number;
  /** UTF-8 bytes that the learned tokens stand for; 0 where nobody counts them. */
  readonly bytes: number;
  /** [layers, experts] how often each expert was chosen; empty where nobody counts. */
  readonly chosen: readonly number[];
}

export interface HeldOutScore {
  readonly name: string;
  readonly bitsPerByte: number;
  /** Nats a token. */
  readonly loss: number;
}

/** Parameters in training for an objective, on one backend. */
export interface Trainer {
  readonly ops: GradOps;
  /** In a fixed order: the order of every sum over them. */
  readonly parameters: readonly Parameter[];
  /**
   * Zeroes the gradients, then adds those of a replica's batches, as shares of a step of `tokens` rows and `learned` targets.
   */
  accumulate(batches: readonly TrainBatch[], step: { tokens: number; learned: number }): Promise<ReplicaSums>;
  /** Clips and applies the gradients. Returns the rate and their norm before clipping. */
  update(step: number): { readonly rate: number; readonly norm: number };
  /**
   * Scores held-out sets after step `step`: bits per byte = nats / ln 2 / bytes, over all of a set. Undefined when the signal came
   * between. @throws GrokError `argument` for a loss that is no number.
   */
  score(sets: readonly HeldOutSet[], step: number, signal?: AbortSignal): Promise<HeldOutScore[] | undefined>;
}

export interface TrainerOptions {
  readonly parameters: readonly Parameter[];
  readonly objective: Objective;
  readonly optimizer: TrainOptimizer;
  /** Steps in all: the schedule's length. */
  readonly steps: number;
  /** The file that an error names: a configuration, or a model. */
  readonly source: string;
  /** [vocab] UTF-8 bytes that each token stands for. */
  readonly tokenBytes?: Uint16Array;
  readonly use?: ChoiceCount;
}

/** Signals and messages are seen between passes. */
const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));

export function createTrainer(ops: GradOps, options: TrainerOptions): Trainer {
  const { parameters, objective, optimizer, steps, source, tokenBytes, use } = options;
  const matrices = parameters.filter(({ shape }) => shape.length > 1);
  const gains = parameters.filter(({ shape }) => shape.length === 1);

  return {
    ops,
    parameters,
    async accumulate(batches, step) {
      ops.zeroGradients(parameters);
      use?.reset();
      const sums = { loss: 0, balance: 0, zLoss: 0, bytes: 0 };
      for (const batch of batches) {
        // A pass that teaches nothing: its prompts fill the batch, the answers begin in none of it.
        if (batch.targets.length === 0) continue;
        const share = batch.batch.tokens.length / step.tokens;
        const pass = await objective.accumulate(batch, step);
        sums.loss += pass.loss * step.learned;
        sums.balance += pass.balance * share;
        sums.zLoss += pass.zLoss * share;
        if (tokenBytes) for (const target of batch.targets) sums.bytes += tokenBytes[target]!;
        await breathe();
      }
      return { ...sums, chosen: (await use?.counts()) ?? [] };
    },
    update(step) {
      const norm = ops.gradientNorm(parameters);
      if (!Number.isFinite(norm)) {
        throw new GrokError(
          "argument",
          `${source}: at step ${step} the gradient is ${norm}: training diverged; a lower rate or a longer warm-up may help`,
          { step },
        );
      }
      const rate = rateAt(step, steps, optimizer);
      const [beta1, beta2] = optimizer.betas;
      const factor = clippingFactor(norm, optimizer.clip);
      const common = { rate, beta1, beta2, epsilon: optimizer.epsilon, step, factor };
      ops.adamw(matrices, { ...common, decay: optimizer.weightDecay });
      if (gains.length > 0) ops.adamw(gains, { ...common, decay: 0 });
      return { rate, norm };
    },
    async score(sets, step, signal) {
      const scores: HeldOutScore[] = [];
      for (const set of sets) {
        let nats = 0;
        for (const batch of set.batches()) {
          if (signal?.aborted) return undefined;
          if (batch.targets.length === 0) continue;
          nats += await objective.score(batch);
          await breathe();
        }
        if (!Number.isFinite(nats)) {
          const why = step === 0 ? "a weight is damaged" : "training diverged; a lower rate may help";
          throw new GrokError("argument", `${source}: at step ${step} the held-out loss is ${nats}: ${why}`, { step });
        }
        scores.push({ name: set.name, bitsPerByte: nats / Math.LN2 / set.bytes, loss: nats / set.tokens });
      }
      return scores;
    },
  };
}
