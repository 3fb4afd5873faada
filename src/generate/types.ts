// So that the declarations check in a program whose own "lib" ends before explicit resource management.
/// <reference lib="esnext.disposable" preserve="true" />

import type { Engine } from "../engine/engine.ts";
import type { EngineOptions } from "../engine/options.ts";
import type { ExpertChoice, FinishReason, GenerationOptions, TokenLogprob } from "../engine/request.ts";
import type { Grammar } from "../grammar/grammar.ts";
import type { ModelDescription } from "../model/describe.ts";
import type { Steps } from "../tokenizer/steps.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { AnswerMessage, AnswerPart } from "./answer/parts.ts";

export interface LoadOptions extends EngineOptions {
  /** A Jinja chat template to use in place of the file's own. */
  readonly chatTemplate?: string;
}

/** How to generate: what the engine takes, and what of it is text. */
export interface GenerateOptions extends GenerationOptions {
  /** Text that ends the generation; it is not part of the text given. It may begin and end inside tokens. */
  readonly stop?: string | readonly string[];
  /** What the answer has to be, such as JSON that a schema allows. Whatever the sampling, no token comes that it does not allow. */
  readonly grammar?: Grammar;
  /** Go on past end-of-generation tokens. Default false. */
  readonly ignoreEnd?: boolean;
  /** In a text prompt, read control tokens such as `<|im_start|>` as such. Default false. */
  readonly special?: boolean;
  /** Put the beginning-of-text token before a text prompt. Default: what the model's file says. */
  readonly bos?: boolean;
  /** Cancels: the generation ends within one token, with finish reason "cancelled". */
  readonly signal?: AbortSignal;
  /** Told, while the prompt is read, how far that is: about once a second, and when it is done. */
  readonly onProgress?: (progress: PromptProgress) => void;
}

/** How much of a prompt is read: tokens, those that the cache held with them. */
export interface PromptProgress {
  readonly done: number;
  readonly total: number;
}

/** A piece of a generation as it arrives. */
export interface GenerateChunk {
  /** Whole characters that are now certain. */
  readonly text: string;
  /** The tokens that arrived with them. */
  readonly tokens: readonly number[];
  /** One entry a token, when asked for. */
  readonly logprobs?: readonly TokenLogprob[];
  /** What the text is, where a conversation asked for parts. Its marks are in `text` alone. */
  readonly parts?: readonly AnswerPart[];
  /** The same: what each layer chose. */
  readonly experts?: readonly (readonly ExpertChoice[])[];
}

export interface Usage {
  readonly promptTokens: number;
  /** Prompt tokens that the cache held already, of whichever request. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Tokens that speculation drafted, and those of them that the model chose itself. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
}

export interface Timings {
  /** Seconds that opening and binding the model took. */
  readonly loadSeconds: number;
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
  /** Computed prompt tokens a second. */
  readonly prefillTokensPerSecond: number;
  /** Tokens a second after the first; 0 for a single token. */
  readonly decodeTokensPerSecond: number;
}

export interface GenerateResult {
  readonly text: string;
  /** Generated tokens, without the end-of-generation token and, after a stop string, up to the token that completed it. */
  readonly tokens: readonly number[];
  readonly finishReason: FinishReason;
  /** Which of the stop strings appeared, for the finish reason "stop-string". */
  readonly stopString?: string;
  readonly usage: Usage;
  readonly timings: Timings;
  /** One entry a token of `tokens`, when asked for. */
  readonly logprobs?: readonly TokenLogprob[];
  /** With them, those of what was generated behind `tokens` and ended it: the rest of a stop string, or an end-of-generation token. */
  readonly endLogprobs?: readonly TokenLogprob[];
  /** What the text consists of, where a conversation asked for parts. */
  readonly message?: AnswerMessage;
  /** The same as it came. */
  readonly parts?: readonly AnswerPart[];
  /** The same: what each layer chose. */
  readonly experts?: readonly (readonly ExpertChoice[])[];
}

/**
 * A generation under way. Iterate it for the text as it comes, or await `result` alone; both may be done. Leaving the
 * iteration early (`break`) cancels.
 */
export interface Generation extends AsyncIterable<GenerateChunk> {
  /** Settles when the generation ends; a cancelled one resolves with finish reason "cancelled". @throws GrokError */
  readonly result: Promise<GenerateResult>;
  cancel(): void;
}

/** A message, as the model's chat template is given it: further fields, such as `name`, reach the template as they are. */
export interface ChatMessage {
  /** Usually "system", "user", "assistant" or "tool". */
  readonly role: string;
  /** A text, or parts of one. May be missing where the message calls tools. */
  readonly content?: string | null | readonly ContentPart[];
  readonly tool_calls?: readonly unknown[];
  readonly [field: string]: unknown;
}

export interface ContentPart {
  /** "text"; what else there is depends on the template. */
  readonly type: string;
  readonly text?: string;
}

/**
 * Whether the model is to call: as it likes, one of the tools at least, this one and no other, or some of those that it is told of, as it
 * likes or one of them at least.
 */
export type ToolChoice =
  | "auto"
  | "required"
  | { readonly name: string }
  | { readonly names: readonly string[]; readonly mode: "auto" | "required" };

/** A tool that a model may ask for, as OpenAI's API has it: it reaches chat templates as it is. */
export interface ToolDefinition {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string;
    /** A JSON schema of the arguments, which are an object. */
    readonly parameters?: Readonly<Record<string, unknown>>;
    /** Whether its calls are held to that schema, wherever the model calls it. Not told to the template. Default false. */
    readonly strict?: boolean;
    readonly [field: string]: unknown;
  };
}

