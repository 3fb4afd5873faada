import { describeValue, GrokError } from "../../errors.ts";
import type { BenchResult } from "../consumers/bench.ts";
import type { LogitsResult } from "../consumers/logits.ts";
import type { ScoreOptions, ScoreText } from "../consumers/score.ts";
import type { Engine, EngineInfo, EngineStatus } from "../engine.ts";
import { type EngineRequest, type EngineResult, tokensOf } from "../request.ts";
import { cancelRun } from "./interrupt.ts";
import { type EngineValue, errorFromData, type FromEngine, type Port, type ToEngine, unpackTop } from "./protocol.ts";

export interface ClientOptions {
  /** Memory for {@link cancelRun}, which the computing thread sees. */
  readonly cancellations?: Int32Array;
  /** Told when the first request begins and when the last one ends. */
  readonly onBusy?: (busy: boolean) => void;
  /** Awaited after the engine has closed. */
  readonly onClosed?: () => Promise<unknown>;
}

export interface Client extends Engine {
  /** Rejects all that is and will be asked: the other side is gone. */
  fail(error: GrokError): void;
}

interface Pending {
  readonly resolve: (value: EngineValue) => void;
  readonly reject: (error: unknown) => void;
  /** Told of what comes before the answer is whole. */
  readonly onPart: ((message: FromEngine) => void) | undefined;
}

type Unnumbered<T> = T extends { readonly id: number } ? Omit<T, "id"> : never;

