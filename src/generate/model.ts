import type { Engine } from "../engine/engine.ts";
import { tokensOf } from "../engine/request.ts";
import { encodeChat, endNames } from "./chat-prompt.ts";
import { startGeneration } from "./generation.ts";
import type { ModelParts } from "./parts.ts";
import { refusesSystem } from "./system-role.ts";
import type { ChatMessage, ChatOptions, GenerateOptions, Generation, LanguageModel, Session } from "./types.ts";

/** What a language model is put together from. */
export interface LanguageModelParts extends ModelParts {
  readonly path: string;
  readonly engine: Engine;
  readonly loadSeconds: number;
}

export function createLanguageModel(parts: LanguageModelParts): LanguageModel {
  const { engine, tokenizer, template, loadSeconds } = parts;

  function encode(text: string, options: Pick<GenerateOptions, "special" | "bos"> = {}): Int32Array {
    const { special = false, bos = tokenizer.addBos } = options;
    const ids = tokenizer.encode(text, { special, bos });
    // An empty prompt still needs something to begin from.
    return ids.length === 0 && tokenizer.bos !== undefined ? Int32Array.of(tokenizer.bos) : ids;
  }

  function generate(prompt: string | ArrayLike<number>, options: GenerateOptions, session?: number): Generation {
    const tokens = () => (typeof prompt === "string" ? encode(prompt, options) : tokensOf(prompt));
    return startGeneration(
      { engine, tokenizer, session, loadSeconds, continuation: prompt.length > 0 },
      tokens,
      options,
    );
  }

  function chat(messages: readonly ChatMessage[], options: ChatOptions, session?: number): Generation {
    const { templateVariables, ...rest } = options;
    const own = typeof rest.stop === "string" ? [rest.stop] : (rest.stop ?? []);
    return startGeneration(
      { engine, tokenizer, session, loadSeconds, continuation: false },
      () => encodeChat(tokenizer, template, messages, templateVariables),
      { ...rest, stop: [...own, ...template.stop] },
    );
  }

  function createSession(id: number): Session {
    let closing: Promise<void> | undefined;
    const close = () => {
      closing ??= engine.closeSession(id);
      return closing;
    };
    return {
      generate: (prompt, options = {}) => generate(prompt, options, id),
      chat: (messages, options = {}) => chat(messages, options, id),
      fork: () => createSession(engine.forkSession(id)),
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  const close = () => engine.close();
  return {
    ...{ path: parts.path, description: parts.description, chatTemplate: parts.chatTemplate },
    ...{ tokenizer, loadSeconds, info: engine.info, encode, close },
    get foldsSystem() {
      return refusesSystem(template, endNames(tokenizer));
    },
    generate: (prompt, options = {}) => generate(prompt, options),
    chat: (messages, options = {}) => chat(messages, options),
    encodeChat: (messages, { templateVariables } = {}) => encodeChat(tokenizer, template, messages, templateVariables),
    session: () => createSession(engine.openSession()),
    logits: (tokens, options) => engine.logits(tokens, options),
    score: (texts, options) => engine.score(texts, options),
    logprobs: (tokens, options) => engine.logprobs(tokens, options),
    bench: (options) => engine.bench(options),
    status: () => engine.status(),
    [Symbol.asyncDispose]: close,
  };
}