export interface ChatOptions extends GenerateOptions {
  /**
   * Tools that the model may call: its answer's `message` has the calls. Where its chat template knows no tools, a system message tells
   * of them. @throws GrokError `argument` where the template has calls written in a way that is not read here
   */
  readonly tools?: readonly ToolDefinition[];
  /**
   * What is not left to the model: its answer is then held to calls with arguments that their schemas allow, behind a thought that
   * the prompt opens. Default "auto": beside a `grammar`, the answer
   * then calls or is what that says. @throws GrokError `unsupported` naming what of a schema cannot be held to
   */
  readonly toolChoice?: ToolChoice;
  /** Whether an answer may call several tools; otherwise it ends with its first call. Default true. */
  readonly parallelToolCalls?: boolean;
  /**
   * Whether to tell an answer's text, thoughts and calls of tools apart, as the chat template marks them: in `parts` of what comes, and
   * in the result's `message`. Default: whether there are tools.
   */
  readonly parts?: boolean;
  /** Further variables for the chat template. */
  readonly templateVariables?: Readonly<Record<string, unknown>>;
  /**
   * Leave out the oldest exchanges of a conversation that leaves too little room for an answer: of `maxTokens`, but at most 1024
   * tokens or half of the context. System messages at the beginning stay, and the last question. Default false; true in a {@link Chat}.
   */
  readonly fit?: boolean;
  /** Told, before the answer begins, what of the conversation reaches the model in another way than it was said. */
  readonly onNotice?: (notice: ChatNotice) => void;
}

export type ChatNotice =
  /** So many of the oldest messages did not fit into the context, and were left out. */
  | { readonly type: "left-out"; readonly messages: number }
  /** The template has no place for a system message: its text goes in front of the first question. */
  | { readonly type: "system-folded" };

/** How a conversation begins, and the options of its answers. */
export interface CreateChatOptions extends ChatOptions {
  /** The system message, in front of `messages`. */
  readonly system?: string;
  /** What was said before: what another chat's `messages` were, also after a way through JSON. */
  readonly messages?: readonly ChatMessage[];
}

/** One timeline of tokens with its cache: a request that begins like the last one computes only what is new. */
export interface Session {
  generate(prompt: string | ArrayLike<number>, options?: GenerateOptions): Generation;
  chat(messages: readonly ChatMessage[], options?: ChatOptions): Generation;
  /** A second session with the same past; it takes memory for what is new in it alone. */
  fork(): Session;
  /** What still runs in it is cancelled. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A model, ready. `close` (or `await using`) frees its memory and stops its thread at once. A program may also just end: a
 * model that nobody asks anything does not keep the process alive.
 */
export interface LanguageModel
  extends Pick<Engine, "info" | "logits" | "score" | "logprobs" | "embed" | "bench" | "status" | "close"> {
  readonly path: string;
  readonly description: ModelDescription;
  readonly tokenizer: Tokenizer;
  /** The Jinja template in use; undefined when the file has none and a plain format stands in. */
  readonly chatTemplate: string | undefined;
  /**
   * Whether the chat template has no place for a system message, as it refuses one or leaves it out: its text then goes in
   * front of the first question.
   */
  readonly foldsSystem: boolean;
  /** Whether the chat template knows of thoughts that come before an answer, between marks. */
  readonly marksReasoning: boolean;
  /** Seconds from the call of `loadModel` until the model was ready. */
  readonly loadSeconds: number;
  /** Generates in a session of its own. */
  generate(prompt: string | ArrayLike<number>, options?: GenerateOptions): Generation;
  /** Answers a conversation in a session of its own. */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): Generation;
  /** The tokens that `chat` would give to the model. */
  encodeChat(messages: readonly ChatMessage[], options?: Pick<ChatOptions, "templateVariables" | "tools">): Int32Array;
  /** Tokens of a text, with the beginning-of-text token where the model's file asks for it. */
  encode(text: string, options?: Pick<GenerateOptions, "special" | "bos">): Int32Array;
  /** The same in steps of a few milliseconds, for who has others to serve in between. */
  encodeSteps(...asked: Parameters<LanguageModel["encode"]>): Steps<Int32Array>;
  encodeChatSteps(...asked: Parameters<LanguageModel["encodeChat"]>): Steps<Int32Array>;
  session(): Session;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A running conversation. All its messages are kept; of those that no longer fit into the context the oldest exchanges are not
 * sent. What is asked is answered in its order, one after the other.
 */
export interface Chat {
  /** All messages so far, plain data; an answer is added when it is whole. */
  readonly messages: readonly ChatMessage[];
  /**
   * Options of the answers to come: sampling, `adapters`, `maxTokens` and so on. To be set as a whole:
   * `chat.options = { ...chat.options, seed: 7 }`. @throws GrokError `argument` for an option that does not exist
   */
  options: ChatOptions;
  /**
   * Adds a user's text, a message or several (the results of tools) and answers. A cancelled answer stays in the conversation as
   * far as it came; where one fails, the conversation is as before.
   */
  send(message: string | ChatMessage | readonly ChatMessage[], options?: ChatOptions): Generation;
  /** Answers the last question again: the last answer is taken back. @throws (in `result`) GrokError `argument` where nothing was asked */
  retry(options?: ChatOptions): Generation;
  /** Begins anew: with the first system message alone, or as said. @throws GrokError `argument` for messages that are none */
  reset(beginning?: Pick<CreateChatOptions, "system" | "messages">): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
