import { z } from "zod";
import { GrokError } from "../../errors.ts";
import type { ChatMessage } from "../../generate/types.ts";
import { type Answers, startAnswers } from "../answers.ts";
import type { Reply, Served } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { chatLogprobs, finishReasonOf, generationFields, optionsOf, seconds, usageOf } from "./fields.ts";

const textPart = z.strictObject({ type: z.literal("text", "only text can be read here"), text: z.string() });

const message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: z.union([z.string(), z.array(textPart)]).nullish(),
});

export const chatRequest = z.strictObject({
  ...generationFields,
  messages: z.array(message).min(1),
  max_completion_tokens: z.int().min(0).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(100).nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  response_format: z.strictObject({ type: z.literal("text", "only text is given here") }).nullish(),
});

export type ChatRequest = z.infer<typeof chatRequest>;

/** `POST /v1/chat/completions` */
export function replyToChat(request: ChatRequest, served: Served): Reply {
  const { tokenizer } = served.model;
  const head = { id: `chatcmpl-${served.id}`, created: seconds(), model: served.name };

  return {
    async whole() {
      await using answers = startChat(request, served);
      const results = await answers.results();
      const choices = results.map(({ text, finishReason, logprobs }, index) => ({
        ...{ index, message: { role: "assistant", content: text, refusal: null } },
        ...{ logprobs: chatLogprobs(tokenizer, logprobs), finish_reason: finishReasonOf(finishReason) },
      }));
      return { ...head, object: "chat.completion", choices, usage: usageOf(results) };
    },

    async *pieces() {
      const withUsage = request.stream_options?.include_usage === true;
      const event = (choices: readonly object[], usage: object | null = null) =>
        eventOf({ ...head, object: "chat.completion.chunk", choices, ...(withUsage && { usage }) });
      await using answers = startChat(request, served);
      const begun = new Set<number>();
      for await (const { index, ...piece } of answers.pieces()) {
        const choice = (delta: object, rest: object) =>
          event([{ index, delta, logprobs: null, finish_reason: null, ...rest }]);
        if (!begun.has(index)) yield choice({ role: "assistant", content: "" }, {});
        begun.add(index);
        if (piece.result) yield choice({}, { finish_reason: finishReasonOf(piece.result.finishReason) });
        else {
          yield choice({ content: piece.chunk.text }, { logprobs: chatLogprobs(tokenizer, piece.chunk.logprobs) });
        }
      }
      const usage = usageOf(await answers.results());
      if (withUsage) yield event([], usage);
      yield eventOf("[DONE]");
    },
  };
}

function startChat(request: ChatRequest, served: Served): Answers {
  const {
    logprobs,
    top_logprobs: top,
    max_completion_tokens: mostTokens,
    chat_template_kwargs: variables,
    n,
  } = request;
  if (top != null && !logprobs) {
    throw new GrokError("argument", "top_logprobs goes with logprobs: true", { option: "top_logprobs" });
  }
  const options = {
    ...optionsOf(request, served.preferred),
    ...(mostTokens != null && { maxTokens: mostTokens }),
    ...(logprobs && { logprobs: top ?? 0 }),
    ...(variables && { templateVariables: variables }),
  };
  // "developer" is OpenAI's newer name of the same role, which templates do not know.
  const messages = request.messages.map((said) => (said.role === "developer" ? { ...said, role: "system" } : said));
  return startAnswers(served, n ?? 1, options, (model, more) => model.chat(messages as readonly ChatMessage[], more));
}
