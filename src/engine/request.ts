import { describeValue, GrokError } from "../errors.ts";
import { type BeamSearch, startBeams } from "../sampling/beam.ts";

import type { SamplingOptions } from "../sampling/options.ts";
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

/** Times of one generation, in seconds, measured beside the arithmetic. */
export interface EngineTimings {
  /** Waiting and computing until the first token could be sampled. */
  readonly prefillSeconds: number;
  /** From the first sampled token to the last. */
  readonly decodeSeconds: number;
  /** Prompt tokens that were computed: those not found in the session's cache. */
  readonly prefilledTokens: number;
}

/** What to generate, in token ids. */
export interface EngineRequest {
  /** The whole prompt; what the session's cache already holds of it is not computed again. */
  readonly tokens: ArrayLike<number>;
  /** Most tokens to generate; absent: until the context is full. 0 only fills the cache. */
  readonly maxTokens?: number;
  /** Tokens that end the generation; they are not given. */
  readonly endTokens?: readonly number[];
  readonly sampling?: Partial<Omit<SamplingOptions, "logprobs">>;
  /** Number of most probable alternatives to give with each token; absent: no log-probabilities. */
  readonly logprobs?: number;
  /** Beams of a beam search; 1 or absent: sampling. */
  readonly beams?: number;
  readonly lengthPenalty?: number;
  /** Adapters to use, of those that the engine holds; an empty list: none. Default: all. */
  readonly adapters?: readonly AdapterChoice[];
  /** Whether to speculate, where the engine does. Default true; nothing is speculated in a beam search. */
  readonly speculate?: boolean;
}

export interface EngineResult {
  readonly finishReason: FinishReason;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** Tokens that speculation drafted, and those of them that were right. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
  readonly timings: EngineTimings;
}

/** What a request may generate, worked out from its options and the context. */
export interface CheckedRequest {
  readonly limit: number;
  readonly limitReason: "length" | "context";
  search: BeamSearch | undefined;
}

/**
 * @throws GrokError `argument` for a value out of its range, `capacity` when the prompt leaves no room in the context.
 */
export function checkRequest(
  request: EngineRequest,
  vocab: number,
  contextLength: number,
  batchTokens: number,
): CheckedRequest {
  const { tokens, maxTokens, beams = 1, lengthPenalty, logprobs = 0 } = request;
  checkTokens(tokens, vocab);
  checkWhole("maxTokens", maxTokens ?? 0, 0, Number.MAX_SAFE_INTEGER);
  checkWhole("logprobs", logprobs, 0, 100);
  checkWhole("beams", beams, 1, Math.min(256, batchTokens, vocab));
  if (beams > 1) refuseSampling(request);
  const { speculate = false } = request;
  if (typeof speculate !== "boolean") {
    throw new GrokError("argument", `speculate is ${describeValue(speculate)}, expected true or false`, {
      option: "speculate",
    });
  }
  const room = contextLength - tokens.length;
  if (room < (maxTokens === 0 ? 0 : 1)) {
    throw new GrokError(
      "capacity",
      `the prompt has ${tokens.length} tokens, but prompt and answer together must fit into a context of ${contextLength}`,
      { promptTokens: tokens.length, contextLength },
    );
  }
  const bounded = maxTokens !== undefined && maxTokens <= room;
  const limit = bounded ? maxTokens : room;
  return {
    limit,
    limitReason: bounded ? "length" : "context",
    search:
      beams === 1
        ? undefined
        : startBeams({
            ...{ beams, maxTokens: Math.max(1, limit), endTokens: new Set(request.endTokens) },
            ...(lengthPenalty !== undefined && { lengthPenalty }),
          }),
  };
}

/** A beam search draws nothing: an option that would do nothing is refused. A seed, or being greedy, does no harm. */
function refuseSampling({ sampling = {} }: EngineRequest): void {
  const { seed: _, temperature = 0, ...others } = sampling;
  const given = Object.entries({ ...others, ...(temperature > 0 && { temperature }) });
  const option = given.find(([, value]) => value !== undefined)?.[0];
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
  throw new GrokError("capacity", `${tokens.length} tokens do not fit into a context of ${contextLength}`, {
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

/** @throws GrokError `argument` */
export function checkWhole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new GrokError(
    "argument",
    `${name} is ${describeValue(value)}, expected a whole number from ${least} to ${most}`,
    {
      option: name,
      value: typeof value === "number" ? value : describeValue(value),
      least,
      most,
    },
  );
}
