import { describeValue, GrokError } from "../errors.ts";
import { readOptions } from "./arguments.ts";
import { chatKinds, startAfter } from "./generation.ts";
import type { Chat, ChatMessage, ChatOptions, Generation, LanguageModel } from "./types.ts";

/** Begins a conversation. The session keeps its cache, so each turn computes only what is new. */
export function createChat(model: LanguageModel, options?: ChatOptions & { readonly system?: string }): Chat {
  if (!isModel(model)) {
    throw new GrokError("argument", `createChat: the model is ${describeValue(model)}, expected what loadModel gives`);
  }
  const { system, ...defaults } = readOptions("createChat", options, { ...chatKinds, system: "any" });
  const first: readonly ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
  const session = model.session();
  let messages = first;
  /** Answers under way or waiting, and when the last of them has ended. */
  let waiting = 0;
  let last: Promise<void> = Promise.resolve();

  function ask(text: string, options: ChatOptions): Generation {
    const asked = [...messages, { role: "user", content: text }];
    messages = asked;
    const generation = session.chat(asked, options);
    const result = generation.result.then(
      (answer) => {
        if (messages === asked) messages = [...asked, { role: "assistant", content: answer.text }];
        return answer;
      },
      (error) => {
        // The conversation goes on without the question that failed: it may only have been too long.
        if (messages === asked) messages = asked.slice(0, -1);
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
    send(text, more) {
      const options = { ...defaults, ...readOptions("send", more, chatKinds) };
      const generation = waiting === 0 ? ask(text, options) : startAfter(last, () => ask(text, options));
      waiting++;
      last = generation.result.then(
        () => void waiting--,
        () => void waiting--,
      );
      return generation;
    },
    reset() {
      messages = first;
    },
    close: () => session.close(),
    [Symbol.asyncDispose]: () => session.close(),
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
