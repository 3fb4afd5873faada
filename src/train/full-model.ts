import type { GradOps, Parameter } from "../kernels/grad-ops.ts";
import type { Ops } from "../kernels/ops.ts";
import { bindModel } from "../model/registry.ts";
import type { TrainConfig } from "./config.ts";
import { createChoiceCount } from "./expert-use.ts";
import { createCrossEntropy, type TapedModel } from "./objective.ts";
import { memoryModel, type ParameterSpec } from "./parameters.ts";
import { createTape } from "./tape.ts";
import { createTrainer, type Trainer } from "./trainer.ts";

/** A model whose weights are all parameters, on a tape. */
export function bindTrained(
  ops: GradOps,
  sizes: TrainConfig["model"],
  parameters: readonly Parameter[],
  options: { readonly recompute: boolean; readonly observe?: (ops: Ops) => Ops },
): TapedModel {
  const { recompute, observe = (each) => each } = options;
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const tape = createTape(ops, { bind: (tensor) => byName.get(tensor.name)!, recompute });
  const file = memoryModel(sizes, new Map(parameters.map((parameter) => [parameter.name, parameter.tensor])));
  const model = bindModel(observe(tape.ops), file);
  return { tape, model, cache: model.kvCache({ pages: 0, pageTokens: 1, type: "f32" }) };
}

export interface FullTrainerOptions {
  readonly specs: readonly ParameterSpec[];
  readonly values: (spec: ParameterSpec) => Float32Array | Float64Array;
  /** [vocab] UTF-8 bytes that each token stands for. */
  readonly tokenBytes: Uint16Array;
  /** Compute activations a second time on the way back, in place of keeping them. Default false. */
  readonly recompute?: boolean;
}

/** A trainer of all of a model's weights. */
export function createFullTrainer(ops: GradOps, config: TrainConfig, options: FullTrainerOptions): Trainer {
  const { model: sizes, optimizer, steps, losses } = config;
  const { tokenBytes, recompute = false } = options;
  const parameters = options.specs.map((spec) => ops.parameter(spec.name, spec.shape, options.values(spec)));
  const use = createChoiceCount(sizes.layers, sizes.experts);
  const bound = bindTrained(ops, sizes, parameters, { recompute, observe: use.observe });
  const objective = createCrossEntropy(ops, bound, losses);
  return createTrainer(ops, { parameters, objective, optimizer, steps, source: config.path, tokenBytes, use });
}
