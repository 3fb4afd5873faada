import { isUtf8 } from "node:buffer";
import { z } from "zod";
import type { FinishReason, TokenLogprob } from "../../engine/request.ts";
import type { ChatOptions, GenerateOptions, GenerateResult } from "../../generate/types.ts";
import { finish } from "../../tokenizer/steps.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { grammarFields, grammarOf } from "../answer-format.ts";

/** OpenAI's and Ollama's seeds have 64 bits, of which a number of JSON keeps the upper 53. */
export const seedField = z
  .number()
  .refine((value) => Number.isInteger(value) && Math.abs(value) <= 2 ** 63, {
    error: ({ input }) => `is ${input}, expected a whole number of 64 bits`,
  })
  .meta({ type: "integer" });

/** What chat and text completions have in common. Fields beyond OpenAI's are those that other servers know too. */
export const generationFields = {
  model: z.string().optional(),
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  logit_bias: z
    .record(z.string().regex(/^\d+$/, "a token is named by its number"), z.number().min(-100).max(100))
    .nullish(),
  seed: seedField.nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(64)]).nullish(),
  max_tokens: z.int().min(0).nullish(),
  n: z.int().min(1).max(128).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
    .nullish(),
  ignore_eos: z.boolean().nullish(),
  ...grammarFields,
  // What changes no answer here.
  user: z.string().nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
  store: z.literal(false, "nothing is stored here").nullish(),
  service_tier: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
  prompt_cache_retention: z.string().nullish(),
};

type GenerationFields = z.infer<z.ZodObject<typeof generationFields>>;

/** OpenAI's own defaults. Its penalties look at all that was generated. */
const defaults: GenerateOptions = { temperature: 1, topP: 1, topK: 0, minP: 0, penaltyWindow: -1 };

/** @param preferred what whoever runs the server wants where a request says nothing. */
export function optionsOf(fields: GenerationFields, preferred: GenerateOptions): GenerateOptions {
  const { temperature, top_p, top_k, min_p, repetition_penalty, presence_penalty, frequency_penalty } = fields;
  const { logit_bias, seed, stop, max_tokens, ignore_eos } = fields;
  const said = {
    ...{ temperature, topP: top_p, topK: top_k, minP: min_p, repetitionPenalty: repetition_penalty },
    ...{
      presencePenalty: presence_penalty,
      frequencyPenalty: frequency_penalty,
      seed: seedOf(seed),
      stop,
      maxTokens: max_tokens,
    },
    logitBias:
      logit_bias && Object.fromEntries(Object.entries(logit_bias).map(([token, bias]) => [Number(token), bias])),
    ...{ ignoreEnd: ignore_eos, grammar: grammarOf(fields) },
  };
  const given = Object.entries(said).filter(([, value]) => value !== null && value !== undefined);
  return { ...defaults, ...preferred, ...(Object.fromEntries(given) as GenerateOptions) };
}

/** -1 is what clients send for a fresh one. All others are as good as any: one that is not among the library's stands for one that is. */
function seedOf(seed: number | null | undefined): number | undefined {
  if (seed === null || seed === undefined || seed === -1) return undefined;
  return seed < 0 ? seed - 2 ** 32 * Math.floor(seed / 2 ** 32) : librarySeed(seed);
}

/** A seed of at least 0 as one that the library takes. */
export const librarySeed = (seed: number) => seed % 2 ** 53;

/** What the library's options are called here. */
export const fieldNames = {
  ...{ topP: "top_p", topK: "top_k", minP: "min_p", repetitionPenalty: "repetition_penalty" },
  ...{ presencePenalty: "presence_penalty", frequencyPenalty: "frequency_penalty", logitBias: "logit_bias" },
  ...{ maxTokens: "max_tokens", ignoreEnd: "ignore_eos", templateVariables: "chat_template_kwargs" },
  ...{ adapters: "grok1.adapters", toolChoice: "tool_choice" },
} satisfies Partial<Record<keyof ChatOptions, string>>;

export function finishReasonOf(reason: FinishReason): "stop" | "length" {
  return reason === "length" || reason === "context" ? "length" : "stop";
}

/** @param n answers of each prompt, which count its tokens once */
export function usageOf(results: readonly GenerateResult[], n = results.length) {
  const firsts = results.filter((_, index) => index % n === 0);
  const prompt = sum(firsts.map(({ usage }) => usage.promptTokens));
  const completion = sum(results.map(({ usage }) => usage.completionTokens));
  return {
    ...{ prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion },
    prompt_tokens_details: { cached_tokens: sum(firsts.map(({ usage }) => usage.cachedTokens)) },
  };
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

/** Unix time in seconds, as OpenAI has it. */
export const seconds = () => Math.floor(Date.now() / 1000);

/** A token as text, or as OpenAI writes what is only a part of a character: `bytes:\\xe2\\x80`. */
export function tokenText(
  tokenizer: Tokenizer,
  token: number,
): { readonly token: string; readonly bytes: readonly number[] } {
  // A model's table can have more rows than the tokenizer has pieces.
  if (token >= tokenizer.vocabSize) return { token: "", bytes: [] };
  const bytes = Buffer.from(tokenizer.bytes(token));
  if (bytes.length === 0) return { token: tokenizer.piece(token), bytes: [] };
  const text = isUtf8(bytes) ? bytes.toString("utf8") : `bytes:${bytes.toString("hex").replace(/../g, "\\x$&")}`;
  return { token: text, bytes: [...bytes] };
}

/** Places whose alternatives are written out before others have their turn. */
export const placesAtATime = 32;

/** A token with what the model thought of it and of others in its place. */
export interface ListedToken extends ListedAlone {
  readonly top_logprobs: readonly ListedAlone[];
}

interface ListedAlone extends ReturnType<typeof tokenText> {
  readonly logprob: number;
}

export function listLogprobs(tokenizer: Tokenizer, entries: readonly TokenLogprob[]): readonly ListedToken[] {
  const entry = (token: number, logprob: number) => ({ ...tokenText(tokenizer, token), logprob });
  return entries.map(({ token, logprob, top }) => ({
    ...entry(token, logprob),
    top_logprobs: top.map((other) => entry(other.token, other.logprob)),
  }));
}

/** A chat completion's `logprobs`. */
export function chatLogprobs(tokenizer: Tokenizer, entries: readonly TokenLogprob[] | undefined) {
  return finish(chatLogprobsSteps(tokenizer, entries));
}

/** The same in steps. */
export function* chatLogprobsSteps(tokenizer: Tokenizer, entries: readonly TokenLogprob[] | undefined) {
  if (entries === undefined) return null;
  const content: ListedToken[] = [];
  for (let at = 0; at < entries.length; at += placesAtATime) {
    if (at > 0) yield;
    content.push(...listLogprobs(tokenizer, entries.slice(at, at + placesAtATime)));
  }
  return { content, refusal: null };
}
