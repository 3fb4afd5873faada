import { basename } from "node:path";
import type { Command } from "commander";
import { GrokError } from "../../errors.ts";
import type {
  Chat,
  ChatNotice,
  ChatOptions,
  CreateChatOptions,
  GenerateResult,
  Generation,
  LanguageModel,
} from "../../generate/types.ts";
import { nameAdapters } from "../chat/adapters.ts";
import { type Conversation, loadConversation } from "../chat/conversation.ts";
import { historyLimit, readHistory, writeHistory } from "../chat/history.ts";
import { type ChatInput, openPipeInput, openTerminalInput } from "../chat/input.ts";
import { isSlash, runSlash } from "../chat/slash.ts";
import { configPath, historyPath } from "../config.ts";
import { interruptedStatus } from "../exit.ts";
import { addGrammar, type GrammarFlags, readGrammar } from "../grammar.ts";
import { type Language, type Messages, messagesFor } from "../messages.ts";
import {
  addModel,
  addStreaming,
  defaultModelFolder,
  findModel,
  type ModelOptions,
  openModel,
  watchReads,
} from "../open-model.ts";
import { addSettings, engineSettings, pick, samplingSettings } from "../settings.ts";
import { createProgress, dim, escapeControl, escapeUnseen, hasColor } from "../terminal.ts";
import { adapterList, path, repeated, text } from "../values.ts";
import { createWrapper, wrapText } from "../wrap.ts";

/** Options that are the library's own. */
const shared = [...samplingSettings, "maxTokens", "stop"] as const;

interface ChatCommandOptions extends ModelOptions, GrammarFlags, Pick<ChatOptions, (typeof shared)[number]> {
  readonly system?: string;
  readonly lang?: Language;
  readonly history: boolean;
  readonly load?: string;
}

export function addChat(program: Command): void {
  const command = program
    .command("chat")
    .summary("Talk with a model.")
    .description(
      'Talk with a model. /help in the conversation lists its commands. Where standard input is not a terminal, each of its lines is one turn (a trailing backslash and """ blocks work there too).',
    );
  addModel(command);
  addSettings(command, [
    "system",
    "maxTokens",
    ...samplingSettings,
    "lang",
    "history",
    ...engineSettings,
    "speculation",
    "draft",
    "chatTemplate",
  ]);
  command.option(
    "--stop <text>",
    "end answers where this text would appear; can be given several times",
    repeated(text()),
  );
  addGrammar(addStreaming(command));
  command.option("--load <file>", "go on with a conversation that /save wrote", path());
  command.option(
    "--lora <file[:scale]>",
    "low-rank adapter to use: PEFT's folder or safetensors file; can be given several times",
    adapterList(),
  );
  command.action(async (_, options: ChatCommandOptions) => {
    process.exitCode = await chat(options);
  });
}

async function chat(options: ChatCommandOptions): Promise<number> {
  const messages = messagesFor(options.lang, process.env);
  const file = findModel(options);
  if (file === undefined) {
    process.stdout.write(messages.noModel(defaultModelFolder, configPath(process.env)));
    return 0;
  }
  const adapters = nameAdapters(options.lora ?? []);
  const grammar = readGrammar(options);
  await using model = await openModel(file, { ...options, lora: adapters });
  watchReads(model, notify);
  await using chat = await openChat(model, {
    ...pick(options, shared),
    ...(grammar && { grammar }),
    system: options.system || undefined,
    onNotice: (notice) => notify(noticeText(notice, messages)),
  });
  const input = openInput(options);
  try {
    notify(messages.welcome(basename(file), model.info.contextLength));
    if (options.model === undefined) notify(messages.packagedModel);
    if (model.info.fallbackReason !== undefined) notify(messages.slowBackend(model.info.fallbackReason));
    if (model.tokenizer.info.duplicates > 0) notify(messages.duplicatePieces(model.tokenizer.info.duplicates));
    if (model.chatTemplate === undefined) notify(messages.plainTemplate);
    const conversation: Conversation = { chat, adapters, files: new Set() };
    // Who asked for it on the command line has nothing to talk about without it: what goes wrong is thrown.
    if (options.load !== undefined) {
      notify(messages.loaded(options.load, loadConversation(conversation, options.load)));
    }
    return await converse(input, conversation, messages);
  } finally {
    if (input.interactive && options.history) writeHistory(historyPath(process.env), input.history());
    input.close();
  }
}

async function openChat(model: LanguageModel, options: CreateChatOptions): Promise<Chat> {
  // Only now, as openModel does.
  const { createChat } = await import("../../generate/chat.ts");
  return createChat(model, options);
}

