import { z } from "zod";
import { GrokError } from "../../errors.ts";
import { type AnswerPart, createSettler, type SettledPart } from "../../generate/answer/parts.ts";
import { inTurns } from "../../generate/turns.ts";
import type {
  ChatMessage,
  ChatOptions,
  GenerateResult,
  LanguageModel,
  ToolChoice,
  ToolDefinition,
} from "../../generate/types.ts";
import type { Steps } from "../../tokenizer/steps.ts";
import { grammarOfTextFormat, responseTextFormat } from "../answer-format.ts";
import { type Answers, startAnswers } from "../answers.ts";
import type { Reply, Served } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { jsonInTurns } from "../json.ts";
import { refusedBy } from "../moderation/moderator.ts";
import { generationFields, optionsOf, placesAtATime, seconds } from "../openai/fields.ts";
import { endOf, messageOf, thinkingVariables, toolOf } from "../tools.ts";
import { type Item, item, messagesOf } from "./items.ts";
import { createOutput, type Output, type OutputOptions } from "./output.ts";
import type { ResponseStore } from "./store.ts";

const functionTool = z.looseObject({
  type: z.literal("function"),
  name: z.string().min(1).max(128),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});

const customTool = z.looseObject({
  type: z.literal("custom"),
  name: z.string().min(1).max(128),
  description: z.string().nullish(),
});

/** Clients offer it unasked: a model that is not told of it answers without. */
const webSearch = z.looseObject({
  type: z.enum(["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"]),
});

const tool = z.discriminatedUnion("type", [functionTool, customTool, webSearch], {
  error: ({ input }) => {
    const { type } = (input ?? {}) as { readonly type?: unknown };
    return `is ${JSON.stringify(type)}: only functions and custom tools of the caller's own can be called here`;
  },
});

const { temperature, top_p, top_k, min_p, seed, stop, user, metadata, service_tier, safety_identifier } =
  generationFields;

const namedTool = z.strictObject({ type: z.enum(["function", "custom"]), name: z.string() });
const allowedTools = z.strictObject({
  ...{ type: z.literal("allowed_tools"), mode: z.enum(["auto", "required"]) },
  tools: z
    .array(z.discriminatedUnion("type", [namedTool, webSearch]))
    .min(1)
    .max(512),
});

const toolChoice = z.union(
  [z.enum(["none", "auto", "required"]), namedTool, allowedTools],
  'is to be none, auto, required, {"type": "function", "name": ...} or {"type": "allowed_tools", ...}',
);

/** What a conversation consists of. */
const conversation = {
  model: z.string().optional(),
  input: z.union([z.string(), z.array(item).max(10_000)]).nullish(),
  instructions: z.string().nullish(),
  previous_response_id: z.string().nullish(),
  tools: z.array(tool).max(512).nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  reasoning: z
    .looseObject({ effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh"]).nullish() })
    .nullish(),
  text: z
    .strictObject({
      format: responseTextFormat.nullish(),
      verbosity: z.string().nullish(),
    })
    .nullish(),
  truncation: z.enum(["auto", "disabled"]).nullish(),
};

export const countRequest = z.strictObject(conversation);

export const responseRequest = z.strictObject({
  ...conversation,
  ...{ temperature, top_p, top_k, min_p, seed, stop },
  max_output_tokens: z.int().min(1).nullish(),
  store: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_obfuscation: z.boolean().nullish() }).nullish(),
  include: z.array(z.string()).nullish(),
  background: z.literal(false, "a response is given to who waits for it").nullish(),
  top_logprobs: z.int().min(0).max(100).nullish(),
  // What changes no answer here.
  ...{ user, metadata, service_tier, safety_identifier },
  prompt_cache_key: z.string().nullish(),
  prompt_cache_retention: z.string().nullish(),
  client_metadata: z.record(z.string(), z.unknown()).nullish(),
  max_tool_calls: z.int().min(1).nullish(),
});

export type ResponseRequest = z.infer<typeof responseRequest>;
type Conversation = z.infer<typeof countRequest>;

