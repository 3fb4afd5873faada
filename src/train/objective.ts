import type { GradOps } from "../kernels/grad-ops.ts";
import type { KvCache } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import type { TrainBatch } from "./data/segments.ts";
import type { PassLosses, Tape } from "./tape.ts";

/** A model on a tape. */
export interface TapedModel {
  readonly tape: Tape;
  readonly model: Model;
  /** Holds nothing: in training, rows attend to their own batch. */
  readonly cache: KvCache;
}

/**
 * What training lessens: a loss over a batch. Another one, over pairs of sequences with a reference model beside the one in
 * training, is another function of this kind.
 */
export interface Objective {
  /**
   * Adds the gradients of one batch to the parameters, as a share of a step of `tokens` rows and `learned` targets. The loss is the
   * step's mean over its targets, as far as this batch has a part in it; the router's losses are this batch's.
   */
  accumulate(batch: TrainBatch, step: { readonly tokens: number; readonly learned: number }): Promise<PassLosses>;
  /** Nats of a held-out batch, summed over its targets. */
  score(batch: TrainBatch): Promise<number>;
}

/** The router's own losses, each by its share of the step's rows. */
export interface RouterWeights {
  readonly balance: number;
  readonly routerZ: number;
}

/** The cross-entropy of each row's target, by the row's weight, with the router's losses. */
export function createCrossEntropy(
  ops: GradOps,
  { tape, model, cache }: TapedModel,
  router: RouterWeights = { balance: 0, routerZ: 0 },
): Objective {
  return {
    async accumulate({ batch, targets, weights }, { tokens, learned }) {
      const share = batch.tokens.length / tokens;
      const logits = await model.forward(batch, cache);
      const shares = weights.map((weight) => weight / learned);
      return tape.backward(logits, targets, shares, {
        balance: router.balance * share,
        zLoss: router.routerZ * share,
      });
    },
    async score({ batch, targets, weights }) {
      const { loss } = ops.crossEntropy(undefined, await model.forward(batch, cache), targets, weights);
      tape.forget();
      return loss;
    },
  };
}
