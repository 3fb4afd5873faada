import { GrokError } from "../errors.ts";
import { encodeRendering, renderChat } from "../generate/chat-prompt.ts";
import { createJinjaTemplate } from "../generate/chat-template.ts";
import type { ChatMessage, LanguageModel } from "../generate/types.ts";
import type { Rendering } from "../template/template.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** What a model is asked, in its parts. */
export interface Asking {
  /** What stands once before everything. */
  readonly description: string;
  /** Answered questions, and the one that is asked. */
  readonly question: string;
  /** How the answer begins. */
  readonly begun: string;
}

/** What a model reads: a text that it goes on with, or a conversation as its chat template writes it. */
export type Prompt = string | Rendering;

export type Put = (asking: Asking) => Prompt;

/** One after the other, as a text. */
export const putAsText: Put = ({ description, question, begun }) => `${description}${question}${begun}`;

/**
 * As a conversation: the description is its system message, answered questions and the one that is asked are one message, and the answer
 * has begun. lm-evaluation-harness's `apply_chat_template` with `fewshot_as_multiturn` off.
 * @throws GrokError `argument` for a model without a chat template
 */
export function createConversation({ chatTemplate, tokenizer, path }: LanguageModel): Put {
  if (chatTemplate === undefined) {
    throw new GrokError("argument", `${path} has no chat template to ask by`, { option: "chat", path });
  }
  const template = createJinjaTemplate(chatTemplate, path);
  return ({ description, question, begun }) => {
    const system: readonly ChatMessage[] = description === "" ? [] : [{ role: "system", content: description }];
    const rendering = renderChat(tokenizer, template, [...system, { role: "user", content: question }]);
    return behind(rendering, begun);
  };
}

/** A prompt with a text behind it, which has no control tokens. */
export function behind(prompt: Prompt, text: string): Prompt {
  if (typeof prompt === "string") return `${prompt}${text}`;
  if (text === "") return prompt;
  const { length } = prompt.text;
  const last = prompt.caller.at(-1);
  const caller = last === length ? prompt.caller.slice(0, -1) : [...prompt.caller, length];
  return { text: `${prompt.text}${text}`, caller: [...caller, length + text.length] };
}

/** A prompt's first characters. */
export function beginningOf(prompt: Prompt, length: number): Prompt {
  if (typeof prompt === "string") return prompt.slice(0, length);
  const caller: number[] = [];
  for (let i = 0; i < prompt.caller.length && prompt.caller[i]! < length; i += 2) {
    caller.push(prompt.caller[i]!, Math.min(prompt.caller[i + 1]!, length));
  }
  return { text: prompt.text.slice(0, length), caller };
}

export function textOf(prompt: Prompt): string {
  return typeof prompt === "string" ? prompt : prompt.text;
}

/** Tokens of a prompt, with the beginning-of-text token where the model's file asks for it. */
export function encodePrompt(tokenizer: Tokenizer, prompt: Prompt): Int32Array {
  if (typeof prompt === "string") return tokenizer.encode(prompt, { bos: tokenizer.addBos });
  return encodeRendering(tokenizer, prompt);
}
