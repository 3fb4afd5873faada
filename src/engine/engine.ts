import type { KvType } from "../kernels/ops.ts";
import type { AdapterChoice } from "./adapters.ts";
import type { BenchOptions, BenchResult } from "./consumers/bench.ts";
import type { EmbedOptions } from "./consumers/embed.ts";
import type { LogitsOptions, LogitsResult } from "./consumers/logits.ts";
import type { Emit } from "./consumers/sample.ts";
import type { LogprobsOptions, ScoreOptions, ScoreText } from "./consumers/score.ts";
import type { ExpertStatus } from "./expert-status.ts";
import type { EngineRequest, EngineResult } from "./request.ts";

/**
 * An engine as its callers see it, wherever it runs. It knows token ids, not text; sessions and requests are numbers. It runs on
 * a worker thread, so what it takes and gives can cross between threads.
 */
export interface Engine {
  readonly info: EngineInfo;
  /** @throws GrokError once the engine is closed, or its thread has ended */
  openSession(): number;
  /** A session with the past of another: as every request, it finds what is kept of it. @throws as `openSession` */
  forkSession(session: number): number;
  closeSession(session: number): Promise<void>;
  /** @throws (in `result`) GrokError `argument`, `capacity` (the prompt does not fit), `internal` */
  generate(request: EngineRequest, options?: EngineGenerateOptions): EngineGeneration;
  /** All logits of a sequence, and on request every layer: for inspection; large. @throws GrokError `argument`, `capacity`, `cancelled` */
  logits(tokens: ArrayLike<number>, options?: LogitsOptions): Promise<LogitsResult>;
  /**
   * Scores texts together: for each, the natural log-probability of its tokens from `from` on, given those before. What texts
   * have in common at their beginning is computed once; values are the same bit for bit whatever else is scored. While
   * conversations answer, it goes on beside them with what they can spare. @throws as `logits`
   */
  score(texts: readonly ScoreText[], options?: ScoreOptions): Promise<Float64Array[]>;
  /** Natural log-probability of each token from `from` on, given those before it: [tokens.length - from]. @throws as `logits` */
  logprobs(tokens: ArrayLike<number>, options?: LogprobsOptions): Promise<Float64Array>;
  /**
   * Of each text a vector [width]: the mean over its tokens of the hidden state after the last norm, scaled to length 1. Computed beside
   * conversations as `score` is. @throws as `logits`
   */
  embed(texts: readonly ArrayLike<number>[], options?: EmbedOptions): Promise<Float32Array[]>;
  /** Times prefill and decode steps. @throws as `logits` */
  bench(options?: BenchOptions): Promise<BenchResult>;
  /** Sessions, requests and pages of the cache, at this moment. */
  status(): Promise<EngineStatus>;
  /** Ends everything under way with `cancelled`, frees all memory, stops the thread. */
  close(): Promise<void>;
}

export interface EngineGenerateOptions {
  /** Requests of one session are answered one after the other. Absent: it waits for none. */
  readonly session?: number | undefined;
  readonly onTokens?: Emit;
  /** While the prompt is read: how many of its tokens are computed. */
  readonly onPrompt?: (computed: number) => void;
}

export interface EngineGeneration {
  readonly result: Promise<EngineResult>;
  /** Ends it within one token: the result then has the finish reason "cancelled". */
  cancel(): void;
}

/** What runs, once a model is bound. */
export interface EngineInfo {
  readonly backend: string;
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
  /** Low-rank adapters that requests can choose from, at the strength that each was opened with. */
  readonly adapters: readonly Required<AdapterChoice>[];
  /** Where each of them was read from. */
  readonly adapterPaths: readonly string[];
  /** Seconds from the worker's start until weights were bound. */
  readonly loadSeconds: number;
  /** Bytes of memory that experts may take, where they do not all fit and are read as they are needed. */
  readonly expertBytes: number | undefined;
}

/** What the engine holds at a moment. */
export interface EngineStatus {
  readonly sessions: number;
  /** Requests that run or wait. */
  readonly requests: number;
  readonly pages: number;
  /** That a request can have. */
  readonly freePages: number;
  /** Of these, how many hold beginnings that requests had, for others that begin alike. */
  readonly keptPages: number;
  readonly pageTokens: number;
  /** Where the beginnings of prompts are kept over restarts. */
  readonly saved: SavedStatus | undefined;
  /** Where experts are read as they are needed. */
  readonly experts: ExpertStatus | undefined;
  /** How often each layer with experts has chosen each of them for a token; without layers where there are none. */
  readonly chosen: readonly (readonly number[])[];
}

/** What a folder of prompts' beginnings holds, of all models. */
export interface SavedStatus {
  readonly pages: number;
  readonly bytes: number;
  /** Why the last page could not be written. */
  readonly problem: string | undefined;
}
