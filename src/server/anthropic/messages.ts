import { z } from "zod";
import { GrokError } from "../../errors.ts";
import { type AnswerPart, createSettler, type SettledPart } from "../../generate/answer/parts.ts";
import { inTurns } from "../../generate/turns.ts";
import type { ChatMessage, ChatOptions, GenerateResult, LanguageModel } from "../../generate/types.ts";
import { jsonSchema } from "../answer-format.ts";
import { type Answers, startAnswers } from "../answers.ts";
import type { Reply, Served } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { refusedBy } from "../moderation/moderator.ts";
import { endOf, messageOf, thinkingVariables, toolOf } from "../tools.ts";
import { message, messagesOf, systemText } from "./content.ts";

const tool = z.looseObject({
  type: z.literal("custom", "only tools of the caller's own can be called here").nullish(),
  name: z.string().min(1).max(128),
  description: z.string().nullish(),
  input_schema: z.record(z.string(), z.unknown()),
  strict: z.boolean().nullish(),
  /** Whether arguments are wanted as they come: then they may turn out to be no JSON. */
  eager_input_streaming: z.boolean().nullish(),
});

/** Anthropic's structured output. */
const outputFormat = z.strictObject({ type: z.literal("json_schema"), schema: jsonSchema });

const parallel = { disable_parallel_tool_use: z.boolean().nullish() };

/** What counting and answering have in common. */
const conversation = {
  model: z.string(),
  system: systemText.optional(),
  messages: z.array(message).min(1),
  tools: z.array(tool).max(512).nullish(),
  tool_choice: z
    .discriminatedUnion(
      "type",
      [
        z.strictObject({ type: z.enum(["auto", "any"]), ...parallel }),
        z.strictObject({ type: z.literal("tool"), name: z.string(), ...parallel }),
        z.strictObject({ type: z.literal("none") }),
      ],
      "is to be auto, any, tool or none",
    )
    .nullish(),
  thinking: z.looseObject({ type: z.enum(["enabled", "disabled", "adaptive"]) }).nullish(),
  // What changes no answer here.
  cache_control: z.unknown().optional(),
  context_management: z.unknown().optional(),
  output_config: z.strictObject({ effort: z.string().nullish(), format: outputFormat.nullish() }).nullish(),
};

export const countRequest = z.strictObject(conversation);

export const messagesRequest = z.strictObject({
  ...conversation,
  max_tokens: z.int().min(1),
  stop_sequences: z.array(z.string().min(1)).max(64).optional(),
  stream: z.boolean().optional(),
  temperature: z.number().min(0).max(1).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_k: z.int().min(0).optional(),
  thread: z
    .discriminatedUnion("type", [
      z.strictObject({ type: z.literal("create") }),
      z.strictObject({ type: z.literal("continue"), previous_message_id: z.string() }),
    ])
    .nullish(),
  // What changes no answer here.
  metadata: z.record(z.string(), z.unknown()).nullish(),
  service_tier: z.string().optional(),
});

/** What the library's options are called here. */
export const fieldNames = {
  ...{ topP: "top_p", topK: "top_k", maxTokens: "max_tokens", stop: "stop_sequences", toolChoice: "tool_choice" },
} satisfies Partial<Record<keyof ChatOptions, string>>;

type MessagesRequest = z.infer<typeof messagesRequest>;

/** `POST /v1/messages` */
export function replyToMessages(request: MessagesRequest, served: Served): Reply {
  const head = { id: `msg_${served.id}`, type: "message", role: "assistant", model: served.name };
  const callId = (index: number) => `toolu_${served.id}_${index}`;
  if (request.thread?.type === "continue") {
    // Clients then say all that was said before.
    throw new GrokError("not-found", "thread: no conversation is kept here", { option: "thread" });
  }
  return {
    async whole() {
      await using answer = start(request, served);
      const result = (await answer.results())[0]!;
      return { ...head, content: contentOf(result, callId), ...stopOf(result), usage: usageOf(result) };
    },

    async *pieces() {
      const event = (type: string, data: object) => eventOf({ type, ...data }, type);
      const { messages, options } = conversationOf(request);
      const { length } = await inTurns(served.model.encodeChatSteps(messages, options));
      await using answer = start(request, served);
      const pieces = answer.pieces();
      // What fails at once is answered with a status of its own: nothing is said before something has come.
      let piece = await pieces.next();
      const nothing = { content: [], stop_reason: null, stop_sequence: null };
      yield event("message_start", {
        message: { ...head, ...nothing, usage: { input_tokens: length, output_tokens: 0 } },
      });
      yield event("ping", {});
      const blocks = createBlocks(callId, request.tools?.some((tool) => tool.eager_input_streaming) === true);
      for (; !piece.done; piece = await pieces.next()) {
        for (const part of piece.value.chunk?.parts ?? []) {
          for (const { type, ...data } of blocks.push(part)) yield event(type, data);
        }
      }
      for (const { type, ...data } of blocks.end()) yield event(type, data);
      const result = (await answer.results())[0]!;
      yield event("message_delta", { delta: stopOf(result), usage: usageOf(result) });
      yield event("message_stop", {});
    },
  };
}

