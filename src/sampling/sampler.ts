import { computeDistribution, type Distribution, distribution, isBent } from "./distribution.ts";
import { createHistory, type History } from "./history.ts";
import { type Logits, largest, type TokenMask } from "./logits.ts";
import { logSumExp, type TokenLogprob, topLogprobs } from "./logprobs.ts";
import { resolveSamplingOptions, type SamplingOptions } from "./options.ts";
import { createRandom, type Random } from "./random.ts";

/** A token drawn from logits. */
export interface Sample {
  readonly token: number;
  /**
   * Natural logarithm of the token's probability under the model itself: the softmax of the logits as they came, before
   * biases, penalties, truncation and temperature. Present when {@link SamplingOptions.logprobs} is.
   */
  readonly logprob?: number;
  /** The likeliest tokens under the same distribution, likeliest first. Present when `logprobs` is above 0. */
  readonly top?: readonly TokenLogprob[];
}

/** Chooses the tokens of one sequence: options, the tokens seen, and a stream of random numbers. */
export interface Sampler {
  readonly options: SamplingOptions;
  /** The seed in use, the drawn one when none was given: with it the run can be repeated. */
  readonly seed: number;
  /** Whether it takes the largest logit, whatever the others are: nothing bends them, and nobody asks for probabilities. */
  readonly plain: boolean;
  /** Chooses a token, of those `allowed` or of all. Takes one number from the stream unless greedy. Does not accept the token. */
  sample(logits: Logits, allowed?: TokenMask): Sample;
  /** Tells the sampler of a token of the prompt, which the repetition penalty looks at. */
  read(token: number): void;
  /** Tells the sampler of a token that was chosen, which all penalties look at. No prompt comes after it. */
  accept(token: number): void;
  /** What {@link Sampler.sample} would draw from now; takes nothing from the stream. */
  distribution(logits: Logits, allowed?: TokenMask): Distribution;
  /** One that chooses, from the same logits, as this one will: with the same past and the same numbers. It gives tokens alone. */
  fork(): Sampler;
}

/**
 * @throws GrokError `argument` for an option out of its range; `sample` and `distribution` throw it for logits that are NaN,
 * +Infinity or all -Infinity.
 */
export function createSampler(options: Partial<SamplingOptions> = {}): Sampler {
  const resolved = resolveSamplingOptions(options);
  const seed = resolved.seed ?? freshSeed();
  // A past that nothing looks at need not be kept.
  return samplerOf(resolved, seed, createRandom(seed), createHistory(isBent(resolved) ? resolved.penaltyWindow : 0));
}

function samplerOf(resolved: SamplingOptions, seed: number, random: Random, history: History): Sampler {
  const greedy = resolved.temperature === 0;
  const plain = (greedy || resolved.topK === 1) && resolved.logprobs === undefined && !isBent(resolved);

  return {
    options: resolved,
    seed,
    plain,
    read: history.read,
    accept: history.accept,
    fork() {
      const silent = { ...resolved, logprobs: undefined };
      // A past that nothing looks at need not be copied.
      return samplerOf(silent, seed, random.fork(), isBent(resolved) ? history.fork() : createHistory(0));
    },
    distribution: (logits, allowed) => distribution(logits, resolved, history, allowed),
    sample(logits, allowed) {
      if (plain && allowed === undefined) return { token: largest(logits) };
      const choices = computeDistribution(logits, resolved, history, allowed);
      const token = greedy ? choices.tokens[0]! : draw(choices, random.uniform());
      if (resolved.logprobs === undefined) return { token };
      const normalizer = logSumExp(logits);
      const logprob = logits[token]! - normalizer;
      if (resolved.logprobs === 0) return { token, logprob };
      return { token, logprob, top: topLogprobs(logits, resolved.logprobs, normalizer) };
    },
  };
}

/** The token that `uniform` in [0, 1) falls on when probabilities are laid end to end. */
export function draw({ tokens, probabilities }: Distribution, uniform: number): number {
  let left = uniform;
  for (let i = 0; i < tokens.length; i++) {
    left -= probabilities[i]!;
    if (left < 0) return tokens[i]!;
  }
  // The sum fell short of 1 by rounding. The last token that can be drawn has a probability above 0.
  let last = tokens.length - 1;
  while (last > 0 && probabilities[last] === 0) last--;
  return tokens[last]!;
}

function freshSeed(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high! & 0x1fffff) * 2 ** 32 + low!;
}
