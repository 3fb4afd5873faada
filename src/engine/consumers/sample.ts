import type { Matcher } from "../../grammar/matcher.ts";
import type { Sampler } from "../../sampling/sampler.ts";
import type { ExpertChoice, FinishReason, TokenLogprob } from "../request.ts";
import type { Consumer } from "../run.ts";
import { createExpertWatch } from "./experts.ts";
import type { Outcome } from "./outcome.ts";

export interface SampleOptions {
  readonly sampler: Sampler;
  /** Says which tokens may come; absent: all. */
  readonly matcher: Matcher | undefined;
  /** The sequence's tokens, which grow. */
  readonly tokens: number[];
  readonly ends: ReadonlySet<number>;
  /** Most tokens to generate, given the context. */
  readonly limit: number;
  readonly limitReason: FinishReason;
  /** Whether to give the experts of each token. */
  readonly experts: boolean;
  readonly emit: Emit;
}

/** Told of tokens as they are chosen, with one entry each of what else was asked for. */
export type Emit = (
  tokens: readonly number[],
  logprobs: readonly TokenLogprob[] | undefined,
  experts?: readonly (readonly ExpertChoice[])[],
) => void;

/** Takes the row after the last token, and chooses the next one from it. */
export function createSampling(outcome: Outcome, options: SampleOptions): Consumer {
  const { sampler, matcher, tokens, ends, limit, limitReason, emit } = options;
  const watch = options.experts ? createExpertWatch() : undefined;
  function accept(token: number, logprobs?: readonly TokenLogprob[]): FinishReason | undefined {
    if (ends.has(token)) {
      outcome.endToken = logprobs?.[0];
      return "stop";
    }
    sampler.accept(token);
    const isWhole = matcher?.accept(token);
    tokens.push(token);
    outcome.generated++;
    emit([token], logprobs, watch && [watch.taken()]);
    if (isWhole) return "stop";
    return outcome.generated >= limit ? limitReason : undefined;
  }

  return {
    kind: "sample",
    take(run, _, __, row) {
      outcome.begin(run);
      if (limit === 0) return limitReason;
      const { token, logprob, top = [] } = sampler.sample(row, matcher?.allowed());
      return accept(token, logprob === undefined ? undefined : [{ token, logprob, top }]);
    },
    ...(sampler.plain &&
      matcher === undefined && {
        takeLargest(run, _, __, token) {
          outcome.begin(run);
          return limit === 0 ? limitReason : accept(token);
        },
      }),
    ...(watch && { observe: watch.observe }),
    rehearse() {
      const rehearsal = sampler.fork();
      const grammar = matcher?.fork();
      let over = false;
      return (row) => {
        if (over) return undefined;
        const { token } = rehearsal.sample(row, grammar?.allowed());
        if (ends.has(token)) return undefined;
        rehearsal.accept(token);
        over = grammar?.accept(token) === true;
        return token;
      };
    },
    starve: () => "context",
    end: outcome.end,
    fail: outcome.fail,
  };
}
