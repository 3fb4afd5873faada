import type { Sampler } from "../../sampling/sampler.ts";
import type { FinishReason, TokenLogprob } from "../request.ts";
import type { Consumer } from "../run.ts";
import type { Outcome } from "./outcome.ts";

export interface SampleOptions {
  readonly sampler: Sampler;
  /** The sequence's tokens, which grow. */
  readonly tokens: number[];
  readonly ends: ReadonlySet<number>;
  /** Most tokens to generate, given the context. */
  readonly limit: number;
  readonly limitReason: FinishReason;
  readonly emit: (tokens: readonly number[], logprobs: readonly TokenLogprob[] | undefined) => void;
}

/** Takes the row after the last token, and chooses the next one from it. */
export function createSampling(outcome: Outcome, options: SampleOptions): Consumer {
  const { sampler, tokens, ends, limit, limitReason, emit } = options;
  return {
    kind: "sample",
    take(run, _, __, row) {
      outcome.begin(run);
      if (limit === 0) return limitReason;
      const { token, logprob, top = [] } = sampler.sample(row);
      if (ends.has(token)) return "stop";
      sampler.accept(token);
      tokens.push(token);
      outcome.generated++;
      emit([token], logprob === undefined ? undefined : [{ token, logprob, top }]);
      return outcome.generated >= limit ? limitReason : undefined;
    },
    starve: () => "context",
    end: outcome.end,
    fail: outcome.fail,
  };
}
