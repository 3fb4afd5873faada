import { counted, describeValue, GrokError } from "../errors.ts";
import type { PreparedGrammar } from "../grammar/prepared.ts";
import { checkText, checkWhole, withDefaults } from "../options.ts";
import { type BeamSearch, defaultBeamOptions, startBeams } from "../sampling/beam.ts";
import { defaultSamplingOptions, type SamplingOptions } from "../sampling/options.ts";
import type { AdapterChoice } from "./adapters.ts";

/** Why a generation ended. One that fails has no reason: its promise rejects with the error. */
export type FinishReason =
  /** The model ended its answer with an end-of-generation token. */
  | "stop"
  /** A stop string appeared. */
  | "stop-string"
  /** `maxTokens` were generated. */
  | "length"
  /** The context is full. */
  | "context"
  /** The caller cancelled. */
  | "cancelled";

/** The logarithm (natural) of a token's probability under the model, before temperature, penalties and filters. */
export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
  /** The most probable tokens at this place, most probable first; as many as were asked for. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
}

/** The experts that a layer's router chose, largest factor first. */
export interface ExpertChoice {
  readonly layer: number;
  readonly experts: readonly number[];
  /** What each expert's output was multiplied by. */
  readonly weights: readonly number[];
}

/** Times of one generation, in seconds, measured beside the arithmetic. */
export interface EngineTimings {
  /** Waiting and computing until the first token could be sampled. */
  readonly prefillSeconds: number;
  /** From the first sampled token to the last. */
  readonly decodeSeconds: number;
  /** Prompt tokens that were computed: those not found in the cache. */
  readonly prefilledTokens: number;
}

/**
 * How to generate, as the caller said it: one object, which travels as it is to the run that it is for and is checked where that
 * begins. Sampling (temperature, topK, topP, minP, penalties, logitBias, seed, ...) is in {@link SamplingOptions}.
 */
export interface GenerationOptions extends Partial<SamplingOptions> {
  /** Most tokens to generate; 0 only fills the cache. Default: until the context is full. */
  readonly maxTokens?: number;
  /** Give log-probabilities: of each token, and of this many most probable alternatives. 0 to 100; absent: none. */
  readonly logprobs?: number;
  /** Beams of a beam search, deterministic: sampling options do not go with it. Default 1: no search. */
  readonly beams?: number;
  /**
   * Beam search ranks a text of n tokens by log-probability / ((5 + n) / 6) ** lengthPenalty: 0 favours short texts, larger
   * values longer ones (Wu et al. 2016, equation 14). Default 0.6.
   */
  readonly lengthPenalty?: number;
  /**
   * Whether to verify guesses of several tokens at once, where the engine does; the text is the same. Nothing is guessed in a beam
   * search. Default true.
   */
  readonly speculate?: boolean;
  /**
   * Give the experts of each token: those that every layer of a mixture chose in the pass that it was drawn from. Nothing is guessed
   * for such a request, and a beam search has none. Default false.
   */
  readonly experts?: boolean;
  /**
   * Low-rank adapters to use, of those that the model was loaded with: each request, and so each session, can have its own.
   * An empty list: the model alone. Default: all, as they were loaded.
   */
  readonly adapters?: readonly AdapterChoice[];
  /**
   * Who may find what is computed for this prompt, and whose it finds: requests of the same group, and of others nothing. Default: all that
   * name none.
   */
  readonly prefixGroup?: string;
}

/** What holds beside {@link defaultSamplingOptions} where nobody says anything. */
const defaultGenerationOptions = {
  ...{
    maxTokens: Number.POSITIVE_INFINITY,
    beams: 1,
    lengthPenalty: defaultBeamOptions.lengthPenalty,
    speculate: true,
    experts: false,
  },
} as const;

export const generationOptionNames = Object.keys({
  ...{ ...defaultSamplingOptions, ...defaultGenerationOptions, adapters: true, prefixGroup: true },
} satisfies Record<keyof GenerationOptions, unknown>) as readonly (keyof GenerationOptions)[];

/** What to generate, in token ids. */
export interface EngineRequest {
  /** The whole prompt; what the cache holds of it, of whichever request, is not computed again. */
  readonly tokens: ArrayLike<number>;
  /** Tokens that end the generation; they are not given. */
  readonly endTokens?: readonly number[];
  /** What the answer has to be. */
  readonly grammar?: RequestGrammar | undefined;
  readonly options?: GenerationOptions;
}

export interface RequestGrammar extends PreparedGrammar {
  /** Whether the answer goes on in the middle of a text, so that its first token keeps a leading space. */
  readonly afterText: boolean;
}

