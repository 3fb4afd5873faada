import { describeValue, GrokError } from "../errors.ts";
import { readOptions, readText } from "./arguments.ts";
import { readMessages } from "./chat-prompt.ts";
import { headOf } from "./fit.ts";
import { chatKinds, failedGeneration, startAfter } from "./generation.ts";
import type {
  Chat,
  ChatMessage,
  ChatOptions,
  CreateChatOptions,
  GenerateResult,
  Generation,
  LanguageModel,
} from "./types.ts";

/**
 * Begins a conversation, or goes on with an earlier one. The session keeps its cache, so each turn computes only what is new.
 * @throws GrokError `argument` for an option that does not exist, or messages that are none
 */
export function createChat(model: LanguageModel, options?: CreateChatOptions): Chat {
  if (!isModel(model)) {
    throw new GrokError("argument", `createChat: the model is ${describeValue(model)}, expected what loadModel gives`);
  }
  const {
    system,
    messages: earlier,
    ...rest
  } = readOptions("createChat", options, { ...chatKinds, ...beginningKinds });
  let defaults: ChatOptions = rest;
  let messages = begin(system, earlier);
  const session = model.session();
  /** Answers under way or waiting, and when the last of them has ended. */
  let waiting = 0;
  let last: Promise<void> = Promise.resolve();
  let toldOfSystem = false;

  /** Answers what `change` makes of the messages, after the answers that are still under way. */
  function answer(
    change: (messages: readonly ChatMessage[]) => readonly ChatMessage[],
    more: ChatOptions | undefined,
  ): Generation {
    let options: ChatOptions;
    try {
      options = { ...defaults, ...readOptions("chat", more, chatKinds) };
    } catch (error) {
      return failedGeneration(error);
    }
    const start = () => {
      try {
        return ask(change(messages), options);
      } catch (error) {
        return failedGeneration(error);
      }
    };
    const generation = waiting === 0 ? start() : startAfter(last, start);
    waiting++;
    last = generation.result.then(
      () => void waiting--,
      () => void waiting--,
    );
    return generation;
  }

  function ask(asked: readonly ChatMessage[], options: ChatOptions): Generation {
    const before = messages;
    messages = asked;
    const { onNotice } = options;
    const generation = session.chat(asked, {
      ...options,
      fit: options.fit ?? true,
      ...(onNotice && {
        onNotice(notice) {
          if (notice.type === "system-folded" && toldOfSystem) return;
          toldOfSystem ||= notice.type === "system-folded";
          onNotice(notice);
        },
      }),
    });
    const result = generation.result.then(
      (answer) => {
        if (messages === asked) messages = [...asked, messageOf(answer, asked.length)];
        return answer;
      },
      (error) => {
        // The conversation goes on without the question that failed: it may only have been too long.
        if (messages === asked) messages = before;
        throw error;
      },
    );
    result.catch(() => undefined);
    return { ...generation, result };
  }

  return {
    get messages() {
      return messages;
    },
    get options() {
      return defaults;
    },
    set options(options) {
      defaults = readOptions("chat", options, chatKinds);
    },
    send: (message, options) => answer((before) => [...before, ...messagesOf(message)], options),
    retry: (options) => answer(withoutAnswer, options),
    reset(beginning) {
      const { system, messages: earlier } = readOptions("reset", beginning, beginningKinds);
      messages = beginning === undefined ? headOf(messages) : begin(system, earlier);
    },
    close: () => session.close(),
    [Symbol.asyncDispose]: () => session.close(),
  };
}

/** An answer as a message of its conversation; its calls are named by their place, so that results can name them. */
function messageOf({ text, message }: GenerateResult, at: number): ChatMessage {
  if (message === undefined) return { role: "assistant", content: text };
  const { text: content, reasoning, calls } = message;
  return {
    ...{ role: "assistant", content },
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(calls.length > 0 && {
      tool_calls: calls.map((call, i) => ({ id: `call_${at}_${i}`, type: "function", function: call })),
    }),
  };
}

/** Also of a proxy that cannot be read. */
function isModel(value: unknown): boolean {
  try {
    return typeof (value as Partial<LanguageModel> | undefined)?.session === "function";
  } catch {
    return false;
  }
}

const beginningKinds = { system: "any", messages: "any" } as const;

function begin(system: string | undefined, earlier: readonly ChatMessage[] = []): readonly ChatMessage[] {
  const messages = readMessages(earlier);
  if (system === undefined) return messages;
  if (messages[0]?.role === "system") {
    throw new GrokError("argument", "there are two system messages: the option system, and the first of messages", {
      option: "system",
    });
  }
  return [{ role: "system", content: readText("system", system) }, ...messages];
}

function messagesOf(message: string | ChatMessage | readonly ChatMessage[]): readonly ChatMessage[] {
  if (typeof message === "string") return [{ role: "user", content: message }];
  if (typeof message !== "object" || message === null) {
    throw new GrokError("argument", `the message is ${describeValue(message)}, expected a text, a message or messages`);
  }
  return readMessages(Array.isArray(message) ? message : [message as ChatMessage]);
}

/** A conversation up to its last question. */
function withoutAnswer(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const asked = messages.findLastIndex(({ role }) => role !== "assistant");
  if (asked < headOf(messages).length) {
    throw new GrokError("argument", "nothing was asked yet, so there is nothing to answer again");
  }
  return messages.slice(0, asked + 1);
}
