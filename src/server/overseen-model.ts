import type { AdapterChoice } from "../engine/adapters.ts";
import type { EmbedOptions } from "../engine/consumers/embed.ts";
import type { ScoreOptions } from "../engine/consumers/score.ts";
import { GrokError } from "../errors.ts";
import type { ChatOptions, GenerateOptions, Generation, LanguageModel, Session } from "../generate/types.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** What a server has to say about all that is generated, whichever API asked for it. */
export interface Oversight {
  /** What a generation is asked with, of what a dialect made of its request. */
  settle<T extends GenerateOptions | ChatOptions>(options: T): T;
  /** With whom it shares what is computed of prompts; undefined: with all that have none. */
  readonly prefixGroup: string | undefined;
  /** Told of what is asked: a prompt, or messages. */
  asked(what: unknown): void;
  /** Begins what is asked with this text, where that and the answer are allowed. */
  allowed(text: () => string, signal: AbortSignal | undefined, begin: () => Generation): Generation;
}

/** Texts are turned into tokens beside everybody's requests: what cannot fit into the context is not worth the time. */
const mostCharactersPerToken = 32;
const leastBound = 2 ** 16;

/** A model, all of whose generations are overseen and have its name's adapters where they ask for none, and whose tokenizer is kept from texts that are far too long. */
export function overseeModel(
  model: LanguageModel,
  adapters: readonly AdapterChoice[] | undefined,
  { settle: bound, prefixGroup, asked, allowed }: Oversight,
): LanguageModel {
  type Place = Pick<Session, "generate" | "chat">;
  const { contextLength } = model.info;
  const settle = <T extends GenerateOptions>(given: T): T => bound(inGroup(withAdapters(given)));
  const inGroup = <T extends object>(given: T): T => (prefixGroup === undefined ? given : { ...given, prefixGroup });
  const withAdapters = <T extends { readonly adapters?: readonly AdapterChoice[] }>(given: T): T =>
    given.adapters === undefined && adapters !== undefined ? { ...given, adapters } : given;
  const most = Math.max(leastBound, mostCharactersPerToken * contextLength);
  function check(...values: readonly unknown[]): void {
    const characters = values.reduce<number>((sum, value) => sum + countCharacters(value), 0);
    if (characters <= most) return;
    throw new GrokError(
      "capacity",
      `the prompt has ${characters} characters, which cannot fit into a context of ${contextLength} tokens`,
      { characters, most, contextLength },
    );
  }

  const overseen = (place: Place): Place => ({
    generate(prompt, options = {}): Generation {
      if (typeof prompt === "string") check(prompt);
      asked(prompt);
      const text = () => (typeof prompt === "string" ? prompt : model.tokenizer.decode(prompt, { special: true }));
      return allowed(text, options.signal, () => place.generate(prompt, settle(options)));
    },
    chat(messages, options = {}): Generation {
      const { templateVariables, tools } = options as ChatOptions;
      check(messages, templateVariables, tools);
      asked(messages);
      const text = () => textsIn([tools, templateVariables, messages], shapes).join("\n");
      return allowed(text, options.signal, () => place.chat(messages, settle(options)));
    },
  });
  const tokenizer: Tokenizer = Object.assign(Object.create(model.tokenizer), {
    encodeSteps(...[text, ...rest]: Parameters<Tokenizer["encode"]>) {
      check(text);
      return model.tokenizer.encodeSteps(text, ...rest);
    },
  });
  const overseenSession = (session: Session): Session => ({
    ...session,
    ...overseen(session),
    fork: () => overseenSession(session.fork()),
  });
  // Whatever else a model has is its own, what it works out when it is asked for it too.
  return Object.assign(Object.create(model) as LanguageModel, overseen(model), {
    session: () => overseenSession(model.session()),
    tokenizer,
    score: (texts: Parameters<LanguageModel["score"]>[0], options: ScoreOptions = {}) =>
      model.score(texts, inGroup(withAdapters(options))),
    embed: (texts: Parameters<LanguageModel["embed"]>[0], options: EmbedOptions = {}) =>
      model.embed(texts, withAdapters(options)),
    encodeSteps(...[text, options]: Parameters<LanguageModel["encode"]>) {
      check(text);
      return model.encodeSteps(text, options);
    },
    encodeChatSteps(...[messages, options]: Parameters<LanguageModel["encodeChat"]>) {
      check(messages, options?.templateVariables, options?.tools);
      return model.encodeChatSteps(messages, options);
    },
  } satisfies Partial<LanguageModel>);
}

/** Of all texts in a value that was JSON. */
const countCharacters = (value: unknown) => textsIn(value).reduce((sum, text) => sum + text.length, 0);

/** What a conversation's and a tool's fields are called, and what they say of their kind: words that nobody chose. */
const shapes: ReadonlySet<string> = new Set([
  ...[
    "role",
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "content",
    "reasoning_content",
    "tool_calls",
    "tool_call_id",
  ],
  ...[
    "id",
    "type",
    "text",
    "function",
    "name",
    "arguments",
    "description",
    "strict",
    "parameters",
    "properties",
    "required",
  ],
  ...["items", "enum", "additionalProperties", "object", "array", "string", "number", "integer", "boolean", "null"],
]);

/** All texts in a value that was JSON, in their order, names of fields too: all but those in `without`. */
function textsIn(value: unknown, without: ReadonlySet<string> = new Set()): string[] {
  const texts: string[] = [];
  const waiting = [value];
  while (waiting.length > 0) {
    const one = waiting.pop();
    if (typeof one === "string") {
      if (!without.has(one)) texts.push(one);
    } else if (Array.isArray(one)) for (let i = one.length - 1; i >= 0; i--) waiting.push(one[i]);
    else if (typeof one === "object" && one !== null) {
      for (const [key, inner] of Object.entries(one).reverse()) waiting.push(inner, key);
    }
  }
  return texts;
}