export interface EngineResult {
  readonly finishReason: FinishReason;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** The end token, which is not given, where one ended it and log-probabilities were asked for. */
  readonly end?: TokenLogprob;
  /** Tokens that speculation drafted, and those of them that were right. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
  readonly timings: EngineTimings;
}

/** A request with every default filled in, and what it may generate given the context. */
export interface CheckedRequest {
  readonly options: GenerationOptions & Required<Pick<GenerationOptions, keyof typeof defaultGenerationOptions>>;
  readonly limit: number;
  readonly limitReason: "length" | "context";
  readonly search: BeamSearch | undefined;
}

/**
 * @throws GrokError `argument` for a value out of its range, `capacity` when the prompt leaves no room in the context.
 */
export function checkRequest(
  { tokens, endTokens = [], grammar, options = {} }: EngineRequest,
  {
    vocab,
    contextLength,
    batchTokens,
  }: { readonly vocab: number; readonly contextLength: number; readonly batchTokens: number },
): CheckedRequest {
  const settled = withDefaults<GenerationOptions, keyof typeof defaultGenerationOptions>(
    options,
    defaultGenerationOptions,
  );
  const { maxTokens, beams, lengthPenalty, logprobs = 0 } = settled;
  checkTokens(tokens, vocab);
  if (options.prefixGroup !== undefined) checkText("prefixGroup", options.prefixGroup);
  if (options.maxTokens !== undefined) checkWhole("maxTokens", maxTokens, 0, Number.MAX_SAFE_INTEGER);
  checkWhole("logprobs", logprobs, 0, 100);
  checkWhole("beams", beams, 1, Math.min(256, batchTokens, vocab));
  if (beams > 1) refuseSampling(options);
  if (beams > 1 && grammar !== undefined && endTokens.length === 0) {
    throw new GrokError("argument", "a beam search by a grammar needs an end token to end with", { option: "beams" });
  }
  for (const option of ["speculate", "experts"] as const) {
    if (typeof settled[option] === "boolean") continue;
    const found = describeValue(settled[option]);
    throw new GrokError("argument", `${option} is ${found}, expected true or false`, { option });
  }
  if (beams > 1 && settled.experts) {
    throw new GrokError("argument", "experts does not go with beams: they are given as tokens are drawn", {
      option: "experts",
    });
  }
  const room = contextLength - tokens.length;
  if (room < (maxTokens === 0 ? 0 : 1)) {
    throw new GrokError(
      "capacity",
      `the prompt has ${counted(tokens.length, "token")}, but prompt and answer together must fit into a context of ${contextLength}`,
      { promptTokens: tokens.length, contextLength },
    );
  }
  const limit = Math.min(maxTokens, room);
  const search = startBeams({ beams, lengthPenalty, maxTokens: Math.max(1, limit), endTokens: new Set(endTokens) });
  return {
    ...{ options: settled, limit, limitReason: maxTokens <= room ? "length" : "context" },
    search: beams > 1 ? search : undefined,
  };
}

/** A beam search draws nothing: an option that would do nothing is refused. A seed, or being greedy, does no harm. */
function refuseSampling(options: GenerationOptions): void {
  const idle = (name: string, value: unknown) => !(name === "temperature" ? Number(value) > 0 : value !== undefined);
  const harmless = ["seed", "logprobs"];
  const option = Object.keys(defaultSamplingOptions).find(
    (name) => !harmless.includes(name) && !idle(name, options[name as keyof SamplingOptions]),
  );
  if (option === undefined) return;
  throw new GrokError("argument", `${option} does not go with beams: a beam search does not sample`, { option });
}

/** @throws GrokError `argument` when there is no token, or one is not in the vocabulary. */
export function checkTokens(tokens: ArrayLike<number>, vocab: number): void {
  if (tokens.length === 0) throw new GrokError("argument", "the prompt has no tokens, expected at least one");
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (Number.isInteger(token) && token >= 0 && token < vocab) continue;
    throw new GrokError("argument", `token ${token} at place ${i} is not in the vocabulary of ${vocab}`, {
      token,
      index: i,
      vocab,
    });
  }
}

/** @throws GrokError as {@link checkTokens}; `capacity` when they do not fit into the context. */
export function checkLength(tokens: ArrayLike<number>, vocab: number, contextLength: number): void {
  checkTokens(tokens, vocab);
  if (tokens.length <= contextLength) return;
  throw new GrokError("capacity", `${counted(tokens.length, "token")} do not fit into a context of ${contextLength}`, {
    tokens: tokens.length,
    contextLength,
  });
}

/**
 * Token ids as they are sent. @throws GrokError `argument` for anything that is no id: an array of int32 would make another
 * one of it.
 */
export function tokensOf(tokens: ArrayLike<number>): Int32Array {
  if (typeof tokens !== "object" || tokens === null) {
    throw new GrokError("argument", `the tokens are ${describeValue(tokens)}, expected a list of token ids`);
  }
  // What a tokenizer gives, in a tenth of the time: a long text has a million.
  if (tokens instanceof Int32Array && tokens.every((token) => token >= 0)) return tokens.slice();
  try {
    return Int32Array.from(tokens, (token, index) => {
      if (Number.isInteger(token) && token >= 0 && token < 2 ** 31) return token;
      throw new GrokError("argument", `token ${describeValue(token)} at place ${index} is no token id`, { index });
    });
  } catch (error) {
    if (error instanceof GrokError) throw error;
    const message = `the tokens are ${describeValue(tokens)} that cannot be read as a list of ids: ${(error as Error).message}`;
    throw new GrokError("argument", message, {}, error);
  }
}
