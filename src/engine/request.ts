import { GrokError } from "../errors.ts";
import { type BeamSearch, startBeams } from "../sampling/beam.ts";
import type { EngineRequest } from "./types.ts";

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
    throw new GrokError("argument", `speculate is ${String(speculate)}, expected true or false`, {
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

/**
 * Token ids as they are sent. @throws GrokError `argument` for anything that is no id: an array of int32 would make another
 * one of it.
 */
export function tokensOf(prompt: ArrayLike<number>): Int32Array {
  if (typeof prompt !== "object" || prompt === null || !Number.isInteger(prompt.length)) {
    throw new GrokError("argument", `the prompt is ${String(prompt)}, expected a list of token ids`);
  }
  return Int32Array.from(prompt, (token, index) => {
    if (Number.isInteger(token) && token >= 0 && token < 2 ** 31) return token;
    throw new GrokError("argument", `token ${String(token)} at place ${index} is no token id`, {
      token: String(token),
      index,
    });
  });
}

/** @throws GrokError `argument` */
export function checkWhole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new GrokError("argument", `${name} is ${String(value)}, expected a whole number from ${least} to ${most}`, {
    option: name,
    value: typeof value === "number" ? value : String(value),
    least,
    most,
  });
}
