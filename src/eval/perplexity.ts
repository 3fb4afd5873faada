import { describeValue, GrokError } from "../errors.ts";
import type { LanguageModel } from "../generate/types.ts";
import { checkNames } from "../options.ts";
import { cutChunks, defaultChunkTokens, firstScored } from "./chunks.ts";

export interface PerplexityOptions {
  /** Tokens a chunk. Default 512. */
  readonly context?: number;
  /** Most chunks to read. Default: all that the text fills. */
  readonly chunks?: number;
  readonly signal?: AbortSignal;
  /** Told after each chunk. */
  readonly onChunk?: (soFar: PerplexityResult) => void;
}

const optionNames = Object.keys({
  ...{ context: true, chunks: true, signal: true, onChunk: true },
} satisfies Record<keyof PerplexityOptions, true>);

export interface PerplexityResult {
  /** exp(mean negative log-likelihood of a token). */
  readonly perplexity: number;
  /** Standard error of `perplexity`, tokens taken as independent. */
  readonly error: number;
  /** Mean negative natural log-likelihood of a token. */
  readonly negativeLogLikelihood: number;
  /** Tokens scored. */
  readonly scored: number;
  /** Chunks read, of `chunks` in all. */
  readonly done: number;
  readonly chunks: number;
  readonly context: number;
}

/**
 * Perplexity of a text, by the method of llama.cpp's `perplexity` tool, so that figures compare: the text's tokens are cut
 * into chunks of `context`; each chunk is read afresh, its first token replaced by the beginning-of-text token where the
 * model's file asks for one; and only tokens that have at least half a chunk before them are scored, that is those at
 * `floor(context / 2) + 1` and later. A remainder that fills no chunk is left out.
 *
 * @throws GrokError `argument` when the text fills fewer than two chunks, `capacity` when a chunk does not fit the
 * model's context, `cancelled`.
 */
export async function measurePerplexity(
  model: LanguageModel,
  text: string,
  options: PerplexityOptions = {},
): Promise<PerplexityResult> {
  checkNames("measurePerplexity", options, optionNames);
  if (typeof text !== "string") {
    throw new GrokError("argument", `perplexity: the text is ${describeValue(text)}, expected a text`);
  }
  const context = options.context ?? defaultChunkTokens;
  const cut = { context, least: 2, what: "perplexity", ...(options.chunks !== undefined && { most: options.chunks }) };
  const texts = cutChunks(model.encode(text), model.tokenizer, cut).map((tokens) => ({
    tokens,
    from: firstScored(context),
  }));
  const chunks = texts.length;
  let sum = 0;
  let sumOfSquares = 0;
  let scored = 0;
  let done = 0;
  let result: PerplexityResult | undefined;
  /** Sums chunks in their order, so that digits do not depend on which is done first. */
  const early = new Map<number, Float64Array>();
  const onScored = (index: number, logprobs: Float64Array) => {
    early.set(index, logprobs);
    for (let next = early.get(done); next !== undefined; next = early.get(done)) {
      early.delete(done++);
      add(next);
    }
  };
  const add = (logprobs: Float64Array) => {
    for (const logprob of logprobs) {
      sum -= logprob;
      sumOfSquares += logprob * logprob;
    }
    scored += logprobs.length;
    const mean = sum / scored;
    // Standard error of the mean, carried through exp by its derivative.
    const variance = Math.max(0, sumOfSquares / scored - mean * mean);
    const perplexity = Math.exp(mean);
    const error = scored > 1 ? perplexity * Math.sqrt(variance / (scored - 1)) : Number.NaN;
    result = { perplexity, error, negativeLogLikelihood: mean, scored, done, chunks, context };
    options.onChunk?.(result);
  };
  await model.score(texts, { onScored, ...(options.signal && { signal: options.signal }) });
  return result!;
}
