import { z } from "zod";
import type { TokenLogprob } from "../../engine/request.ts";
import { GrokError } from "../../errors.ts";
import { createSettler, type ToolCall } from "../../generate/answer/parts.ts";
import type { ChatOptions, GenerateResult } from "../../generate/types.ts";
import { jsonSchema } from "../answer-format.ts";
import { type Answers, type Ask, startAnswers } from "../answers.ts";
import type { Reply, Served } from "../dialect.ts";
import { lineOf } from "../events.ts";
import { refusal, refusedBy } from "../moderation/moderator.ts";
import { chatLogprobs, librarySeed, seedField } from "../openai/fields.ts";
import { functionTool, messageOf, thinkingVariables, toolOf } from "../tools.ts";
import { callOut, message, messagesIn, noPictures } from "./conversation.ts";
import { keepSecondsOf } from "./keep-alive.ts";

/** Sampling and length by Ollama's names. What is about loading a model is this server's own affair, and changes no answer. */
const options = z.strictObject({
  temperature: z.number().min(0).max(100).optional(),
  top_k: z.int().min(0).optional(),
  top_p: z.number().min(0).max(1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  typical_p: z.number().min(0).max(1).optional(),
  seed: seedField.optional(),
  num_predict: z.int().min(-2).optional(),
  stop: z.array(z.string().min(1)).max(64).optional(),
  repeat_penalty: z.number().positive().optional(),
  repeat_last_n: z.int().min(-1).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  ...{ num_ctx: z.int().optional(), num_batch: z.int().optional(), num_thread: z.int().optional() },
  ...{ num_gpu: z.int().optional(), num_keep: z.int().optional(), use_mmap: z.boolean().optional() },
  ...{ main_gpu: z.int().optional(), low_vram: z.boolean().optional(), use_mlock: z.boolean().optional() },
  ...{ numa: z.boolean().optional(), f16_kv: z.boolean().optional() },
  // Kinds of sampling that there are not here, where they are off: older clients send all options.
  ...{
    mirostat: z.literal(0, "there is no mirostat here").optional(),
    tfs_z: z.literal(1, "there is no tail-free sampling here").optional(),
  },
  ...{ mirostat_tau: z.number().optional(), mirostat_eta: z.number().optional() },
});

/** What the library's options are called here. */
export const fieldNames = {
  ...{ topK: "top_k", topP: "top_p", minP: "min_p", typicalP: "typical_p", repetitionPenalty: "repeat_penalty" },
  ...{ penaltyWindow: "repeat_last_n", presencePenalty: "presence_penalty", frequencyPenalty: "frequency_penalty" },
  maxTokens: "num_predict",
} satisfies Partial<Record<keyof ChatOptions, string>>;

const common = {
  model: z.string(),
  stream: z.boolean().default(true),
  options: options.optional(),
  keep_alive: z.union([z.string(), z.number()]).optional(),
  format: z.union([z.enum(["", "json"]), jsonSchema], 'expected "json" or a JSON Schema').nullish(),
  think: z.union([z.boolean(), z.enum(["low", "medium", "high"])]).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(100).nullish(),
};

export const chatRequest = z.strictObject({
  ...common,
  messages: z.array(message).optional(),
  tools: z.array(functionTool).max(512).nullish(),
});

export const generateRequest = z.strictObject({
  ...common,
  prompt: z.string().optional(),
  system: z.string().optional(),
  /** The prompt goes to the model as it is, and not as a question in its chat template. */
  raw: z.boolean().optional(),
  images: noPictures,
  suffix: z.literal("", "nothing can be inserted before a text here").optional(),
  template: z.literal("", "the model's own template holds here").optional(),
  context: z.array(z.unknown()).max(0, "goes on from nothing here: /api/chat takes what was said before").optional(),
});

/** What is said where nothing is asked, and the model is to be given back. */
export const chatGivenBack = (request: z.infer<typeof chatRequest>) =>
  request.messages?.length || keepSecondsOf(request) !== 0 ? undefined : idleLine(request, sayChat, "unload");

/** The same. */
export const generateGivenBack = (request: z.infer<typeof generateRequest>) =>
  request.prompt || keepSecondsOf(request) !== 0 ? undefined : idleLine(request, sayGenerate, "unload");

const sayChat: Say = ({ text = "" }) => ({ message: { role: "assistant", content: text } });
const sayGenerate: Say = ({ text = "", thinking }) => ({ response: text, ...(thinking && { thinking }) });

const idleLine = (request: Common, say: Say, reason: string) => ({
  ...{ ...stamp(request), ...say({}), done: true, done_reason: reason },
});

/** `POST /api/chat` */
export function replyToChat(request: z.infer<typeof chatRequest>, served: Served): Reply {
  const messages = messagesIn(request.messages ?? []);
  const say: Say = ({ text = "", thinking, calls }) => ({
    message: {
      ...{ role: "assistant", content: text, ...(thinking && { thinking }) },
      ...(calls && { tool_calls: calls.map((call) => callOut(served.id, call)) }),
    },
  });
  if (messages.length === 0) return replyLoaded(request, say);
  const tools = request.tools?.map(({ function: described }) => toolOf(described)) ?? [];
  const ask: Ask = (model, more) => model.chat(messages, { ...more, ...(tools.length > 0 && { tools }) });
  return reply(request, served, ask, say);
}

/** `POST /api/generate` */
export function replyToGenerate(request: z.infer<typeof generateRequest>, served: Served): Reply {
  const { prompt = "", system, raw } = request;
  if (prompt === "") return replyLoaded(request, sayGenerate);
  const messages = [...(system ? [{ role: "system", content: system }] : []), { role: "user", content: prompt }];
  const ask: Ask = (model, { templateVariables, parts, ...more }) =>
    raw
      ? model.generate(prompt, { ...more, special: true })
      : model.chat(messages, { ...more, templateVariables: templateVariables ?? {}, parts: parts ?? true });
  return reply(request, served, ask, sayGenerate);
}

type Common = z.infer<z.ZodObject<typeof common>>;
/** Something of an answer, in its model. */
type Say = (said: {
  readonly text?: string;
  readonly thinking?: string;
  readonly calls?: readonly (ToolCall & { readonly index: number })[];
}) => object;

const stamp = ({ model }: Common) => ({ model, created_at: new Date().toISOString() });

/** Who asks nothing wants the model loaded, which it is by now. */
function replyLoaded(request: Common, say: Say): Reply {
  const line = () => idleLine(request, say, "load");
  return {
    whole: async () => line(),
    async *pieces() {
      yield lineOf(line());
    },
  };
}

function reply(request: Common, served: Served, ask: Ask, say: Say): Reply {
  const line = (said: Parameters<Say>[0], rest: object) => ({ ...stamp(request), ...say(said), ...rest });
  const listed = (entries: readonly TokenLogprob[] | undefined) =>
    entries?.length ? { logprobs: chatLogprobs(served.model.tokenizer, entries)!.content } : {};
  const start = (): Answers => {
    if (request.think && !served.model.marksReasoning) {
      throw new GrokError("argument", `${JSON.stringify(request.model)} does not support thinking`, {
        option: "think",
      });
    }
    return startAnswers(served, 1, optionsOf(request, served), ask);
  };
  return {
    async whole() {
      await using answer = start();
      const result = allowed((await answer.results())[0]!);
      const { text, reasoning, calls } = messageOf(result);
      const called = calls.map((call, index) => ({ ...call, index }));
      const said = { text, thinking: reasoning, ...(calls.length > 0 && { calls: called }) };
      return line(said, { ...listed(result.logprobs), ...endOf(result) });
    },
    async *pieces() {
      await using answer = start();
      const settle = createSettler();
      /** Those of tokens that are in no line yet: a mark is no text, and a call comes whole. */
      let logprobs: TokenLogprob[] = [];
      const next = (said: Parameters<Say>[0], rest: object = { done: false }) => {
        const of = listed(logprobs);
        logprobs = [];
        return lineOf(line(said, { ...of, ...rest }));
      };
      for await (const { chunk } of answer.pieces()) {
        logprobs.push(...(chunk?.logprobs ?? []));
        for (const given of chunk === undefined
          ? []
          : (chunk.parts ?? [{ type: "text", text: chunk.text, at: 0 } as const])) {
          const part = settle(given);
          if (part?.type === "tool") yield next({ calls: [part] });
          else if (part?.type === "reasoning") yield next({ thinking: part.text });
          else if (part !== undefined && part.text !== "") yield next({ text: part.text });
        }
      }
      yield next({}, endOf(allowed((await answer.results())[0]!)));
    },
  };
}

/** Ollama has no word for an answer that is refused but an error. @throws GrokError `refused` */
function allowed(result: GenerateResult): GenerateResult {
  const rule = refusedBy(result);
  if (rule !== undefined) throw refusal("answer", rule);
  return result;
}

function optionsOf(
  { options = {}, think, format, logprobs, top_logprobs: top }: Common,
  { preferred }: Served,
): ChatOptions {
  const { num_predict: most, seed, stop } = options;
  if (top && !logprobs) {
    throw new GrokError("argument", "top_logprobs goes with logprobs: true", { option: "top_logprobs" });
  }
  const said = {
    ...{ temperature: options.temperature, topK: options.top_k, topP: options.top_p, minP: options.min_p, stop },
    ...{ typicalP: options.typical_p, repetitionPenalty: options.repeat_penalty, penaltyWindow: options.repeat_last_n },
    ...{ presencePenalty: options.presence_penalty, frequencyPenalty: options.frequency_penalty },
    // -1 and -2 are Ollama's ways to say: as many as fit.
    maxTokens: most !== undefined && most >= 0 ? most : undefined,
    // A negative seed is a fresh one.
    seed: seed !== undefined && seed >= 0 ? librarySeed(seed) : undefined,
    logprobs: logprobs ? (top ?? 0) : undefined,
    grammar: format == null || format === "" ? undefined : format === "json" ? { json: true } : { schema: format },
  };
  return {
    ...preferred,
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
    ...{ parts: true, templateVariables: variablesOf(think) },
  };
}

/** How much it is to think, where it says so, some templates know too. */
function variablesOf(think: Common["think"]): Readonly<Record<string, unknown>> {
  if (think == null) return {};
  return { ...thinkingVariables(think !== false), ...(typeof think === "string" && { reasoning_effort: think }) };
}

/** Durations are nanoseconds. */
function endOf({ finishReason, usage, timings }: GenerateResult) {
  const nanoseconds = (seconds: number) => Math.round(seconds * 1e9);
  const { prefillSeconds, decodeSeconds } = timings;
  return {
    ...{ done: true, done_reason: finishReason === "length" || finishReason === "context" ? "length" : "stop" },
    ...{ total_duration: nanoseconds(prefillSeconds + decodeSeconds), load_duration: 0 },
    ...{ prompt_eval_count: usage.promptTokens, prompt_eval_duration: nanoseconds(prefillSeconds) },
    ...{ eval_count: usage.completionTokens, eval_duration: nanoseconds(decodeSeconds) },
  };
}
