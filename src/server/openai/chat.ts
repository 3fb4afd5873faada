import { z } from "zod";
import { GrokError } from "../../errors.ts";
import type { AnswerPart } from "../../generate/answer/parts.ts";
import { inTurns } from "../../generate/turns.ts";
import type { ChatMessage, ChatOptions, GenerateResult, ToolChoice } from "../../generate/types.ts";
import { type Answers, startAnswers } from "../answers.ts";
import type { Reply, Served } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { refusal, refusedBy } from "../moderation/moderator.ts";
import { endOf, functionTool, messageOf, textOfParts, thinkingVariables, toolOf } from "../tools.ts";
import { chatLogprobs, chatLogprobsSteps, generationFields, optionsOf, seconds, usageOf } from "./fields.ts";
import { grok1Field, readExtension } from "./grok1.ts";

const textPart = z.strictObject({ type: z.literal("text", "only text can be read here"), text: z.string() });

const earlierCall = z.looseObject({
  id: z.string(),
  type: z.literal("function", "only functions can be called here").default("function"),
  function: z.looseObject({ name: z.string(), arguments: z.string() }),
});

const message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: z.union([z.string(), z.array(textPart)]).nullish(),
  reasoning_content: z.string().nullish(),
  tool_calls: z.array(earlierCall).nullish(),
  tool_call_id: z.string().nullish(),
});

const namedTool = z.strictObject({ type: z.literal("function"), function: z.strictObject({ name: z.string() }) });
const allowedTools = z.strictObject({
  type: z.literal("allowed_tools"),
  allowed_tools: z.strictObject({ mode: z.enum(["auto", "required"]), tools: z.array(namedTool).min(1).max(512) }),
});

const toolChoice = z.union(
  [z.enum(["none", "auto", "required"]), namedTool, allowedTools],
  'is to be none, auto, required, {"type": "function", "function": {"name": ...}} or {"type": "allowed_tools", ...}',
);

export const chatRequest = z.strictObject({
  ...generationFields,
  messages: z.array(message).min(1),
  max_completion_tokens: z.int().min(0).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(100).nullish(),
  tools: z.array(functionTool).max(512).nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  reasoning_effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh"]).nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  modalities: z.array(z.literal("text", "only text can be answered here")).nullish(),
  // What changes no answer here.
  verbosity: z.string().nullish(),
  prediction: z.looseObject({ type: z.literal("content") }).nullish(),
  grok1: grok1Field,
});

export type ChatRequest = z.infer<typeof chatRequest>;

/** `POST /v1/chat/completions` */
export function replyToChat(request: ChatRequest, served: Served): Reply {
  const { tokenizer } = served.model;
  const head = { id: `chatcmpl-${served.id}`, created: seconds(), model: served.name };
  const extension = readExtension(request.grok1);
  const start = () => startChat(request, served, extension.options);
  const callId = (index: number, call: number) => `call_${served.id}_${index}_${call}`;

  async function choiceOf(result: GenerateResult, index: number) {
    const { text, reasoning, calls } = messageOf(result);
    const toolCalls = calls.map((call, i) => ({ id: callId(index, i), type: "function", function: call }));
    return {
      index,
      message: {
        ...{ role: "assistant", content: text === "" && calls.length > 0 ? null : text, refusal: refusalOf(result) },
        ...(reasoning !== "" && { reasoning_content: reasoning }),
        ...(calls.length > 0 && { tool_calls: toolCalls }),
      },
      logprobs: await inTurns(chatLogprobsSteps(tokenizer, result.logprobs)),
      finish_reason: finishReasonOf(result),
      ...extension.first(result.experts),
    };
  }

  function deltaOf(part: AnswerPart, index: number): object | undefined {
    switch (part.type) {
      case "text":
        return { content: part.text };
      case "reasoning":
        return { reasoning_content: part.text };
      case "call": {
        const begun = { id: callId(index, part.index), type: "function", function: { name: part.name, arguments: "" } };
        return { tool_calls: [{ index: part.index, ...begun }] };
      }
      case "arguments":
        return { tool_calls: [{ index: part.index, function: { arguments: part.text } }] };
      case "called":
        return undefined;
      case "failed":
        return { content: part.text };
    }
  }

  return {
    async whole() {
      await using answers = start();
      const results = await answers.results();
      const choices = await Promise.all(results.map(choiceOf));
      return { ...head, object: "chat.completion", choices, usage: usageOf(results) };
    },

    async *pieces() {
      const withUsage = request.stream_options?.include_usage === true;
      const event = (choices: readonly object[], usage: object | null = null) =>
        eventOf({ ...head, object: "chat.completion.chunk", choices, ...(withUsage && { usage }) });
      await using answers = start();
      const begun = new Set<number>();
      for await (const { index, ...piece } of answers.pieces()) {
        const choice = (delta: object, rest: object) =>
          event([{ index, delta, logprobs: null, finish_reason: null, ...rest }]);
        if (!begun.has(index)) yield choice({ role: "assistant", content: "" }, extension.first());
        begun.add(index);
        if (piece.result) {
          const refused = refusalOf(piece.result);
          if (refused !== null) yield choice({ refusal: refused }, {});
          yield choice({}, { finish_reason: finishReasonOf(piece.result) });
          continue;
        }
        const deltas = (piece.chunk.parts ?? []).flatMap((part) => deltaOf(part, index) ?? []);
        const logprobs = chatLogprobs(tokenizer, piece.chunk.logprobs);
        const tokens = { ...(logprobs && { logprobs }), ...extension.piece(piece.chunk.experts) };
        // What tokens were is said once, also of those that show nothing.
        if (deltas.length === 0 && Object.keys(tokens).length > 0) deltas.push({});
        for (const [i, delta] of deltas.entries()) yield choice(delta, i === 0 ? tokens : {});
      }
      const usage = usageOf(await answers.results());
      if (withUsage) yield event([], usage);
      yield eventOf("[DONE]");
    },
  };
}