/** `POST /v1/responses` */
export function replyToResponse(request: ResponseRequest, served: Served, store: ResponseStore): Reply {
  const id = `resp_${served.id}`;
  const created = seconds();
  const input = itemsOf(request.input);
  const custom = new Set(request.tools?.flatMap((tool) => (tool.type === "custom" ? tool.name : [])));
  const seals = request.include?.includes("reasoning.encrypted_content") === true;
  const { tokenizer } = served.model;
  const outputTo = (emit: OutputOptions["emit"]) => createOutput({ id: served.id, custom, seals, tokenizer, emit });
  const describe = (state: object) => ({ ...describeResponse(request, served, id, created), ...state });

  async function finish(result: GenerateResult, output: readonly object[]) {
    const refused = refusedBy(result) !== undefined;
    const incomplete = isCut(result);
    const response = describe({
      status: incomplete ? "incomplete" : "completed",
      ...{ ...(!incomplete && { completed_at: seconds() }), output, usage: usageOf(result, served.model) },
      incomplete_details: incomplete ? { reason: refused ? "content_filter" : "max_output_tokens" } : null,
    });
    const previous = request.previous_response_id ?? undefined;
    if (request.store !== false) await store.put({ response: { ...response, id, output }, input, previous });
    return response;
  }

  const start = (): Answers => {
    const messages = conversationOf(request, input, store);
    return startAnswers(served, 1, optionsFor(request, served), (model, more) => model.chat(messages, more));
  };

  return {
    async whole() {
      await using answer = start();
      const result = (await answer.results())[0]!;
      return await finish(
        result,
        await inTurns(
          outputSteps(
            outputTo(() => undefined),
            result,
          ),
        ),
      );
    },

    async *pieces() {
      await using answer = start();
      const pieces = answer.pieces();
      // What fails at once is answered with a status of its own: nothing is said before something has come.
      let piece = await pieces.next();
      let events: { readonly type: string }[] = [];
      let number = 0;
      const emit = (type: string, data: object) => {
        events.push({ type, ...{ sequence_number: number++ }, ...data });
      };
      async function* written() {
        const some = events;
        events = [];
        for (const event of some) yield eventOf(await jsonInTurns(event), event.type);
      }
      const output = outputTo(emit);
      const begun = describe({ status: "in_progress", output: [], usage: null });
      emit("response.created", { response: begun });
      emit("response.in_progress", { response: begun });
      for (; !piece.done; piece = await pieces.next()) {
        for (const part of piece.value.chunk?.parts ?? []) output.push(part);
        yield* written();
      }
      const result = (await answer.results())[0]!;
      const response = await finish(result, output.end(isCut(result)));
      emit(`response.${response.status}`, { response });
      yield* written();
    },
  };
}

const isCut = (result: GenerateResult) => refusedBy(result) !== undefined || endOf(result.finishReason, 0) === "length";

/** `POST /v1/responses/input_tokens` */
export async function countInput(request: Conversation, model: LanguageModel, store: ResponseStore) {
  const messages = conversationOf(request, itemsOf(request.input), store);
  const { tools, templateVariables } = toldWith(request);
  const options = { templateVariables: templateVariables ?? {}, ...(tools && { tools }) };
  const tokens = await inTurns(model.encodeChatSteps(messages, options));
  return { object: "response.input_tokens", input_tokens: tokens.length };
}

function itemsOf(input: Conversation["input"]): readonly Item[] {
  return typeof input === "string" ? [{ type: "message", role: "user", content: input }] : (input ?? []);
}

/** What a response goes on from, the first first: what was asked with each and what it answered. */
function pastOf(id: string | null | undefined, store: ResponseStore): readonly Item[] {
  const turns: (readonly Item[])[] = [];
  for (let at = id ?? undefined; at !== undefined; ) {
    const found = store.get(at);
    if (found === undefined) {
      const message = `there is no response ${JSON.stringify(at)} here, or no more`;
      throw new GrokError("not-found", message, { option: "previous_response_id" });
    }
    turns.push([...found.input, ...(found.response.output as readonly Item[])]);
    at = found.previous;
  }
  return turns.reverse().flat();
}

/** Instructions are those of the request alone: they are not taken over from what it goes on from. */
function conversationOf(request: Conversation, input: readonly Item[], store: ResponseStore): readonly ChatMessage[] {
  const messages = messagesOf([...pastOf(request.previous_response_id, store), ...input]);
  if (messages.length === 0) {
    throw new GrokError("argument", "input: nothing is asked", { option: "input" });
  }
  const { instructions } = request;
  return joinSystem(instructions ? [{ role: "system", content: instructions }, ...messages] : messages);
}

/** Instructions and what a developer says before the first question are one message: many templates refuse a second. */
function joinSystem(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const first = messages.findIndex(({ role }) => role !== "system");
  const count = first < 0 ? messages.length : first;
  if (count < 2) return messages;
  const content = messages
    .slice(0, count)
    .map(({ content }) => content)
    .join("\n\n");
  return [{ role: "system", content }, ...messages.slice(count)];
}

