import { statSync } from "node:fs";
import { resolve } from "node:path";
import { InvalidArgumentError } from "commander";
import { GrokError } from "../../errors.ts";
import type { ChatMessage } from "../../generate/types.ts";
import type { Messages } from "../messages.ts";
import { readSetting, type SettingName, samplingSettings, usualNumber } from "../settings.ts";
import { expandHome } from "../values.ts";
import { chooseAdapters } from "./adapters.ts";
import { type Conversation, loadConversation, saveConversation, withoutOption } from "./conversation.ts";

/** What a slash command asks the chat to do next, after saying `text`. */
export type SlashOutcome =
  | { readonly kind: "done"; readonly text: string }
  | { readonly kind: "retry" }
  /** Says `text`, and does what it asks about if the next turn says yes; gives what is said then. */
  | { readonly kind: "confirm"; readonly text: string; readonly confirmed: () => Promise<string> }
  | { readonly kind: "exit" };

const commands = ["/help", "/clear", "/system", "/set", "/lora", "/save", "/load", "/retry", "/exit"];
const settable = [...samplingSettings, "maxTokens"] as const satisfies readonly SettingName[];
type Settable = (typeof settable)[number];

/** Whether a turn is a command: a slash and a word. A path such as /etc/hosts is not. */
export function isSlash(turn: string): boolean {
  return /^\/[a-zA-Z?]+(\s|$)/.test(turn);
}

/** Carries out a slash command on the conversation. What goes wrong is said, not thrown. */
export async function runSlash(turn: string, conversation: Conversation, messages: Messages): Promise<SlashOutcome> {
  const [, typed, rest] = /^(\S+)\s*([\s\S]*)$/.exec(turn)!;
  const name = typed!.toLowerCase();
  const argument = rest!.trim();
  const { chat } = conversation;
  const say = (text: string): SlashOutcome => ({ kind: "done", text });
  switch (name) {
    case "/help":
      return say(messages.help.trimEnd());
    case "/exit":
    case "/quit":
      return { kind: "exit" };
    case "/clear":
      chat.reset();
      return say(messages.cleared);
    case "/system":
      if (argument === "") return say(systemOf(chat.messages) ?? messages.systemNone);
      chat.reset({ system: argument });
      return say(messages.systemSet);
    case "/set":
      return say(setOption(argument, conversation, messages));
    case "/lora":
      return say(chooseAdapters(argument, conversation, messages));
    case "/retry":
      return chat.messages.some(({ role }) => role === "user") ? { kind: "retry" } : say(messages.nothingToRetry);
    case "/save":
    case "/load": {
      if (argument === "") return say(messages.needsFile(name));
      const path = expandHome(argument);
      const carryOut = () => exchange(name, path, conversation, messages);
      if (name === "/load" || conversation.files.has(resolve(path)) || !isFile(path)) return say(await carryOut());
      return { kind: "confirm", text: messages.overwrites(path), confirmed: carryOut };
    }
    default:
      return say(
        messages.unknownCommand(
          typed!,
          commands.find((known) => known.startsWith(name.slice(0, 3))),
        ),
      );
  }
}

async function exchange(name: string, path: string, conversation: Conversation, messages: Messages): Promise<string> {
  try {
    if (name === "/save") return messages.saved(path, await saveConversation(conversation, path));
    return messages.loaded(path, loadConversation(conversation, path));
  } catch (error) {
    if (error instanceof GrokError) return error.message;
    throw error;
  }
}

/** What the conversation begins with, where that is a system message of plain text. */
function systemOf([first]: readonly ChatMessage[]): string | undefined {
  return first?.role === "system" && typeof first.content === "string" ? first.content : undefined;
}

function setOption(argument: string, { chat }: Conversation, messages: Messages): string {
  const shown = (name: Settable) =>
    chat.options[name] === undefined
      ? [messages.optionDefault, usualNumber(name)].filter(Boolean).join(" ")
      : String(chat.options[name]);
  if (argument === "") return settable.map((name) => `${name} ${shown(name)}`).join("\n");
  const [asked, ...words] = argument.split(/[\s=]+/);
  // top-k, top_k and topk are all topK.
  const plain = (name: string) => name.toLowerCase().replace(/[-_]/g, "");
  const name = settable.find((known) => plain(known) === plain(asked!));
  if (name === undefined) return messages.optionUnknown(asked!, settable.join(", "));
  const value = words.join(" ");
  if (value === "") return messages.optionSet(name, shown(name));
  if (value === "default") {
    chat.options = withoutOption(chat.options, name);
    return messages.optionSet(name, shown(name));
  }
  try {
    chat.options = { ...chat.options, [name]: readSetting(name, value) };
  } catch (error) {
    if (error instanceof InvalidArgumentError) return messages.optionInvalid(name, value, error.message);
    throw error;
  }
  return messages.optionSet(name, shown(name));
}

/** What is another thing than a file is not asked about: nothing can be written there anyway. */
function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
