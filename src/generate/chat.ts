import type { Chat, ChatMessage, ChatOptions, Generation, LanguageModel } from "./types.ts";

/** Begins a conversation. The session keeps its cache, so each turn computes only what is new. */
export function createChat(model: LanguageModel, options: ChatOptions & { readonly system?: string } = {}): Chat {
  const { system, ...defaults } = options;
  const first: readonly ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
  const session = model.session();
  let messages = first;
  return {
    get messages() {
      return messages;
    },
    send(text, more = {}): Generation {
      const asked = [...messages, { role: "user", content: text }];
      messages = asked;
      const generation = session.chat(asked, { ...defaults, ...more });
      const answered = generation.result.then(
        (result) => {
          if (messages === asked) messages = [...asked, { role: "assistant", content: result.text }];
          return result;
        },
        (error) => {
          // The conversation goes on without the question that failed: it may only have been too long.
          if (messages === asked) messages = asked.slice(0, -1);
          throw error;
        },
      );
      answered.catch(() => undefined);
      return { ...generation, result: answered };
    },
    reset() {
      messages = first;
    },
    close: () => session.close(),
    [Symbol.asyncDispose]: () => session.close(),
  };
}
