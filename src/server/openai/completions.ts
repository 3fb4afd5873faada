import { z } from "zod";
import type { TokenLogprob } from "../../engine/request.ts";
import { GrokError } from "../../errors.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { type Answers, startAnswers } from "../answers.ts";
import { eventOf } from "../events.ts";
import type { Reply, Served } from "../served.ts";
import { finishReasonOf, generationFields, optionsOf, seconds, tokenText, usageOf } from "./fields.ts";

const tokenIds = z.array(z.int().min(0)).min(1);

export const completionRequest = z.strictObject({
  ...generationFields,
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(1024), tokenIds, z.array(tokenIds).min(1).max(1024)]),
  logprobs: z.int().min(0).max(100).nullish(),
  echo: z.literal(false, "the prompt is not given back yet").nullish(),
  best_of: z.literal(1, "one answer is not chosen from several here").nullish(),
  suffix: z.literal("", "nothing can be inserted before a text here").nullish(),
});

export type CompletionRequest = z.infer<typeof completionRequest>;

/** What a request that names no length gets, as OpenAI has it. */
const usualLength = 16;

/** `POST /v1/completions`: of each prompt `n` answers, in that order. */
export function replyToCompletion(request: CompletionRequest, served: Served): Reply {
  const { tokenizer } = served.model;
  const head = { id: `cmpl-${served.id}`, object: "text_completion", created: seconds(), model: served.name };
  const prompts = promptsOf(request.prompt);
  const n = request.n ?? 1;

  return {
    async whole() {
      await using started = await startAll(prompts, request, served);
      const results = (await Promise.all(started.all.map((answers) => answers.results()))).flat();
      const choices = results.map(({ text, finishReason, logprobs }, index) => ({
        ...{ index, text, logprobs: listLogprobs(tokenizer, logprobs, 0), finish_reason: finishReasonOf(finishReason) },
      }));
      return { ...head, choices, usage: usageOf(results, n) };
    },

    async *events() {
      const withUsage = request.stream_options?.include_usage === true;
      if (prompts.length > 1) {
        throw new GrokError("argument", "prompt: one at a time can be streamed", { option: "prompt" });
      }
      const event = (choices: readonly object[], usage: object | null = null) =>
        eventOf({ ...head, choices, ...(withUsage && { usage }) });
      await using started = await startAll(prompts, request, served);
      const offsets = new Map<number, number>();
      for await (const { index, ...piece } of started.all[0]!.pieces()) {
        const choice = (text: string, rest: object) =>
          event([{ index, text, logprobs: null, finish_reason: null, ...rest }]);
        if (piece.result) {
          yield choice("", { finish_reason: finishReasonOf(piece.result.finishReason) });
        } else {
          const offset = offsets.get(index) ?? 0;
          const { text, logprobs } = piece.chunk;
          yield choice(text, { logprobs: listLogprobs(tokenizer, logprobs, offset) });
          offsets.set(index, offset + text.length);
        }
      }
      const usage = usageOf(await started.all[0]!.results(), n);
      if (withUsage) yield event([], usage);
      yield eventOf("[DONE]");
    },
  };
}

type Prompt = string | readonly number[];

function promptsOf(prompt: CompletionRequest["prompt"]): readonly Prompt[] {
  return typeof prompt === "string" || typeof prompt[0] === "number"
    ? [prompt as Prompt]
    : (prompt as readonly Prompt[]);
}

interface Started extends AsyncDisposable {
  readonly all: readonly Answers[];
}

async function startAll(prompts: readonly Prompt[], request: CompletionRequest, served: Served): Promise<Started> {
  const options = {
    ...{ maxTokens: usualLength, ...optionsOf(request, served.preferred) },
    ...(request.logprobs != null && { logprobs: request.logprobs }),
  };
  const all: Answers[] = [];
  const close = async () => {
    await Promise.all(all.map((answers) => answers[Symbol.asyncDispose]()));
  };
  try {
    for (const prompt of prompts) {
      all.push(await startAnswers(served, request.n ?? 1, options, (place, more) => place.generate(prompt, more)));
    }
    return { all, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A completion's `logprobs`: lists beside each other. `offset`: where in the text the first token begins, in UTF-16 units. */
function listLogprobs(tokenizer: Tokenizer, entries: readonly TokenLogprob[] | undefined, offset: number) {
  if (entries === undefined) return null;
  let at = offset;
  const texts = entries.map(({ token }) => tokenText(tokenizer, token).token);
  return {
    tokens: texts,
    token_logprobs: entries.map(({ logprob }) => logprob),
    top_logprobs: entries.map(({ top }) =>
      Object.fromEntries(top.map(({ token, logprob }) => [tokenText(tokenizer, token).token, logprob])),
    ),
    text_offset: texts.map((text) => {
      at += text.length;
      return at - text.length;
    }),
  };
}
