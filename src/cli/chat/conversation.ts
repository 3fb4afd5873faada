import { resolve } from "node:path";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { parseJson } from "../../bytes/json.ts";
import { readTextFile } from "../../bytes/text-file.ts";
import type { AdapterSource } from "../../engine/adapters.ts";
import { GrokError } from "../../errors.ts";
import type { Chat, ChatOptions } from "../../generate/types.ts";

/** A chat, and what the terminal knows beside it. */
export interface Conversation {
  readonly chat: Chat;
  /** What can be chosen from: the adapters that the model was loaded with. */
  readonly adapters: readonly Required<AdapterSource>[];
  /** Files that it was read from or written to: writing there again loses nothing. */
  readonly files: Set<string>;
}

/** Options in which one holds as usual again. */
export function withoutOption(options: ChatOptions, name: keyof ChatOptions): ChatOptions {
  const { [name]: _, ...others } = options;
  return others;
}

/** Writes `{"messages": [{"role", "content"}]}`; how many they were. @throws GrokError `io` */
export async function saveConversation({ chat, files }: Conversation, path: string): Promise<number> {
  const text = `${JSON.stringify({ messages: chat.messages }, undefined, 2)}\n`;
  await writeAtomic(path, [new TextEncoder().encode(text)]);
  files.add(resolve(path));
  return chat.messages.length;
}

/** Goes on with what {@link saveConversation} wrote; how many messages it is. @throws GrokError `io`, or `format` naming the file and the message. */
export function loadConversation({ chat, files }: Conversation, path: string): number {
  let document: unknown;
  try {
    document = parseJson(readTextFile(path));
  } catch (error) {
    if (error instanceof GrokError) throw error;
    throw new GrokError("format", `${path}: expected JSON: ${(error as Error).message}`, { path }, error);
  }
  const messages = (document as { readonly messages?: unknown } | null)?.messages;
  if (!Array.isArray(messages)) throw new GrokError("format", `${path}: expected a list "messages"`, { path });
  try {
    chat.reset({ messages });
  } catch (error) {
    if (!(error instanceof GrokError)) throw error;
    throw new GrokError("format", `${path}: ${error.message}`, { ...error.details, path }, error);
  }
  files.add(resolve(path));
  return messages.length;
}