/** Speaks to an engine behind a port. */
export function connect(port: Port, info: EngineInfo, options: ClientOptions = {}): Client {
  const pending = new Map<number, Pending>();
  let lastId = 0;
  let lastSession = 0;
  let dead: GrokError | undefined;
  let closing: Promise<void> | undefined;

  port.on("message", (received) => {
    // What comes alone is of the beginning.
    if (Array.isArray(received)) for (const message of received as readonly FromEngine[]) hear(message);
  });

  function hear(message: FromEngine): void {
    if (message.type === "ready" || message.type === "failed") return;
    const request = pending.get(message.id);
    if (request === undefined) return;
    if (message.type === "tokens" || message.type === "prompt" || message.type === "scored") {
      request.onPart?.(message);
      return;
    }
    forget(message.id);
    if (message.type === "done") request.resolve(message.value);
    else request.reject(errorFromData(message.error));
  }

  function forget(id: number): void {
    pending.delete(id);
    if (pending.size === 0) options.onBusy?.(false);
  }

  function ask(message: Unnumbered<ToEngine>, onPart?: Pending["onPart"]) {
    const id = ++lastId;
    const value = new Promise<EngineValue>((resolve, reject) => {
      if (dead !== undefined) return reject(dead);
      if (pending.size === 0) options.onBusy?.(true);
      pending.set(id, { resolve, reject, onPart });
      try {
        port.postMessage({ ...message, id });
      } catch (error) {
        forget(id);
        reject(new GrokError("argument", `an option cannot be sent to the engine: ${(error as Error).message}`));
      }
    });
    return { id, value };
  }

  function cancel(id: number): void {
    if (!pending.has(id)) return;
    // The mark first: the message takes it back.
    if (options.cancellations) cancelRun(options.cancellations, id);
    port.postMessage({ type: "cancel", id } satisfies ToEngine);
  }

  /** A request that an AbortSignal cancels. */
  async function askFor<T>(
    message: Unnumbered<ToEngine>,
    signal: AbortSignal | undefined,
    onPart?: Pending["onPart"],
  ): Promise<T> {
    if (signal?.aborted) throw new GrokError("cancelled", "cancelled by the caller");
    let failure: { readonly error: unknown } | undefined;
    const { id, value } = ask(message, (part) => {
      if (failure !== undefined || signal?.aborted) return;
      try {
        onPart?.(part);
      } catch (error) {
        // What throws in a listener would reach nobody, and end the process.
        failure = { error };
        cancel(id);
      }
    });
    const abort = () => cancel(id);
    signal?.addEventListener("abort", abort);
    try {
      const result = (await value) as T;
      // It may have been on its way when what was told of a part of it failed.
      if (failure !== undefined) throw failure.error;
      return result;
    } catch (error) {
      throw failure === undefined ? error : failure.error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async function score(texts: readonly ScoreText[], options: ScoreOptions = {}): Promise<Float64Array[]> {
    const { passTokens, top, adapters, prefixGroup, onScored, signal } = options;
    if (!Array.isArray(texts)) {
      throw new GrokError("argument", `score: the texts are ${describeValue(texts)}, expected a list of them`);
    }
    const sent = (texts as readonly ScoreText[]).map((text, index) => {
      if (typeof text === "object" && text !== null) return { tokens: tokensOf(text.tokens), from: text.from ?? 1 };
      const message = `score: text ${index} is ${describeValue(text)}, expected an object with "tokens"`;
      throw new GrokError("argument", message, { index });
    });
    return await askFor<Float64Array[]>(
      { type: "score", texts: sent, options: { passTokens, top, adapters, prefixGroup } },
      signal,
      (part) => {
        if (part.type === "scored") onScored?.(part.index, part.logprobs, unpackTop(part.top));
      },
    );
  }

  return {
    info,
    openSession() {
      if (dead !== undefined) throw dead;
      const session = ++lastSession;
      port.postMessage({ type: "open", session } satisfies ToEngine);
      return session;
    },
    forkSession(from) {
      if (dead !== undefined) throw dead;
      const session = ++lastSession;
      // What goes wrong here shows in the next request to that session.
      ask({ type: "fork", from, session }).value.catch(() => undefined);
      return session;
    },
    async closeSession(session) {
      if (dead === undefined) await ask({ type: "release", session }).value;
    },
    generate(request, { session, onTokens, onPrompt } = {}) {
      let sent: EngineRequest;
      try {
        sent = { ...request, tokens: tokensOf(request.tokens) };
      } catch (error) {
        return { result: Promise.reject(error), cancel: () => undefined };
      }
      const { id, value } = ask({ type: "generate", session, request: sent }, (part) => {
        if (part.type === "tokens") onTokens?.(part.tokens, part.logprobs, part.experts);
        if (part.type === "prompt") onPrompt?.(part.computed);
      });
      return { result: value as Promise<EngineResult>, cancel: () => cancel(id) };
    },
    logits: async (tokens, { layers = false, signal } = {}) =>
      await askFor<LogitsResult>({ type: "logits", tokens: tokensOf(tokens), layers }, signal),
    score,
    logprobs: async (tokens, { from = 1, signal } = {}) =>
      (await score([{ tokens, from }], { ...(signal && { signal }) }))[0]!,
    async embed(texts, { adapters, signal } = {}) {
      if (!Array.isArray(texts)) {
        throw new GrokError("argument", `embed: the texts are ${describeValue(texts)}, expected a list of token lists`);
      }
      return await askFor<Float32Array[]>({ type: "embed", texts: texts.map(tokensOf), options: { adapters } }, signal);
    },
    bench: async ({ signal, tokens, ...rest } = {}) => {
      const options = { ...rest, ...(tokens !== undefined && { tokens: tokensOf(tokens) }) };
      return askFor<BenchResult>({ type: "bench", options }, signal);
    },
    status: () => askFor<EngineStatus>({ type: "status" }, undefined),
    close() {
      closing ??= (async () => {
        const asked = ask({ type: "close" });
        dead ??= new GrokError("argument", "the model is closed");
        await asked.value.catch(() => undefined);
        await options.onClosed?.();
      })();
      return closing;
    },
    fail(error) {
      dead ??= error;
      for (const [id, request] of [...pending]) {
        forget(id);
        request.reject(error);
      }
    },
  };
}
