import type { TrainConfig } from "./config.ts";
import { settleTrainOptions, type TrainOptions } from "./options.ts";
import type { ParameterCount } from "./parameters.ts";
import { openRun } from "./run.ts";

/** Steps measured after one that warms up. */
const measuredSteps = 3;

/** Tokens a parameter of a model whose loss is least for its compute (Hoffmann et al., Chinchilla, 2022). */
const tokensAParameter = 20;

/** What a run takes, and what a budget of time is best spent on. */
export interface Budget {
  readonly parameters: ParameterCount;
  /** Measured here: the median step. */
  readonly secondsAStep: number;
  readonly tokensAStep: number;
  readonly tokensPerSecond: number;
  /** The configuration: all steps, evaluations with them. */
  readonly steps: number;
  readonly tokens: number;
  readonly seconds: number;
  /** Steps of this configuration that fit the budget. */
  readonly stepsInBudget: number;
  /** The best size for the budget, parameters used by a token, and its tokens. */
  readonly optimal: { readonly used: number; readonly all: number; readonly tokens: number };
}

/**
 * Measures a few steps, of which nothing is kept, and reckons. Compute of a token is taken as 6 times the parameters that it
 * uses (forward 2, backward 4; Kaplan et al., 2020), so this machine's rate is C = 6 · used · tokens/s, and of a budget of T
 * seconds the best is 6 N D = C T with D = 20 N: N = sqrt(C T / 120).
 *
 * N counts used (active) parameters: the rule comes from dense models, where all take part in every token, and time here is
 * spent on those that do. With idle experts beside them a model of N used parameters does better than a dense one of N,
 * and gains from somewhat more tokens; `all` is for the configuration's own ratio of the two.
 */
export async function measureBudget(config: TrainConfig, seconds: number, options: TrainOptions = {}): Promise<Budget> {
  const run = await openRun(config, { ...settleTrainOptions(options), resume: false });
  try {
    const times: number[] = [];
    let tokens = 0;
    for (let step = 0; step <= measuredSteps; step++) {
      const began = performance.now();
      const sums = await run.replicas.step(run.stream);
      run.trainer.update(step + 1);
      if (step === 0) continue;
      times.push((performance.now() - began) / 1000);
      tokens += sums.tokens / measuredSteps;
    }
    const evaluations = Math.ceil(config.steps / config.evaluation.interval);
    const scored = run.setup.heldOut.reduce((sum, set) => sum + set.tokens, 0) * evaluations;
    return reckon(config, run.start.parameters, {
      budget: seconds,
      secondsAStep: times.sort((a, b) => a - b)[measuredSteps >> 1]!,
      tokensAStep: tokens,
      scored,
    });
  } finally {
    await run.close();
  }
}

/** The arithmetic of {@link measureBudget}. */
export function reckon(
  config: Pick<TrainConfig, "steps">,
  parameters: ParameterCount,
  measured: { budget: number; secondsAStep: number; tokensAStep: number; scored: number },
): Budget {
  const { budget, secondsAStep, tokensAStep, scored } = measured;
  const tokensPerSecond = tokensAStep / secondsAStep;
  // A forward pass is a third of a training pass.
  const evaluationSeconds = scored / (3 * tokensPerSecond);
  const used = Math.sqrt((parameters.used * tokensPerSecond * budget) / tokensAParameter);
  return {
    ...{ parameters, secondsAStep, tokensAStep, tokensPerSecond, steps: config.steps },
    tokens: config.steps * tokensAStep,
    seconds: config.steps * secondsAStep + evaluationSeconds,
    stepsInBudget: Math.floor(budget / (secondsAStep + evaluationSeconds / config.steps)),
    optimal: { used, all: (used * parameters.all) / parameters.used, tokens: tokensAParameter * used },
  };
}
