import { GrokError } from "../../errors.ts";
import { encodeChat } from "../../generate/chat-prompt.ts";
import { type ChatTemplate, textOf } from "../../generate/chat-template.ts";
import type { ChatMessage } from "../../generate/types.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { Conversation, Document } from "./document.ts";

export interface EncodingOptions {
  readonly tokenizer: Tokenizer;
  /** Needed for chat data. Pairs without a template are the prompt and right after it the answer, as one text. */
  readonly template?: ChatTemplate;
  /** Whether a text begins with the tokenizer's bos. */
  readonly addBos: boolean;
  /** Whether a text, or an answer without a template, ends with the tokenizer's eos. */
  readonly addEos: boolean;
}

export interface EncodedDocument {
  readonly ids: Int32Array;
  /** Token ranges [from, to) that are learned, when not all but the first are. */
  readonly learned: readonly (readonly [number, number])[] | undefined;
  /** UTF-8 bytes of the text that is learned, for bits per byte. */
  readonly bytes: number;
}

/** @throws GrokError `argument` for chat data without a template; `format` for a template that no prefix of it grows into. */
export function encodeDocument(
  document: Exclude<Document, { kind: "empty" }>,
  options: EncodingOptions,
): EncodedDocument {
  const { tokenizer } = options;
  const bos = options.addBos && tokenizer.bos !== undefined ? [tokenizer.bos] : [];
  const eos = options.addEos && tokenizer.eos !== undefined ? [tokenizer.eos] : [];
  if (document.kind === "text") {
    return {
      ids: concat(bos, tokenizer.encode(document.text), eos),
      learned: undefined,
      bytes: Buffer.byteLength(document.text),
    };
  }
  if (document.kind === "pair" && options.template === undefined) {
    if (document.system !== undefined || Object.keys(document.variables).length > 0) throw needsTemplate(document);
    const prompt = concat(bos, tokenizer.encode(document.prompt), []);
    const ids = concat(bos, tokenizer.encode(document.prompt + document.answer), eos);
    return {
      ids,
      learned: [[sharedLength(prompt, ids), ids.length]],
      bytes: Buffer.byteLength(document.answer),
    };
  }
  if (options.template === undefined) throw needsTemplate(document);
  const conversation = document.kind === "chat" ? document : conversationOf(document);
  return encodeConversation(document, conversation, options.template, options);
}

function needsTemplate({ kind, file, line }: Document): GrokError {
  const what = kind === "pair" ? "a system message or tools beside a prompt need" : "chat data needs";
  return new GrokError("argument", `${file}, line ${line}: ${what} a chat template`, { file, line });
}

function conversationOf({ system, prompt, answer, variables }: Extract<Document, { kind: "pair" }>): Conversation {
  const head: readonly ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
  return {
    messages: [...head, { role: "user", content: prompt }, { role: "assistant", content: answer }],
    ...{ learned: [...head.map(() => false), false, true], variables },
  };
}

/**
 * A conversation's tokens; learned is what each message to be learned adds to the prompt that asks for it, its end marker with
 * it.
 */
function encodeConversation(
  { file, line }: Document,
  { messages, learned: wanted, variables }: Conversation,
  template: ChatTemplate,
  { tokenizer, addBos }: EncodingOptions,
): EncodedDocument {
  const render = (count: number, ask: boolean): Int32Array => {
    const ids = encodeChat(tokenizer, template, messages.slice(0, count), { ...variables, add_generation_prompt: ask });
    return addBos && tokenizer.bos !== undefined && ids[0] !== tokenizer.bos ? concat([tokenizer.bos], ids, []) : ids;
  };
  const ids = render(messages.length, false);
  const learned: [number, number][] = [];
  let bytes = 0;
  for (const [index, message] of messages.entries()) {
    if (!wanted[index]) continue;
    const prompt = index === 0 ? new Int32Array(0) : render(index, true);
    const from = sharedLength(prompt, ids);
    const upTo = index + 1 === messages.length ? ids : render(index + 1, false);
    const to = sharedLength(upTo, ids);
    // A prompt's last token may join the answer's first where no control token parts them; more than that is a defect.
    if (from < prompt.length - 1 || to < upTo.length - 1 || to <= from) {
      throw new GrokError(
        "format",
        `${file}, line ${line}: the chat template does not build the conversation message by message: message ${index} is not where its prompt ends`,
        { file, line, message: index },
      );
    }
    learned.push([from, to]);
    bytes += textBytes(message);
  }
  return { ids, learned, bytes };
}

/** UTF-8 bytes of what a message says: its text, and the calls of tools beside it. */
function textBytes(message: ChatMessage): number {
  const { tool_calls: calls } = message;
  return Buffer.byteLength(textOf(message)) + (calls === undefined ? 0 : Buffer.byteLength(JSON.stringify(calls)));
}

function concat(head: ArrayLike<number>, body: ArrayLike<number>, tail: ArrayLike<number>): Int32Array {
  const all = new Int32Array(head.length + body.length + tail.length);
  all.set(head);
  all.set(body, head.length);
  all.set(tail, head.length + body.length);
  return all;
}

function sharedLength(a: Int32Array, b: Int32Array): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
