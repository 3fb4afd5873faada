import { counted, GrokError } from "../../errors.ts";
import { checkWhole } from "../../options.ts";
import { type ExpertStatus, type ExpertUse, useSince } from "../expert-status.ts";
import { type PagePool, truncate } from "../pages.ts";
import { checkTokens } from "../request.ts";
import { type Consumer, createSequence, type Sequence } from "../run.ts";
import { type Settle, settleWith } from "./settle.ts";

export interface BenchOptions {
  /** Tokens to prefill. Default 512, or what fits the context. */
  readonly prefill?: number;
  /** Tokens to decode one by one after that, teacher-forced over varied tokens. Default 32, or what fits the context. */
  readonly decode?: number;
  /** Runs that are reported, after one or more to warm up. Default 1. */
  readonly repeats?: number;
  /** Whole seconds for which runs warm up, at least one run: what a small model's passes take falls until their code is compiled. Default 0. */
  readonly warmup?: number;
  /** No run to warm up: what has to be read or compiled first is in the figures. Default false. */
  readonly cold?: boolean;
  /** What is prefilled and decoded, as many as both say at least. Default: varied tokens, the same each time. */
  readonly tokens?: ArrayLike<number>;
  /** Whether to give the last run's logits, which are large. Default false. */
  readonly logits?: boolean;
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
  /** Of each run, what decoding needed of experts, where they are read as they are needed. */
  readonly decodeExperts: readonly ExpertUse[];
  /** Where they were asked for: [decodeTokens, vocab], after each decoded token. */
  readonly logits?: Float32Array;
}

/**
 * Times prefill in chunks as generation does it, and decode steps after it, as they are when it is alone: in company it tells
 * what is left to it. The tokens come from a fixed linear congruential sequence (Numerical Recipes' constants), so that
 * routing varies and every run sees the same; or they are given. `experts` tells what streaming has done. Undefined without anything to time.
 * @throws GrokError `argument`, `capacity`
 */
export function createBench(
  options: BenchOptions,
  limits: {
    readonly vocab: number;
    readonly contextLength: number;
    readonly pool: PagePool;
    readonly experts?: (() => ExpertStatus) | undefined;
  },
  settle: Settle<BenchResult>,
): { readonly consumer: Consumer; readonly sequence: Sequence } | undefined {
  const { vocab, contextLength, pool, experts } = limits;
  const {
    decode = Math.min(32, contextLength - (options.prefill ?? 1)),
    repeats = 1,
    warmup = 0,
    cold = false,
    tokens: given,
    logits: wanted = false,
  } = options;
  const { prefill = Math.min(512, contextLength - decode) } = options;
  checkWhole("prefill", prefill, 0, contextLength);
  checkWhole("decode", decode, 0, contextLength);
  checkWhole("repeats", repeats, 1, 10_000);
  checkWhole("warmup", warmup, 0, 3600);
  if (prefill + decode > contextLength) {
    const message = `prefill ${prefill} and decode ${decode} do not fit into a context of ${counted(contextLength, "token")}`;
    throw new GrokError("capacity", message, { prefill, decode, contextLength });
  }
  const all =
    given === undefined ? variedTokens(prefill + decode, vocab) : Array.from(given).slice(0, prefill + decode);
  if (given !== undefined) {
    checkTokens(given, vocab);
    if (all.length < prefill + decode) {
      const message = `${counted(all.length, "token")} are given, expected ${prefill + decode} for prefill ${prefill} and decode ${decode}`;
      throw new GrokError("argument", message, { option: "tokens" });
    }
  }

  const prefillSeconds: number[] = [];
  const decodeSeconds: number[] = [];
  const decodeExperts: ExpertUse[] = [];
  const logits = wanted ? new Float32Array(decode * vocab) : undefined;
  /** When prefill ended. */
  let before = experts?.();
  const result = (): BenchResult => ({
    prefillTokens: prefill,
    decodeTokens: decode,
    prefillSeconds,
    decodeSeconds,
    prefillTokensPerSecond: prefill === 0 ? 0 : prefill / median(prefillSeconds),
    decodeTokensPerSecond: decode === 0 ? 0 : decode / median(decodeSeconds),
    decodeExperts,
    ...(logits && { logits }),
  });
  if (all.length === 0) {
    const none = Array.from({ length: repeats }, () => 0);
    settle.resolve({ ...result(), prefillSeconds: none, decodeSeconds: none });
    return undefined;
  }

  const first = Math.max(1, prefill);
  const tokens = all.slice(0, first);
  let warm = cold;
  const started = performance.now();
  let began = started;
  let between = began;
  const consumer: Consumer = {
    kind: "bench",
    take(_, sequence, position, row) {
      const now = performance.now();
      if (position === prefill - 1) {
        between = now;
        before = experts?.();
      }
      if (position >= prefill) logits?.set(row, (position - prefill) * vocab);
      if (position < all.length - 1) {
        tokens.push(all[position + 1]!);
        return undefined;
      }
      if (warm) {
        prefillSeconds.push((between - began) / 1000);
        decodeSeconds.push((now - between) / 1000);
        if (before && experts) decodeExperts.push(useSince(before, experts()));
        if (decodeSeconds.length === repeats) return "done";
      }
      warm ||= now - started >= 1000 * warmup;
      truncate(pool, sequence.timeline, 0);
      tokens.length = first;
      sequence.wanted = first - 1;
      if (prefill === 0) before = experts?.();
      began = performance.now();
      between = began;
      return undefined;
    },
    ...settleWith(settle, result),
  };
  return { consumer, sequence: createSequence(0, tokens, first - 1) };
}

function variedTokens(count: number, vocab: number): number[] {
  let state = 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocab);
  });
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
