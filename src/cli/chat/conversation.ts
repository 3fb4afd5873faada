import { writeAtomic } from "../../bytes/atomic-write.ts";
import { readTextFile } from "../../bytes/text-file.ts";
import type { AdapterSource } from "../../engine/adapters.ts";
import { GrokError } from "../../errors.ts";
import type { TextMessage } from "../../generate/types.ts";

/** What has been said, and with which options the next answer is made. */
export interface Conversation {
  /** The system message first, where there is one. */
  messages: TextMessage[];
  /** Sampling options, `maxTokens` and the `adapters` chosen, by name; those that nobody set are absent. */
  options: Record<string, unknown>;
  /** What can be chosen from: the adapters that the model was loaded with. */
  readonly adapters: readonly Required<AdapterSource>[];
  /** Files that it was read from or written to: writing there again loses nothing. */
  readonly files: Set<string>;
}

export function beginConversation(
  system: string | undefined,
  options: Record<string, unknown>,
  adapters: readonly Required<AdapterSource>[] = [],
): Conversation {
  return { messages: system ? [{ role: "system", content: system }] : [], options, adapters, files: new Set() };
}

export function systemOf(conversation: Conversation): string | undefined {
  const first = conversation.messages[0];
  return first?.role === "system" ? first.content : undefined;
}

/** Forgets all but the system message. */
export function clearConversation(conversation: Conversation, system = systemOf(conversation)): void {
  conversation.messages = system ? [{ role: "system", content: system }] : [];
}

/** Takes the last question and what followed it out of the conversation; undefined when nothing was asked. */
export function takeLastQuestion(conversation: Conversation): string | undefined {
  const index = conversation.messages.findLastIndex((message) => message.role === "user");
  if (index < 0) return undefined;
  const question = conversation.messages[index]!.content;
  conversation.messages = conversation.messages.slice(0, index);
  return question;
}

/** Tokens kept free for an answer, at most; half of a context that is small. */
const mostAnswerRoom = 1024;

/**
 * The messages that are sent: all of them, or without the oldest exchanges when they would leave too little room for an answer
 * of `maxTokens`. The system message and the last question always stay. `count` gives a conversation's tokens.
 */
export function fitMessages(
  messages: readonly TextMessage[],
  count: (messages: readonly TextMessage[]) => number,
  contextLength: number,
  maxTokens = Number.POSITIVE_INFINITY,
): readonly TextMessage[] {
  const most = contextLength - Math.min(maxTokens, mostAnswerRoom, Math.floor(contextLength / 2));
  const head = messages[0]?.role === "system" ? 1 : 0;
  let sent = messages;
  while (count(sent) > most) {
    const next = sent.findIndex(({ role }, index) => index > head && role === "user");
    if (next < 0) break;
    sent = [...sent.slice(0, head), ...sent.slice(next)];
  }
  return sent;
}

/** Writes `{"messages": [{"role", "content"}]}`. @throws GrokError `io` */
export async function saveConversation(conversation: Conversation, path: string): Promise<void> {
  const text = `${JSON.stringify({ messages: conversation.messages }, undefined, 2)}\n`;
  await writeAtomic(path, [new TextEncoder().encode(text)]);
}

/** Reads what {@link saveConversation} wrote. @throws GrokError `io`, or `format` naming the file and the message. */
export function loadConversation(path: string): TextMessage[] {
  let document: unknown;
  try {
    document = JSON.parse(readTextFile(path));
  } catch (error) {
    if (error instanceof GrokError) throw error;
    throw new GrokError("format", `${path}: expected JSON: ${(error as Error).message}`, { path }, error);
  }
  const messages = isRecord(document) ? document.messages : undefined;
  if (!Array.isArray(messages)) throw new GrokError("format", `${path}: expected a list "messages"`, { path });
  return messages.map((message: unknown, index) => {
    if (!isRecord(message) || typeof message.role !== "string" || typeof message.content !== "string") {
      throw new GrokError("format", `${path}: message ${index}: expected the texts "role" and "content"`, { path });
    }
    return { role: message.role, content: message.content };
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
