import type { EngineResult, FinishReason, TokenLogprob } from "../request.ts";
import type { Ending, Run } from "../run.ts";

/** What a generation comes to, however its tokens are chosen. */
export interface Outcome {
  /** Tokens generated. */
  generated: number;
  /** What ended it. */
  endToken: TokenLogprob | undefined;
  /** The first row is there: the prompt is read. */
  begin(run: Run): void;
  end(run: Run, ending: Ending): void;
  fail(error: unknown): void;
}

export function createOutcome(
  promptTokens: number,
  resolve: (result: EngineResult) => void,
  reject: (error: unknown) => void,
): Outcome {
  const requested = performance.now();
  let first: { readonly time: number; readonly prefilled: number } | undefined;
  const outcome: Outcome = {
    generated: 0,
    endToken: undefined,
    begin(run) {
      first ??= { time: performance.now(), prefilled: run.computed };
    },
    end(run, ending) {
      const now = performance.now();
      const { time, prefilled } = first ?? { time: now, prefilled: run.computed };
      resolve({
        finishReason: ending as FinishReason,
        promptTokens,
        cachedTokens: run.cached,
        generatedTokens: outcome.generated,
        ...(outcome.endToken && { end: outcome.endToken }),
        draftedTokens: run.drafts?.verified ?? 0,
        acceptedTokens: run.drafts?.accepted ?? 0,
        timings: {
          prefillSeconds: (time - requested) / 1000,
          decodeSeconds: (now - time) / 1000,
          prefilledTokens: prefilled,
        },
      });
    },
    fail: reject,
  };
  return outcome;
}
