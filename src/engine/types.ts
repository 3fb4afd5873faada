import type { KvType } from "../kernels/ops.ts";
import type { SamplingOptions } from "../sampling/options.ts";
import type { SpeculationOptions } from "./speculation.ts";

/**
 * What the engine takes and gives. The engine knows token ids, not text; it runs on a worker thread, so everything here
 * can cross between threads.
 */

export type BackendChoice = "auto" | "native" | "reference";

export interface EngineOptions {
  /** "auto" takes the native backend where the addon was built, and the reference backend where not. Default "auto". */
  readonly backend?: BackendChoice;
  /**
   * Instruction set of the native kernels, one of those that `grok1 doctor` lists: "avx2", "avx512", ... Default: the best that the
   * processor has. Its rounding may differ from another's in the last bits.
   */
  readonly isa?: string;
  /** Threads that compute. Default: the physical cores of the machine, as far as they can be told. Never more than its processors. */
  readonly threads?: number;
  /**
   * Tokens that fit in one session, prompt and answer together. Default: the model's own context length, at most
   * {@link defaultContextLimit}.
   */
  readonly contextLength?: number;
  /**
   * Tokens that all sessions' caches hold together; at least `contextLength`. Memory is taken as it is written to. When
   * it runs out, idle sessions forget, and young requests wait for older ones. Default: twice the context length.
   */
  readonly cacheTokens?: number;
  /** Element type of the key/value cache. Default "f16" on the native backend, "f32" on the reference backend. */
  readonly kvType?: KvType;
  /** Most tokens in one forward pass: what a prefill chunk can be. Default 512. */
  readonly batchTokens?: number;
  /** Low-rank adapters to hold beside the model. Requests that do not choose use all of them. */
  readonly adapters?: readonly AdapterSource[];
  /**
   * Lossless speculation: guess how a text goes on from how it went on before, verify several tokens in one pass, keep
   * those that the model has chosen itself. The same text, sooner where it repeats. Default true: wherever it pays.
   */
  readonly speculate?: boolean | SpeculationOptions;
}

/** A low-rank adapter in the layout of Python's `peft`: its folder, or its `adapter_model.safetensors`. */
export interface AdapterSource {
  readonly path: string;
  /** What requests call it. Default: the path. */
  readonly name?: string;
  /** Multiplies what the adapter adds; may be negative, from -1000 to 1000. Default 1. */
  readonly scale?: number;
}

/** An adapter that a request uses. */
export interface AdapterChoice {
  readonly name: string;
  /** In place of the scale that it was opened with. */
  readonly scale?: number;
}

/** The context that is reserved when nobody asks for more. */
export const defaultContextLimit = 8192;

/** What runs, once a model is bound. */
export interface EngineInfo {
  readonly backend: "native" | "reference";
  /** Why "auto" did not take the native backend; undefined when it did or was not asked. */
  readonly fallbackReason: string | undefined;
  readonly threads: number;
  /** Instruction set of the native kernels; undefined on the reference backend. */
  readonly isa: string | undefined;
  readonly contextLength: number;
  readonly vocab: number;
  readonly kvType: KvType;
  /** Bytes that a full key/value cache takes. Pages that were never written take none. */
  readonly kvBytes: number;
  /** Seconds from the worker's start until weights were bound. */
  readonly loadSeconds: number;
}

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

/** What the engine holds at a moment. */
export interface EngineStatus {
  readonly sessions: number;
  /** Requests that run or wait. */
  readonly requests: number;
  readonly pages: number;
  readonly freePages: number;
  readonly pageTokens: number;
}

export interface LogitsOptions {
  /** Also give every layer's output, and where there are experts their probabilities and choice. Default false. */
  readonly layers?: boolean;
  readonly signal?: AbortSignal;
}

/** Row-major values with their shape. */
export interface NamedArray {
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array;
}

export interface LogitsResult {
  /** [tokens, vocab] */
  readonly logits: NamedArray;
  /** `hidden.N` [tokens, width], `router.N` [tokens, experts], `experts.N` [tokens, used] (int32), when asked for. */
  readonly layers: ReadonlyMap<string, NamedArray>;
}

export interface LogprobsOptions {
  /** Index of the first token whose log-probability is wanted, at least 1 (nothing predicts token 0). Default 1. */
  readonly from?: number;
  readonly signal?: AbortSignal;
}

export interface BenchOptions {
  /** Tokens to prefill. Default 512. */
  readonly prefill?: number;
  /** Tokens to decode one by one after that, teacher-forced over varied tokens. Default 32. */
  readonly decode?: number;
  /** Runs; the first of `repeats + 1` is a warm-up that is not reported. Default 1. */
  readonly repeats?: number;
  readonly signal?: AbortSignal;
}

export interface BenchResult {
  readonly prefillTokens: number;
  readonly decodeTokens: number;
  /** Seconds of each run. */
  readonly prefillSeconds: readonly number[];
  readonly decodeSeconds: readonly number[];
  /** Of the median run; 0 when no tokens were asked for. */
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}