const refusalOf = (result: GenerateResult): string | null => {
  const rule = refusedBy(result);
  return rule === undefined ? null : refusal("answer", rule).message;
};

function finishReasonOf(result: GenerateResult): "stop" | "length" | "tool_calls" | "content_filter" {
  if (refusedBy(result) !== undefined) return "content_filter";
  const end = endOf(result.finishReason, messageOf(result).calls.length);
  return end === "tools" ? "tool_calls" : end;
}

function startChat(request: ChatRequest, served: Served, extension: ChatOptions): Answers {
  const { logprobs, top_logprobs: top, max_completion_tokens: mostTokens, reasoning_effort: effort, n } = request;
  if (top != null && !logprobs) {
    throw new GrokError("argument", "top_logprobs goes with logprobs: true", { option: "top_logprobs" });
  }
  const thinks = effort == null ? undefined : effort !== "none" && effort !== "minimal";
  const variables = {
    ...{ ...thinkingVariables(thinks), ...(effort != null && { reasoning_effort: effort }) },
    ...request.chat_template_kwargs,
  };
  const options: ChatOptions = {
    ...optionsOf(request, served.preferred),
    ...(mostTokens != null && { maxTokens: mostTokens }),
    ...(logprobs && { logprobs: top ?? 0 }),
    ...{ templateVariables: variables, parts: true },
    ...toolsOf(request),
    ...extension,
  };
  const messages = request.messages.map(messageIn);
  return startAnswers(served, n ?? 1, options, (model, more) => model.chat(messages, more));
}

function toolsOf({ tools, tool_choice: choice, parallel_tool_calls: parallel }: ChatRequest): Partial<ChatOptions> {
  if (choice === "none") return {};
  return {
    ...(choice != null && { toolChoice: choiceOf(choice) }),
    ...(tools?.length && { tools: tools.map(({ function: described }) => toolOf(described)) }),
    ...(parallel != null && { parallelToolCalls: parallel }),
  };
}

function choiceOf(choice: Exclude<z.infer<typeof toolChoice>, "none">): ToolChoice {
  if (typeof choice === "string") return choice;
  if (choice.type === "function") return choice.function;
  const { mode, tools } = choice.allowed_tools;
  return { mode, names: tools.map((tool) => tool.function.name) };
}

function messageIn({ role, content, tool_calls: calls, ...rest }: ChatRequest["messages"][number]): ChatMessage {
  const given = Object.entries(rest).filter(([, value]) => value != null);
  return {
    // "developer" is OpenAI's newer name of the same role, which templates do not know.
    ...{ ...Object.fromEntries(given), role: role === "developer" ? "system" : role, content: textOfParts(content) },
    ...(calls?.length && { tool_calls: calls }),
  };
}
