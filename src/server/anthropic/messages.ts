import { z } from "zod";
import { GrokError } from "../../errors.ts";
import type { ChatMessage, ChatOptions, GenerateResult, LanguageModel } from "../../generate/types.ts";
import { type Answers, startAnswers } from "../answers.ts";
import type { Reply, Served } from "../dialect.ts";
import { eventOf } from "../events.ts";

const textBlock = z.looseObject({ type: z.literal("text", "only text can be read here"), text: z.string() });
const content = z.union([z.string(), z.array(textBlock).min(1)]);

/** What counting and answering have in common. */
const conversation = {
  model: z.string(),
  system: content.optional(),
  messages: z.array(z.strictObject({ role: z.enum(["user", "assistant"]), content })).min(1),
};

const thinking = z.looseObject({ type: z.literal("disabled", "nothing is thought aloud here") });

export const countRequest = z.strictObject({ ...conversation, thinking: thinking.optional() });

export const messagesRequest = z.strictObject({
  ...conversation,
  max_tokens: z.int().min(1),
  stop_sequences: z.array(z.string().min(1)).max(64).optional(),
  stream: z.boolean().optional(),
  temperature: z.number().min(0).max(1).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_k: z.int().min(0).optional(),
  thinking: thinking.optional(),
  // What changes no answer here.
  metadata: z.record(z.string(), z.unknown()).optional(),
  service_tier: z.string().optional(),
});

/** What the library's options are called here. */
export const fieldNames = {
  ...{ topP: "top_p", topK: "top_k", maxTokens: "max_tokens", stop: "stop_sequences" },
} satisfies Partial<Record<keyof ChatOptions, string>>;

type MessagesRequest = z.infer<typeof messagesRequest>;

/** `POST /v1/messages` */
export function replyToMessages(request: MessagesRequest, served: Served): Reply {
  const head = { id: `msg_${served.id}`, type: "message", role: "assistant", model: served.name };
  return {
    async whole() {
      await using answer = start(request, served);
      const result = (await answer.results())[0]!;
      return { ...head, content: [{ type: "text", text: result.text }], ...endOf(result), usage: usageOf(result) };
    },

    async *pieces() {
      const event = (type: string, data: object) => eventOf({ type, ...data }, type);
      const { length } = served.model.encodeChat(messagesOf(request));
      await using answer = start(request, served);
      const pieces = answer.pieces();
      // What fails at once is answered with a status of its own: nothing is said before something has come.
      let piece = await pieces.next();
      const nothing = { content: [], stop_reason: null, stop_sequence: null };
      yield event("message_start", {
        message: { ...head, ...nothing, usage: { input_tokens: length, output_tokens: 0 } },
      });
      yield event("content_block_start", { index: 0, content_block: { type: "text", text: "" } });
      yield event("ping", {});
      for (; !piece.done; piece = await pieces.next()) {
        const text = piece.value.chunk?.text ?? "";
        if (text !== "") yield event("content_block_delta", { index: 0, delta: { type: "text_delta", text } });
      }
      const result = (await answer.results())[0]!;
      yield event("content_block_stop", { index: 0 });
      yield event("message_delta", { delta: endOf(result), usage: usageOf(result) });
      yield event("message_stop", {});
    },
  };
}

/** `POST /v1/messages/count_tokens` */
export function countTokens(request: z.infer<typeof countRequest>, model: LanguageModel) {
  return { input_tokens: model.encodeChat(messagesOf(request)).length };
}

function messagesOf({ system, messages }: z.infer<typeof countRequest>): ChatMessage[] {
  if (messages.at(-1)!.role === "assistant") {
    const message = "the last message is the assistant's: an answer that has begun is not continued here";
    throw new GrokError("argument", `messages: ${message}`, { option: "messages" });
  }
  return [...(system === undefined ? [] : [{ role: "system", content: system }]), ...messages];
}

function start(request: MessagesRequest, served: Served): Answers {
  const { max_tokens: maxTokens, stop_sequences: stop, temperature, top_p: topP, top_k: topK } = request;
  const said = { temperature, topP, topK, stop };
  const options: ChatOptions = {
    ...{ temperature: 1, topP: 1, topK: 0, minP: 0, ...served.preferred, maxTokens },
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
  };
  return startAnswers(served, 1, options, (model, more) => model.chat(messagesOf(request), more));
}

function endOf({ finishReason, stopString }: GenerateResult) {
  const isLength = finishReason === "length" || finishReason === "context";
  return {
    stop_reason: isLength ? "max_tokens" : stopString === undefined ? "end_turn" : "stop_sequence",
    stop_sequence: stopString ?? null,
  };
}

function usageOf({ usage: { promptTokens, cachedTokens, completionTokens } }: GenerateResult) {
  return {
    ...{ input_tokens: promptTokens - cachedTokens, cache_read_input_tokens: cachedTokens },
    ...{ cache_creation_input_tokens: 0, output_tokens: completionTokens },
  };
}
