import type { Engine, EngineGeneration } from "../engine/engine.ts";
import {
  type EngineResult,
  type ExpertChoice,
  type FinishReason,
  generationOptionNames,
  type TokenLogprob,
} from "../engine/request.ts";
import type { Steps } from "../tokenizer/steps.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { AnswerReader } from "./answer/answer-reader.ts";
import { type AnswerPart, joinParts } from "./answer/parts.ts";
import { anyKinds, type OptionKinds } from "./arguments.ts";
import type { GrammarCompiler } from "./grammars.ts";
import { createStopMatcher } from "./stop-strings.ts";
import { inTurns } from "./turns.ts";
import type { ChatOptions, GenerateChunk, GenerateOptions, GenerateResult, Generation } from "./types.ts";

/** Where a generation happens, and what of it is known before. */
export interface GenerationPlace {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly grammars: GrammarCompiler;
  readonly session: number | undefined;
  readonly loadSeconds: number;
  /** Whether the answer goes on in the middle of a text, so that its leading space counts. */
  readonly continuation: boolean;
}

/** A request, read and checked as far as the engine does not. */
export interface PreparedGeneration {
  readonly tokens: Int32Array;
  readonly options: GenerateOptions;
  /** What tells the parts of the answer apart, with the control tokens that are its marks. */
  readonly reading?: {
    readonly reader: AnswerReader;
    readonly marks: ReadonlySet<number>;
    /** The answer ends with so many calls. */
    readonly mostCalls: number;
  };
}

/** A request that is read and checked in steps, until its signal says that nobody waits for it. */
export interface Preparation {
  readonly signal: AbortSignal | undefined;
  readonly steps: Steps<PreparedGeneration>;
}

/**
 * Starts a generation and turns its tokens into text. `prepare` is called at once, and of its steps as many are taken as there is time for;
 * what throws there becomes the result's.
 */
