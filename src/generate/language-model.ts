import type { BenchOptions } from "../engine/consumers/bench.ts";
import type { EmbedOptions } from "../engine/consumers/embed.ts";
import type { LogitsOptions } from "../engine/consumers/logits.ts";
import type { LogprobsOptions, ScoreOptions } from "../engine/consumers/score.ts";
import type { Engine } from "../engine/engine.ts";
import { tokensOf } from "../engine/request.ts";
import { describeValue, GrokError } from "../errors.ts";
import { finish, type Steps } from "../tokenizer/steps.ts";
import { createAnswerReader } from "./answer/answer-reader.ts";
import { marksOf } from "./answer/syntax.ts";
import { answerGrammar, type Beginning } from "./answer-grammar.ts";
import { type OptionKinds, readOptions, readPlain, readText } from "./arguments.ts";
import { encodeChatSteps, endNames, readMessages } from "./chat-prompt.ts";
import { fitConversation } from "./fit.ts";
import { chatKinds, generateKinds, type PreparedGeneration, startGeneration } from "./generation.ts";
import { createGrammarCompiler } from "./grammars.ts";
import type { ModelParts } from "./parts.ts";
import { refusesSystem } from "./system-role.ts";
import { readTools, toolUseOf } from "./tool-use.ts";
import type {
  ChatMessage,
  ChatOptions,
  GenerateOptions,
  Generation,
  LanguageModel,
  Session,
  ToolDefinition,
} from "./types.ts";

/** What a language model is put together from. */
export interface LanguageModelParts extends ModelParts {
  readonly path: string;
  readonly engine: Engine;
  readonly loadSeconds: number;
}