function contentOf(result: GenerateResult, callId: (index: number) => string): object[] {
  const { text, reasoning, calls } = messageOf(result);
  return [
    ...(reasoning === "" ? [] : [{ type: "thinking", thinking: reasoning, signature: "" }]),
    ...(text === "" && calls.length > 0 ? [] : [{ type: "text", text }]),
    ...calls.map(({ name, arguments: args }, i) => ({
      ...{ type: "tool_use", id: callId(i), name, input: JSON.parse(args) as object },
    })),
  ];
}

type BlockEvent = { readonly type: string } & Readonly<Record<string, unknown>>;

/** Puts what comes into blocks, one after the other. Calls come whole, as Anthropic gives them, where they are not wanted `eager`ly. */
function createBlocks(callId: (index: number) => string, eager: boolean) {
  const settle = createSettler();
  let index = -1;
  let open: AnswerPart["type"] | "tool" | undefined;

  function* close(): Generator<BlockEvent> {
    if (open === undefined) return;
    if (open === "reasoning") yield delta({ type: "signature_delta", signature: "" });
    yield { type: "content_block_stop", index };
    open = undefined;
  }
  function* begin(kind: NonNullable<typeof open>, block: object): Generator<BlockEvent> {
    yield* close();
    index++;
    open = kind;
    yield { type: "content_block_start", index, content_block: block };
  }
  const delta = (said: object): BlockEvent => ({ type: "content_block_delta", index, delta: said });
  const beginCall = (call: number, name: string) =>
    begin("tool", { type: "tool_use", id: callId(call), name, input: {} });

  function* give(part: SettledPart): Generator<BlockEvent> {
    if (part.type === "tool") {
      yield* beginCall(part.index, part.name);
      yield delta({ type: "input_json_delta", partial_json: part.arguments });
      yield* close();
      return;
    }
    const { type, text } = part;
    if (type === "text") {
      if (open !== type) yield* begin(type, { type: "text", text: "" });
      yield delta({ type: "text_delta", text });
    } else {
      if (open !== type) yield* begin(type, { type: "thinking", thinking: "", signature: "" });
      yield delta({ type: "thinking_delta", thinking: text });
    }
  }

  return {
    *push(part: AnswerPart): Generator<BlockEvent> {
      if (eager && part.type === "call") yield* beginCall(part.index, part.name);
      else if (eager && part.type === "arguments") yield delta({ type: "input_json_delta", partial_json: part.text });
      else if (eager && part.type === "called") yield* close();
      else {
        const settled = settle(part);
        if (settled !== undefined) yield* give(settled);
      }
    },
    end: close,
  };
}

/** `POST /v1/messages/count_tokens` */
export async function countTokens(request: z.infer<typeof countRequest>, model: LanguageModel) {
  const { messages, options } = conversationOf(request);
  return { input_tokens: (await inTurns(model.encodeChatSteps(messages, options))).length };
}

/** What reaches the chat template. Who says nothing of thinking does not want it. */
function conversationOf({ system, messages, tools, tool_choice: choice, thinking }: z.infer<typeof countRequest>): {
  readonly messages: readonly ChatMessage[];
  readonly options: Pick<ChatOptions, "tools" | "templateVariables">;
} {
  const offered = choice?.type === "none" ? [] : (tools ?? []);
  const thinks = thinking?.type === "adaptive" ? undefined : thinking?.type === "enabled";
  return {
    messages: messagesOf(system, messages),
    options: {
      templateVariables: thinkingVariables(thinks),
      ...(offered.length > 0 && {
        tools: offered.map(({ name, description, input_schema: parameters, strict }) =>
          toolOf({ name, description, parameters, strict }),
        ),
      }),
    },
  };
}

function start(request: MessagesRequest, served: Served): Answers {
  const { max_tokens: maxTokens, stop_sequences: stop, temperature, top_p: topP, top_k: topK, tool_choice } = request;
  const format = request.output_config?.format;
  const said = { temperature, topP, topK, stop, grammar: format ? { schema: format.schema } : undefined };
  const { messages, options: told } = conversationOf(request);
  const options: ChatOptions = {
    ...{ temperature: 1, topP: 1, topK: 0, minP: 0, ...served.preferred, maxTokens, ...told, parts: true },
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
    ...(tool_choice && choiceOf(tool_choice)),
  };
  return startAnswers(served, 1, options, (model, more) => model.chat(messages, more));
}

function choiceOf(
  choice: NonNullable<MessagesRequest["tool_choice"]>,
): Pick<ChatOptions, "toolChoice" | "parallelToolCalls"> {
  if (choice.type === "none") return {};
  return {
    ...(choice.type === "any" && { toolChoice: "required" }),
    ...(choice.type === "tool" && { toolChoice: { name: choice.name } }),
    ...(choice.disable_parallel_tool_use && { parallelToolCalls: false }),
  };
}

function stopOf(result: GenerateResult) {
  if (refusedBy(result) !== undefined) return { stop_reason: "refusal", stop_sequence: null };
  const { finishReason, stopString } = result;
  const end = endOf(finishReason, messageOf(result).calls.length);
  const reasons = {
    length: "max_tokens",
    tools: "tool_use",
    stop: stopString === undefined ? "end_turn" : "stop_sequence",
  };
  return { stop_reason: reasons[end], stop_sequence: stopString ?? null };
}

function usageOf({ usage: { promptTokens, cachedTokens, completionTokens } }: GenerateResult) {
  return {
    ...{ input_tokens: promptTokens - cachedTokens, cache_read_input_tokens: cachedTokens },
    ...{ cache_creation_input_tokens: 0, output_tokens: completionTokens },
  };
}
