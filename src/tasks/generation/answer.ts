import { GrokError } from "../../errors.ts";
import type { GenerateResult, LanguageModel } from "../../generate/types.ts";
import { encodePrompt, type Prompt } from "../conversation.ts";
import type { Generate } from "./task.ts";

/** What a model said to a question. */
export interface Completion {
  readonly text: string;
  readonly tokens: number;
  /** Whether it ran into the most tokens that it may have, or into the context's end: it might have gone on. */
  readonly limited: boolean;
}

export interface Completions {
  readonly answers: readonly Completion[];
  /** Whether the prompt's beginning was left out, as all of it did not fit. */
  readonly truncated: boolean;
}

/** How many answers to each question, and how they are drawn; undefined: one, the likeliest. */
export type Drawing = { readonly samples: number; readonly temperature: number; readonly topP: number } | undefined;

/**
 * Asks a model a question. The prompt leaves room for a whole answer: of too long a one the end is read, as lm-evaluation-harness does; in a
 * context too small for that the answer has half of it. The same answers whatever else is computed together.
 * @param question its index, from which each of its answers is drawn.
 * @throws GrokError `cancelled`
 */
export async function answerQuestion(
  model: LanguageModel,
  question: number,
  prompt: Prompt,
  { until, maxTokens }: Generate,
  drawing: Drawing,
  signal: AbortSignal,
): Promise<Completions> {
  const room = Math.min(maxTokens, model.info.contextLength >> 1);
  const whole = typeof prompt === "string" ? model.encode(prompt) : encodePrompt(model.tokenizer, prompt);
  const left = Math.max(0, whole.length - (model.info.contextLength - room));
  const tokens = whole.subarray(left);
  const { samples = 1, temperature = 0, topP = 1 } = drawing ?? {};
  const answers = await Promise.all(
    Array.from({ length: samples }, async (_, sample) => {
      const { result } = model.generate(tokens, {
        ...{ stop: until, maxTokens: room, temperature, topP, topK: 0, minP: 0, seed: question * 65536 + sample },
        signal,
      });
      return completionOf(await result);
    }),
  );
  return { answers, truncated: left > 0 };
}

function completionOf({ text, tokens, finishReason }: GenerateResult): Completion {
  if (finishReason === "cancelled") throw new GrokError("cancelled", "evaluate: cancelled");
  return { text, tokens: tokens.length, limited: finishReason === "length" || finishReason === "context" };
}
