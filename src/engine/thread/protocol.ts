import { type ErrorCode, type ErrorDetails, GrokError } from "../../errors.ts";
import type { BenchOptions, BenchResult } from "../consumers/bench.ts";
import type { EmbedOptions } from "../consumers/embed.ts";
import type { LogitsResult } from "../consumers/logits.ts";
import type { OnScored, ScoreOptions } from "../consumers/score.ts";
import type { EngineInfo, EngineStatus } from "../engine.ts";
import type { EngineOptions } from "../options.ts";
import type { EngineRequest, EngineResult, ExpertChoice, TokenLogprob } from "../request.ts";

/** What the worker is started with. */
export interface WorkerStart {
  readonly path: string;
  readonly options: EngineOptions;
  /** `cancellationBytes` that both threads see. */
  readonly cancellations: SharedArrayBuffer;
}

/** From the caller to the engine. A request's `id` names it in answers and in `cancel`. */
export type ToEngine =
  | { readonly type: "open"; readonly session: number }
  | { readonly type: "fork"; readonly id: number; readonly from: number; readonly session: number }
  | { readonly type: "release"; readonly id: number; readonly session: number }
  | {
      readonly type: "generate";
      readonly id: number;
      readonly session: number | undefined;
      readonly request: EngineRequest;
    }
  | { readonly type: "cancel"; readonly id: number }
  | { readonly type: "logits"; readonly id: number; readonly tokens: Int32Array; readonly layers: boolean }
  | {
      readonly type: "score";
      readonly id: number;
      readonly texts: readonly { readonly tokens: Int32Array; readonly from: number }[];
      readonly options: Pick<ScoreOptions, "passTokens" | "top" | "adapters" | "prefixGroup">;
    }
  | {
      readonly type: "embed";
      readonly id: number;
      readonly texts: readonly Int32Array[];
      readonly options: Pick<EmbedOptions, "adapters">;
    }
  | { readonly type: "bench"; readonly id: number; readonly options: BenchOptions }
  | { readonly type: "status"; readonly id: number }
  | { readonly type: "close"; readonly id: number };

export type EngineValue =
  | EngineResult
  | LogitsResult
  | Float64Array[]
  | Float32Array[]
  | BenchResult
  | EngineStatus
  | undefined;

/** From the engine to the caller. */
export type FromEngine =
  | { readonly type: "ready"; readonly info: EngineInfo }
  | { readonly type: "failed"; readonly error: ErrorData }
  | {
      readonly type: "tokens";
      readonly id: number;
      readonly tokens: readonly number[];
      readonly logprobs: readonly TokenLogprob[] | undefined;
      readonly experts: readonly (readonly ExpertChoice[])[] | undefined;
    }
  | { readonly type: "prompt"; readonly id: number; readonly computed: number }
  | {
      readonly type: "scored";
      readonly id: number;
      readonly index: number;
      readonly logprobs: Float64Array;
      readonly top: PackedTop;
    }
  | { readonly type: "done"; readonly id: number; readonly value: EngineValue }
  | { readonly type: "error"; readonly id: number; readonly error: ErrorData };

/** The most probable tokens at each place, in numbers alone: a hundred thousand objects would hold up who receives them. */
export interface PackedTop {
  readonly tokens: Int32Array;
  readonly logprobs: Float64Array;
  /** How many there are at each place. */
  readonly counts: Int32Array;
}

export function packTop(top: Parameters<OnScored>[2]): PackedTop {
  const all = top.flat();
  return {
    tokens: Int32Array.from(all, ({ token }) => token),
    logprobs: Float64Array.from(all, ({ logprob }) => logprob),
    counts: Int32Array.from(top, ({ length }) => length),
  };
}

export function unpackTop({ tokens, logprobs, counts }: PackedTop): Parameters<OnScored>[2] {
  let at = 0;
  const next = () => ({ token: tokens[at]!, logprob: logprobs[at++]! });
  return Array.from(counts, (length) => Array.from({ length }, next));
}

/** The part of a MessagePort that both sides use. */
export interface Port {
  postMessage(value: unknown): void;
  on(event: "message", listener: (value: unknown) => void): unknown;
}

/** An error as data: classes do not survive the way between threads. */
export interface ErrorData {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
  /** Where it happened, on the other side. */
  readonly stack: string | undefined;
}

export function errorToData(error: unknown): ErrorData {
  const stack = error instanceof Error ? error.stack : undefined;
  if (error instanceof GrokError) {
    const { code, message, details } = error;
    return { code, message, details, stack };
  }
  return { code: "internal", message: error instanceof Error ? error.message : String(error), details: {}, stack };
}

export function errorFromData({ code, message, details, stack }: ErrorData): GrokError {
  return new GrokError(code, message, details, stack);
}