/** What reaches the chat template beside messages. */
function toldWith({
  tools,
  tool_choice: choice,
  reasoning,
}: Conversation): Pick<ChatOptions, "tools" | "templateVariables"> {
  const offered = choice === "none" ? [] : (tools ?? []).flatMap(toolIn);
  const effort = reasoning?.effort;
  const thinks = effort == null ? undefined : effort !== "none" && effort !== "minimal";
  return {
    templateVariables: { ...thinkingVariables(thinks), ...(effort != null && { reasoning_effort: effort }) },
    ...(offered.length > 0 && { tools: offered }),
  };
}

function toolIn(given: z.infer<typeof tool>): readonly ToolDefinition[] {
  if (given.type === "function") return [toolOf(given)];
  if (given.type !== "custom") return [];
  const parameters = { type: "object", properties: { input: { type: "string" } }, required: ["input"] };
  return [toolOf({ name: given.name, description: given.description, parameters })];
}

function optionsFor(request: ResponseRequest, { preferred }: Served): ChatOptions {
  const { max_output_tokens: most, parallel_tool_calls: parallel, tool_choice: choice, truncation } = request;
  const { top_logprobs: top } = request;
  const grammar = request.text?.format && grammarOfTextFormat(request.text.format);
  return {
    ...optionsOf({ ...request, max_tokens: most, store: false, stream_options: null }, preferred),
    ...{ ...toldWith(request), parts: true },
    ...(parallel != null && { parallelToolCalls: parallel }),
    ...(choice != null && choice !== "none" && { toolChoice: choiceOf(choice) }),
    ...(grammar && { grammar }),
    ...(truncation === "auto" && { fit: true }),
    ...((top || request.include?.includes("message.output_text.logprobs")) && { logprobs: top ?? 0 }),
  };
}

const isNamed = (tool: z.infer<typeof namedTool | typeof webSearch>): tool is z.infer<typeof namedTool> =>
  tool.type === "function" || tool.type === "custom";

function choiceOf(choice: Exclude<z.infer<typeof toolChoice>, "none">): ToolChoice {
  if (typeof choice === "string") return choice;
  if (choice.type !== "allowed_tools") return { name: choice.name };
  return { mode: choice.mode, names: choice.tools.flatMap((tool) => (isNamed(tool) ? tool.name : [])) };
}

/** A whole answer's items: what turned out to be no call is text. Alternatives to its tokens are many values. */
function* outputSteps(output: Output, result: GenerateResult): Steps<readonly object[]> {
  const { parts = [] } = result;
  const settle = createSettler();
  for (const [i, given] of parts.entries()) {
    if (i > 0 && i % placesAtATime === 0) yield;
    const part = settle(given);
    if (part === undefined) continue;
    if (part.type !== "tool") output.push(part);
    else for (const step of callOf(part)) output.push(step);
  }
  return output.end(isCut(result));
}

const callOf = ({ index, name, arguments: text }: Extract<SettledPart, { type: "tool" }>): readonly AnswerPart[] => [
  ...[{ type: "call", index, name } as const, { type: "arguments", index, text } as const],
  { type: "called", index },
];

function describeResponse(request: ResponseRequest, { name }: Served, id: string, created: number) {
  return {
    ...{ id, object: "response", created_at: created, model: name, background: false },
    ...{
      error: null,
      incomplete_details: null as object | null,
      output: [] as readonly object[],
      status: "in_progress",
    },
    ...{ instructions: request.instructions ?? null, previous_response_id: request.previous_response_id ?? null },
    ...{ max_output_tokens: request.max_output_tokens ?? null, max_tool_calls: request.max_tool_calls ?? null },
    ...{ metadata: request.metadata ?? {}, parallel_tool_calls: request.parallel_tool_calls ?? true },
    reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
    ...{ store: request.store ?? true, temperature: request.temperature ?? 1, top_p: request.top_p ?? 1 },
    text: {
      format: request.text?.format ?? { type: "text" },
      ...(request.text?.verbosity && { verbosity: request.text.verbosity }),
    },
    ...{ tool_choice: request.tool_choice ?? "auto", tools: request.tools ?? [] },
    top_logprobs: request.top_logprobs ?? 0,
    ...{ truncation: request.truncation ?? "disabled", user: request.user ?? null },
    ...(request.prompt_cache_key != null && { prompt_cache_key: request.prompt_cache_key }),
  };
}

function usageOf(result: GenerateResult, { tokenizer }: LanguageModel) {
  const { promptTokens, cachedTokens, completionTokens } = result.usage;
  const { reasoning } = messageOf(result);
  return {
    ...{ input_tokens: promptTokens, input_tokens_details: { cached_tokens: cachedTokens } },
    output_tokens: completionTokens,
    // Of their text, without the marks around it.
    output_tokens_details: { reasoning_tokens: reasoning === "" ? 0 : tokenizer.encode(reasoning).length },
    total_tokens: promptTokens + completionTokens,
  };
}