export function createLanguageModel(parts: LanguageModelParts): LanguageModel {
  const { engine, tokenizer, template, loadSeconds } = parts;
  const grammars = createGrammarCompiler(tokenizer);
  const place = { engine, tokenizer, grammars, loadSeconds };

  function* encode(text: string, options: Pick<GenerateOptions, "special" | "bos">): Steps<Int32Array> {
    const { special = false, bos = tokenizer.addBos } = options;
    const ids = yield* tokenizer.encodeSteps(text, { special, bos });
    // An empty prompt still needs something to begin from.
    return ids.length === 0 && tokenizer.bos !== undefined ? Int32Array.of(tokenizer.bos) : ids;
  }

  function generate(prompt: string | ArrayLike<number>, options: GenerateOptions, session?: number): Generation {
    const continuation = prompt !== "";
    function* prepare(read: GenerateOptions): Steps<PreparedGeneration> {
      const isText = typeof prompt === "string";
      const tokens = isText ? yield* encode(readText("generate: the prompt", prompt), read) : tokensIn(prompt);
      return { tokens, options: read };
    }
    return startGeneration({ ...place, session, continuation }, () => {
      const read = readOptions("generate", options, generateKinds);
      return { signal: read.signal, steps: prepare(read) };
    });
  }

  function tokensIn(prompt: ArrayLike<number>): Int32Array {
    if (typeof prompt === "object" && prompt !== null) return tokensOf(prompt);
    const found = describeValue(prompt);
    throw new GrokError("argument", `generate: the prompt is ${found}, expected a text or a list of token ids`);
  }

  function chat(messages: readonly ChatMessage[], options: ChatOptions, session?: number): Generation {
    function* prepare(read: ChatOptions): Steps<PreparedGeneration> {
      const { templateVariables, fit, onNotice, stop = [], tools: given, parts: apart, ...others } = read;
      const { parallelToolCalls: parallel = true, toolChoice: choice = "auto", ...rest } = others;
      const said = readMessages(messages);
      const tools = readTools(given);
      const encode = (part: readonly ChatMessage[]) => encodeWithTools(part, tools, templateVariables);
      const { tokens, leftOut } = fit
        ? yield* fitConversation(said, encode, engine.info.contextLength, rest.maxTokens)
        : { tokens: yield* encode(said), leftOut: 0 };
      if (said[0]!.role === "system" && foldsSystem()) onNotice?.({ type: "system-folded" });
      if (leftOut > 0) onNotice?.({ type: "left-out", messages: leftOut });
      const { grammar: form } = rest;
      const beginning = beginningOf(tokens);
      const reads = apart ?? given !== undefined;
      const grammar = answerGrammar({
        ...{ syntax: toolUse().syntax, tools, choice, form, parallel, isControl },
        // Who does not have thoughts told apart wants none in the form.
        beginning: reads ? beginning : "in text",
      });
      const holds = { form: form !== undefined, calls: grammar !== undefined };
      const reading = reads ? readingOf(beginning, given && tools, holds) : undefined;
      return {
        tokens,
        options: {
          ...{ ...rest, stop: [typeof stop === "string" ? [stop] : stop, template.stop].flat() },
          ...(grammar && { grammar }),
        },
        ...(reading && { reading: { ...reading, mostCalls: !parallel ? 1 : holds.calls ? mostHeldCalls : Infinity } }),
      };
    }
    return startGeneration({ ...place, session, continuation: false }, () => {
      const read = readOptions("chat", options, chatKinds);
      return { signal: read.signal, steps: prepare(read) };
    });
  }

  const toolUse = () => toolUseOf(template, parts.chatTemplate, endNames(tokenizer));

  function encodeWithTools(
    said: readonly ChatMessage[],
    tools: readonly ToolDefinition[],
    templateVariables: ChatOptions["templateVariables"],
  ): Steps<Int32Array> {
    const { messages, variables } = toolUse().prepare(said, tools.map(withoutStrict));
    return encodeChatSteps(tokenizer, template, messages, templateVariables, variables);
  }

  /** A prompt may end with the mark that opens a thought, or the one that closes it. */
  function beginningOf(tokens: Int32Array): Beginning {
    const { reasoning } = toolUse().syntax;
    const end = tokenizer.decode(tokens.subarray(-8), { special: true }).trimEnd();
    if (reasoning === undefined || end.endsWith(reasoning.close)) return "in text";
    return end.endsWith(reasoning.open) ? "in a thought" : "before a thought";
  }

  /** How an answer is read. One that has a form where it calls nothing may have marks inside of that. */
  function readingOf(
    beginning: Beginning,
    tools: readonly ToolDefinition[] | undefined,
    holds: { readonly form: boolean; readonly calls: boolean },
  ) {
    const { syntax } = toolUse();
    return {
      reader: createAnswerReader({
        ...{ ...syntax, thinks: beginning === "in a thought", callsFirst: holds.form },
        tools: tools && new Map(tools.map(({ function: { name, parameters } }) => [name, parameters])),
        held: holds.calls,
      }),
      marks: new Set(marksOf(syntax).flatMap((mark) => tokenizer.idOf(mark) ?? [])),
    };
  }

  const isControl = (mark: string) => {
    const id = tokenizer.idOf(mark);
    return id !== undefined && tokenizer.bytes(id).length === 0;
  };

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

  const encodeSteps: LanguageModel["encodeSteps"] = (text, options) =>
    encode(readText("encode: the text", text), readOptions("encode", options, encodeKinds));
  const encodeChatInSteps: LanguageModel["encodeChatSteps"] = (messages, options) => {
    const read = readOptions("encodeChat", options, { templateVariables: "any", tools: "any" });
    return encodeWithTools(readMessages(messages), readTools(read.tools), read.templateVariables);
  };
  const foldsSystem = () => refusesSystem(template, endNames(tokenizer));
  const close = async () => {
    await Promise.all([engine.close(), grammars.close()]);
  };
  return {
    ...{ path: parts.path, description: parts.description, chatTemplate: parts.chatTemplate },
    ...{ tokenizer, loadSeconds, info: engine.info, close },
    encode: (...asked) => finish(encodeSteps(...asked)),
    encodeSteps,
    get foldsSystem() {
      return foldsSystem();
    },
    get marksReasoning() {
      return toolUse().syntax.reasoning !== undefined;
    },
    generate: (prompt, options = {}) => generate(prompt, options),
    chat: (messages, options = {}) => chat(messages, options),
    encodeChat: (...asked) => finish(encodeChatInSteps(...asked)),
    encodeChatSteps: encodeChatInSteps,
    session: () => createSession(engine.openSession()),
    logits: async (tokens, options) => engine.logits(tokens, readOptions("logits", options, logitsKinds)),
    score: async (texts, options) =>
      engine.score(readPlain("score: the texts", texts), readOptions("score", options, scoreKinds)),
    logprobs: async (tokens, options) => engine.logprobs(tokens, readOptions("logprobs", options, logprobsKinds)),
    embed: async (texts, options) =>
      engine.embed(readPlain("embed: the texts", texts), readOptions("embed", options, embedKinds)),
    bench: async (options) => engine.bench(readOptions("bench", options, benchKinds)),
    status: () => engine.status(),
    [Symbol.asyncDispose]: close,
  };
}

/** Calls of an answer that is held to them: a small model that may end, or call once more, goes on for ever. */
const mostHeldCalls = 16;

/** As templates are told of a tool: how its calls are held is not the model's affair. */
function withoutStrict({ type, function: { strict: _, ...described } }: ToolDefinition): ToolDefinition {
  return { type, function: described as ToolDefinition["function"] };
}

const encodeKinds = { special: "flag", bos: "flag" } as const;
const logitsKinds: OptionKinds<LogitsOptions> = { layers: "flag", signal: "signal" };
const embedKinds: OptionKinds<EmbedOptions> = { adapters: "any", signal: "signal" };
const scoreKinds: OptionKinds<ScoreOptions> = {
  passTokens: "any",
  top: "any",
  adapters: "any",
  prefixGroup: "any",
  onScored: "function",
  signal: "signal",
};
const logprobsKinds: OptionKinds<LogprobsOptions> = { from: "any", signal: "signal" };
const benchKinds: OptionKinds<BenchOptions> = {
  ...{ prefill: "any", decode: "any", repeats: "any", warmup: "any", tokens: "any" },
  ...{ cold: "flag", logits: "flag" },
  signal: "signal",
};
