import { basename, resolve } from "node:path";
import type { Command } from "commander";
import { GrokError } from "../../errors.ts";
import type { ChatOptions, GenerateResult, LanguageModel, Session, TextMessage } from "../../generate/types.ts";
import { nameAdapters } from "../chat/adapters.ts";
import { beginConversation, type Conversation, fitMessages, loadConversation, systemOf } from "../chat/conversation.ts";
import { historyLimit, readHistory, writeHistory } from "../chat/history.ts";
import { type ChatInput, openPipeInput, openTerminalInput } from "../chat/input.ts";
import { isSlash, runSlash } from "../chat/slash.ts";
import { configPath, historyPath } from "../config.ts";
import { interruptedStatus } from "../exit.ts";
import { type Language, type Messages, messagesFor } from "../messages.ts";
import { addModel, defaultModelFolder, findModel, type ModelOptions, openModel, samplingOf } from "../open-model.ts";
import { addSettings, engineSettings, samplingSettings } from "../settings.ts";
import { createProgress, dim, escapeControl, escapeUnseen, hasColor } from "../terminal.ts";
import { adapterList, path, repeated, text } from "../values.ts";
import { createWrapper } from "../wrap.ts";

interface ChatCommandOptions extends ModelOptions {
  readonly system?: string;
  readonly lang?: Language;
  readonly history: boolean;
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
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
    "chatTemplate",
  ]);
  command.option(
    "--stop <text>",
    "end answers where this text would appear; can be given several times",
    repeated(text()),
  );
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
  await using model = await openModel(file, { ...options, lora: adapters });
  await using session = model.session();
  const input = openInput(options);
  try {
    notify(messages.welcome(basename(file), model.info.contextLength));
    if (options.model === undefined) notify(messages.packagedModel);
    if (model.info.fallbackReason !== undefined) notify(messages.slowBackend(model.info.fallbackReason));
    if (model.chatTemplate === undefined) notify(messages.plainTemplate);
    const generation = {
      ...samplingOf({ ...options }),
      ...(options.maxTokens !== undefined && { maxTokens: options.maxTokens }),
      ...(options.stop && { stop: options.stop }),
    };
    const conversation = beginConversation(options.system, generation, adapters);
    if (options.load !== undefined) notify(loadInto(conversation, options.load, messages));
    return await converse(model, session, input, conversation, messages);
  } finally {
    if (input.interactive && options.history) writeHistory(historyPath(process.env), input.history());
    input.close();
  }
}

/** @throws GrokError as `loadConversation`: who asked for it on the command line has nothing to talk about without it. */
function loadInto(conversation: Conversation, path: string, messages: Messages): string {
  conversation.messages = loadConversation(path);
  conversation.files.add(resolve(path));
  return messages.loaded(path, conversation.messages.length);
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
    `${escapeUnseen(text)
      .split("\n")
      .map((line) => dim(line, color))
      .join("\n")}\n`,
  );
}

async function converse(
  model: LanguageModel,
  session: Session,
  input: ChatInput,
  conversation: Conversation,
  messages: Messages,
): Promise<number> {
  let interrupts = 0;
  let status = 0;
  let toldOfSystem = false;
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
    let question = turn.text;
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
      question = outcome.question;
    }
    if (!toldOfSystem && systemOf(conversation) !== undefined && model.foldsSystem) {
      notify(messages.systemFolded);
      toldOfSystem = true;
    }
    const outcome = await answer(model, session, input, conversation, question, messages);
    if (outcome === "stopped" && !input.interactive) return interruptedStatus;
    // One that failed, in a pipe: those after it are answered, and the exit status tells.
    if (outcome === "failed" && !input.interactive) status = 1;
  }
}

/** Streams one answer into the conversation, and says what went wrong. */
async function answer(
  model: LanguageModel,
  session: Session,
  input: ChatInput,
  conversation: Conversation,
  question: string,
  messages: Messages,
): Promise<"done" | "stopped" | "failed"> {
  const controller = new AbortController();
  input.onInterrupt(() => {
    if (controller.signal.aborted) process.exit(interruptedStatus);
    controller.abort();
  });
  const asked = [...conversation.messages, { role: "user", content: question }];
  const options = conversation.options as ChatOptions;
  const screen = [process.stderr, process.stdout].find((stream) => stream.isTTY) ?? process.stderr;
  const progress = createProgress(screen, process.env);
  // Lines are broken for eyes only.
  const wrapper = createWrapper(() => (process.stdout.isTTY ? process.stdout.columns : undefined));
  try {
    const count = (part: readonly TextMessage[]) => model.encodeChat(part).length;
    const sent = fitMessages(asked, count, model.info.contextLength, options.maxTokens);
    if (sent.length < asked.length) notify(messages.beginningLeftOut);
    const generation = session.chat(sent, {
      ...options,
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
    conversation.messages = [...asked, { role: "assistant", content: result.text }];
    notify(`[${summaryOf(result, messages)}]`);
    return result.finishReason === "cancelled" ? "stopped" : "done";
  } catch (error) {
    progress.clear();
    const written = wrapper.end();
    if (written !== "") process.stdout.write(`${written}\n`);
    // The conversation goes on without the question: it may only have been too long.
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