function noticeText({ type }: ChatNotice, messages: Messages): string {
  return type === "left-out" ? messages.beginningLeftOut : messages.systemFolded;
}

function openInput(options: ChatCommandOptions): ChatInput {
  const screen = [process.stdout, process.stderr].find((stream) => stream.isTTY);
  if (!process.stdin.isTTY || !screen) return openPipeInput(process.stdin);
  return openTerminalInput(screen, options.history ? readHistory(historyPath(process.env)) : [], historyLimit);
}

/** A line about the conversation, not of it: dim, and on standard error where answers go to a file or a pipe. */
function notify(text: string): void {
  const stream = process.stdout.isTTY ? process.stdout : process.stderr;
  const color = hasColor(stream, process.env);
  stream.write(
    `${wrapText(escapeUnseen(text), stream.isTTY ? stream.columns : undefined)
      .split("\n")
      .map((line) => dim(line, color))
      .join("\n")}\n`,
  );
}

async function converse(input: ChatInput, conversation: Conversation, messages: Messages): Promise<number> {
  const { chat } = conversation;
  let interrupts = 0;
  let status = 0;
  let confirm: (() => Promise<string>) | undefined;
  for (;;) {
    const turn = await input.read();
    if (turn.kind === "end") return status;
    if (turn.kind === "interrupt") {
      interrupts++;
      if (interrupts > 1) return interruptedStatus;
      notify(messages.againToLeave);
      continue;
    }
    interrupts = 0;
    const question = turn.text;
    let begin = (options: ChatOptions) => chat.send(question, options);
    const confirmed = confirm;
    confirm = undefined;
    if (confirmed !== undefined) {
      const word = question.trim().toLowerCase();
      if (messages.yes.includes(word)) {
        notify(await confirmed());
        continue;
      }
      // Anything but an answer is the next turn.
      notify(messages.notDone);
      if (messages.no.includes(word)) continue;
    }
    if (question.trim() === "") continue;
    if (isSlash(question)) {
      const outcome = await runSlash(question.trim(), conversation, messages);
      if (outcome.kind === "exit") return status;
      if (outcome.kind === "confirm") {
        confirm = outcome.confirmed;
        notify(outcome.text);
        continue;
      }
      if (outcome.kind === "done") {
        notify(outcome.text);
        continue;
      }
      begin = chat.retry;
    }
    const outcome = await answer(begin, input, messages);
    if (outcome === "stopped" && !input.interactive) return interruptedStatus;
    // One that failed, in a pipe: those after it are answered, and the exit status tells.
    if (outcome === "failed" && !input.interactive) status = 1;
  }
}

/** Shows one answer as it comes, and says what went wrong. */
async function answer(
  begin: (options: ChatOptions) => Generation,
  input: ChatInput,
  messages: Messages,
): Promise<"done" | "stopped" | "failed"> {
  const controller = new AbortController();
  input.onInterrupt(() => {
    if (controller.signal.aborted) process.exit(interruptedStatus);
    controller.abort();
  });
  const screen = [process.stderr, process.stdout].find((stream) => stream.isTTY) ?? process.stderr;
  const progress = createProgress(screen, process.env);
  // Lines are broken for eyes only.
  const wrapper = createWrapper(() => (process.stdout.isTTY ? process.stdout.columns : undefined));
  try {
    const generation = begin({
      signal: controller.signal,
      onProgress: ({ done, total }) => progress.show(messages.reading(done, total)),
    });
    let last = "";
    for await (const { text } of generation) {
      if (text === "") continue;
      progress.clear();
      process.stdout.write(wrapper.push(escapeControl(text)));
      last = text;
    }
    const result = await generation.result;
    progress.clear();
    process.stdout.write(`${wrapper.end()}${last.endsWith("\n") ? "" : "\n"}`);
    notify(`[${summaryOf(result, messages)}]`);
    return result.finishReason === "cancelled" ? "stopped" : "done";
  } catch (error) {
    progress.clear();
    const written = wrapper.end();
    if (written !== "") process.stdout.write(`${written}\n`);
    if (!(error instanceof GrokError) || error.code === "internal") throw error;
    notify(error.code === "capacity" ? `${error.message}. ${messages.contextFull}` : error.message);
    return "failed";
  }
}

function summaryOf({ usage, timings, finishReason }: GenerateResult, messages: Messages): string {
  const parts = [messages.stats(usage.completionTokens, timings.decodeTokensPerSecond.toFixed(1))];
  if (finishReason === "cancelled") parts.push(messages.stopped);
  if (finishReason === "length") parts.push(messages.reachedLength);
  if (finishReason === "context") parts.push(messages.contextFull);
  return parts.join(", ");
}