export function startGeneration(place: GenerationPlace, prepare: () => Preparation): Generation {
  const chunks: GenerateChunk[] = [];
  let running: EngineGeneration | undefined;
  let cancelled = false;
  let settled = false;
  let wake = () => {};
  let changed = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const notify = () => {
    wake();
    changed = new Promise<void>((resolve) => {
      wake = resolve;
    });
  };
  const cancel = () => {
    cancelled = true;
    running?.cancel();
  };

  async function run(): Promise<GenerateResult> {
    const { signal, steps } = prepare();
    const preparing = inTurns(until(() => cancelled || signal?.aborted === true, steps));
    // Short requests, without a grammar, reach the engine in the order in which they were made: nothing is waited for.
    const prepared = preparing instanceof Promise ? await preparing : preparing;
    if (prepared === undefined)
      return resultOf(
        createWriter(place, [], undefined, () => {}),
        "cancelled",
        nothing,
      );
    const { tokens, options: all, reading } = prepared;
    // What is text, and what cannot cross to the engine; the rest goes to it as it is.
    const { stop = [], ignoreEnd, special: _, bos: __, signal: ___, onProgress, grammar: given, ...options } = all;
    const asked = { logprobs: options.logprobs !== undefined, experts: options.experts === true };
    const emit = (chunk: GenerateChunk) => {
      chunks.push(chunk);
      notify();
    };
    const writer = createWriter(place, typeof stop === "string" ? [stop] : stop, reading, emit);
    const grammar = given && { ...(await place.grammars.prepare(given)), afterText: place.continuation };
    if (signal?.aborted || cancelled) {
      const none = { ...nothing, promptTokens: tokens.length };
      return resultOf(writer, "cancelled", none, asked);
    }
    // Tokens arrive in an event's listener: what throws there would reach nobody, and end the process.
    let failure: { readonly error: unknown } | undefined;
    const guarded = (listen: () => void) => {
      try {
        listen();
      } catch (error) {
        failure ??= { error };
        running?.cancel();
      }
    };
    // Before anything runs: what is no signal must not leave a generation behind that nobody waits for.
    signal?.addEventListener("abort", cancel);
    const endTokens = ignoreEnd ? [] : [...place.tokenizer.endOfGeneration];
    running = place.engine.generate(
      { tokens, endTokens, grammar, options },
      {
        session: place.session,
        onTokens(given, logprobs, experts) {
          // What the engine had under way when a stop string ended the text is not part of it.
          if (writer.stopped || cancelled || failure) return;
          guarded(() => {
            for (const [i, token] of given.entries()) {
              if (!writer.stopped) writer.push(token, logprobs?.[i], experts?.[i]);
            }
          });
          if (writer.stopped) running?.cancel();
        },
        ...(onProgress && {
          onPrompt: (done: number) => guarded(() => onProgress({ done, total: tokens.length })),
        }),
      },
    );
    try {
      const outcome = await running.result;
      if (failure) throw failure.error;
      writer.end();
      const own = cancelled ? "cancelled" : outcome.finishReason;
      const finishReason: FinishReason =
        writer.stopString !== undefined ? "stop-string" : writer.stopped ? "stop" : own;
      return resultOf(writer, finishReason, outcome, asked);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  function resultOf(
    writer: Writer,
    finishReason: FinishReason,
    outcome: EngineOutcome,
    asked: Asked = { logprobs: false, experts: false },
  ): GenerateResult {
    const { prefillSeconds, decodeSeconds, prefilledTokens } = outcome.timings;
    return {
      ...writer.result(asked, finishReason === "stop" ? outcome.end : undefined),
      finishReason,
      usage: {
        promptTokens: outcome.promptTokens,
        cachedTokens: outcome.cachedTokens,
        completionTokens: writer.received,
        draftedTokens: outcome.draftedTokens,
        acceptedTokens: outcome.acceptedTokens,
      },
      timings: {
        loadSeconds: place.loadSeconds,
        prefillSeconds,
        decodeSeconds,
        prefillTokensPerSecond: rate(prefilledTokens, prefillSeconds),
        decodeTokensPerSecond: rate(outcome.generatedTokens - 1, decodeSeconds),
      },
    };
  }

  const result = run().finally(() => {
    settled = true;
    notify();
  });
  // Who only iterates meets the error there; it is not an unhandled rejection for that.
  result.catch(() => undefined);

  async function* iterate(): AsyncGenerator<GenerateChunk, void, undefined> {
    let next = 0;
    try {
      for (;;) {
        while (next < chunks.length) yield chunks[next++]!;
        if (settled) break;
        await changed;
      }
      await result;
    } finally {
      if (!settled) cancel();
    }
  }
  return { result, cancel, [Symbol.asyncIterator]: iterate };
}

/** The steps, unless it is over before the last: undefined. */
function* until<T>(isOver: () => boolean, steps: Steps<T>): Steps<T | undefined> {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (isOver()) return undefined;
    yield;
  }
}

/** A generation that begins when `before` has ended. Cancelled earlier, it begins and ends at once. */
export function startAfter(before: Promise<void>, begin: () => Generation): Generation {
  let running: Generation | undefined;
  let cancelled = false;
  const started = before.then(() => {
    running = begin();
    if (cancelled) running.cancel();
    return running;
  });
  const result = started.then((generation) => generation.result);
  result.catch(() => undefined);
  return {
    result,
    cancel() {
      cancelled = true;
      running?.cancel();
    },
    async *[Symbol.asyncIterator]() {
      yield* await started;
    },
  };
}

/** A generation that failed before it began. */
export function failedGeneration(error: unknown): Generation {
  return startAfter(Promise.resolve(), () => {
    throw error;
  });
}

type EngineOutcome = Omit<EngineResult, "finishReason">;

/** What the engine says of a request that never reached it. */
const nothing: EngineOutcome = {
  ...{ promptTokens: 0, cachedTokens: 0, generatedTokens: 0, draftedTokens: 0, acceptedTokens: 0 },
  timings: { prefillSeconds: 0, decodeSeconds: 0, prefilledTokens: 0 },
};

function rate(tokens: number, seconds: number): number {
  return tokens > 0 && seconds > 0 ? tokens / seconds : 0;
}

/** The options of a generation. What is "any" here, the engine or the stop strings check. */
export const generateKinds: OptionKinds<GenerateOptions> = {
  ...anyKinds([...generationOptionNames, "stop", "grammar"]),
  ...{ ignoreEnd: "flag", special: "flag", bos: "flag", signal: "signal", onProgress: "function" },
};

export const chatKinds: OptionKinds<ChatOptions> = {
  ...generateKinds,
  ...{ templateVariables: "any", fit: "flag", onNotice: "function", tools: "any" },
  ...{ parts: "flag", parallelToolCalls: "flag", toolChoice: "any" },
};

type Writer = ReturnType<typeof createWriter>;

/** What is wanted with each token. */
interface Asked {
  readonly logprobs: boolean;
  readonly experts: boolean;
}

/**
 * From tokens to text: whole characters only, nothing that could begin a stop string. A token is given with the chunk
 * in which its first character is, so that what was given is at any time a text and its tokens; tokens that lie wholly
 * in a stop string are never given.
 */
function createWriter(
  { tokenizer, continuation }: GenerationPlace,
  stops: readonly string[],
  reading: PreparedGeneration["reading"],
  emit: (chunk: GenerateChunk) => void,
) {
  const decoder = tokenizer.decoder({ continuation, special: reading !== undefined });
  const parts: AnswerPart[] = [];
  const matcher = createStopMatcher(stops);
  const tokens: number[] = [];
  const logprobs: TokenLogprob[] = [];
  const experts: (readonly ExpertChoice[])[] = [];
  /** Where each token's text begins. */
  const starts: number[] = [];
  let decoded = 0;
  let text = "";
  let given = 0;
  let stopString: string | undefined;
  let calls = 0;
  let called = false;

  /** A model's table can have more rows than the tokenizer has pieces: padding, which says nothing. Nor do control tokens. */
  function textOf(token: number): string {
    if (token >= tokenizer.vocabSize) return "";
    const hides = reading && !reading.marks.has(token) && tokenizer.bytes(token).length === 0;
    return hides ? "" : decoder.push(token);
  }

  /** Tokens before this one stand with a part, or with none. */
  let placed = 0;

  /** The tokens that a text came in: those that begin in it, and one that began before. */
  function withLogprobs(part: AnswerPart): AnswerPart {
    if (logprobs.length === 0 || (part.type !== "text" && part.type !== "failed")) return part;
    const end = (token: number) => starts[token + 1] ?? decoded;
    while (placed < starts.length && starts[placed]! < part.at && end(placed) <= part.at) placed++;
    const from = placed;
    while (placed < starts.length && starts[placed]! < part.at + part.text.length) placed++;
    return { ...part, logprobs: logprobs.slice(from, placed) };
  }

  /** What is behind a call that ends the answer is no part of it. */
  function partsOf({ reader, mostCalls }: NonNullable<typeof reading>, piece: string, ended: boolean): AnswerPart[] {
    const read = [...reader.push(piece), ...(ended ? reader.end() : [])];
    const end = read.findIndex(({ type }) => type === "called" && ++calls >= mostCalls) + 1;
    called ||= end > 0;
    return end > 0 ? read.slice(0, end) : read;
  }

  function release(piece: string, all: boolean, ended = all): void {
    text += piece;
    const from = given;
    while (given < tokens.length && (all || starts[given]! < text.length)) given++;
    const read = reading && !called ? partsOf(reading, piece, ended).map(withLogprobs) : [];
    parts.push(...read);
    if (piece === "" && from === given && read.length === 0) return;
    emit({
      text: piece,
      tokens: tokens.slice(from, given),
      ...(logprobs.length > 0 && { logprobs: logprobs.slice(from, given) }),
      ...(experts.length > 0 && { experts: experts.slice(from, given) }),
      ...(reading && { parts: read }),
    });
  }

  return {
    get stopped() {
      return stopString !== undefined || called;
    },
    get stopString() {
      return stopString;
    },
    get received() {
      return tokens.length;
    },
    push(token: number, logprob: TokenLogprob | undefined, choices: readonly ExpertChoice[] | undefined) {
      tokens.push(token);
      starts.push(decoded);
      if (logprob !== undefined) logprobs.push(logprob);
      if (choices !== undefined) experts.push(choices);
      const piece = textOf(token);
      decoded += piece.length;
      const certain = matcher.push(piece);
      stopString = certain.stop;
      release(certain.text, false, certain.stop !== undefined);
    },
    end() {
      if (stopString !== undefined || called) return;
      // The bytes of a character that never became whole are left out, as other engines do.
      release(matcher.end(), true);
    },
    result: (asked: Asked, end: TokenLogprob | undefined) => ({
      text,
      tokens: tokens.slice(0, given),
      ...(asked.logprobs && {
        logprobs: logprobs.slice(0, given),
        endLogprobs: [...logprobs.slice(given), ...(end && !called ? [end] : [])],
      }),
      ...(asked.experts && { experts: experts.slice(0, given) }),
      ...(stopString !== undefined && { stopString }),
      ...(reading && { message: joinParts(parts), parts }),
    }),
  };
}
