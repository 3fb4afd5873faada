import { describeValue, GrokError } from "../errors.ts";

/** How a token is chosen from logits. Out-of-range values are refused, never clamped. */
export interface SamplingOptions {
  /** Divides logits before the last softmax: below 1 sharpens, above 1 flattens; 0 is greedy. At least 0. */
  readonly temperature: number;
  /** Keeps the k likeliest tokens; 0 keeps all. A whole number. Fan et al. (2018). */
  readonly topK: number;
  /** Keeps the smallest set of likeliest tokens with this probability together; 1 keeps all. 0 to 1. Holtzman et al. (2019). */
  readonly topP: number;
  /** Drops tokens less likely than this share of the likeliest one's probability; 0 drops none. 0 to 1. Nguyen et al. (2024). */
  readonly minP: number;
  /**
   * Keeps the smallest set with this probability together whose surprise is nearest to the entropy; 1 keeps all. 0 to 1.
   * Meister et al. (2022).
   */
  readonly typicalP: number;
  /**
   * Divides the positive logits of tokens seen, in the prompt or since, by this and multiplies their negative ones; 1 does nothing.
   * Above 0. Keskar et al., CTRL (2019).
   */
  readonly repetitionPenalty: number;
  /** Subtracted from a token's logit once for each time it was generated; the prompt does not count. -2 to 2. OpenAI's definition. */
  readonly frequencyPenalty: number;
  /** Subtracted once from the logit of each token that was generated; the prompt does not count. -2 to 2. OpenAI's definition. */
  readonly presencePenalty: number;
  /** How many of the last tokens, of prompt and answer, the three penalties look at; -1: all of them. */
  readonly penaltyWindow: number;
  /** Added to the logits of single tokens, by id; -Infinity rules a token out. */
  readonly logitBias: Readonly<Record<number, number>>;
  /** Seeds the generator: a whole number from 0 to 2^53 - 1. Undefined: a fresh one, to be read from the sampler. */
  readonly seed: number | undefined;
  /** Undefined: no log-probabilities. 0: the chosen token's. n: also the n likeliest tokens'. */
  readonly logprobs: number | undefined;
}

/** The values llama.cpp starts with, so that results are comparable. */
export const defaultSamplingOptions: SamplingOptions = {
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  typicalP: 1,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  penaltyWindow: 64,
  logitBias: {},
  seed: undefined,
  logprobs: undefined,
};

interface Range {
  readonly says: string;
  readonly holds: (value: number) => boolean;
}

const within = (low: number, high: number): Range => ({
  says: `a number from ${low} to ${high}`,
  holds: (value) => value >= low && value <= high,
});
const whole = (low: number): Range => ({
  says: `a whole number of at least ${low}`,
  holds: (value) => Number.isSafeInteger(value) && value >= low,
});

const ranges: Partial<Record<keyof SamplingOptions, Range>> = {
  temperature: { says: "a number of at least 0", holds: (value) => value >= 0 && Number.isFinite(value) },
  topK: whole(0),
  topP: within(0, 1),
  minP: within(0, 1),
  typicalP: within(0, 1),
  repetitionPenalty: { says: "a number above 0", holds: (value) => value > 0 && Number.isFinite(value) },
  frequencyPenalty: within(-2, 2),
  presencePenalty: within(-2, 2),
  penaltyWindow: whole(-1),
  seed: whole(0),
  logprobs: whole(0),
};

/**
 * Fills in defaults and checks ranges.
 * @throws GrokError `argument` naming the option, its value and its range.
 */
export function resolveSamplingOptions(options: Partial<SamplingOptions> = {}): SamplingOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved: SamplingOptions = { ...defaultSamplingOptions, ...given };
  for (const [option, range] of Object.entries(ranges)) {
    const value = resolved[option as keyof SamplingOptions];
    if (value !== undefined && !(typeof value === "number" && range.holds(value))) refuse(option, value, range.says);
  }
  if (typeof resolved.logitBias !== "object" || resolved.logitBias === null) {
    refuse("logitBias", resolved.logitBias, "an object from token ids to numbers");
  }
  for (const [token, bias] of Object.entries(resolved.logitBias)) {
    // Written as JavaScript writes it: "1e2" or "" would be looked up under another name than it was given by.
    if (!whole(0).holds(Number(token)) || String(Number(token)) !== token) {
      refuse("logitBias", token, "token ids as keys");
    }
    if (typeof bias !== "number" || !(bias < Number.POSITIVE_INFINITY)) {
      refuse(`logitBias[${token}]`, bias, "a number or -Infinity");
    }
  }
  return resolved;
}

function refuse(option: string, value: unknown, range: string): never {
  throw new GrokError("argument", `sampling option ${option} is ${describeValue(value)}: expected ${range}`, {
    option,
    value: describeValue(value),
    range,
  });
}
