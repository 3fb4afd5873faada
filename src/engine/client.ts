import { GrokError } from "../errors.ts";
import { type EngineValue, errorFromData, type FromEngine, type Port, type ToEngine } from "./protocol.ts";
import { tokensOf } from "./request.ts";
import type {
  BenchOptions,
  BenchResult,
  EngineInfo,
  EngineRequest,
  EngineResult,
  EngineStatus,
  LogitsOptions,
  LogitsResult,
  LogprobsOptions,
  TokenLogprob,
} from "./types.ts";

/** An engine as its callers see it, wherever it runs. Sessions and requests are numbers. */
export interface Engine {
  readonly info: EngineInfo;
  /** @throws GrokError once the engine is closed, or its thread has ended */
  openSession(): number;
  /** A session that begins with what another holds; nothing is copied until one of them goes on. @throws as `openSession` */
  forkSession(session: number): number;
  closeSession(session: number): Promise<void>;
  /** @throws (in `result`) GrokError `argument`, `capacity` (the prompt does not fit), `internal` */
  generate(request: EngineRequest, options?: EngineGenerateOptions): EngineGeneration;
  logits(tokens: ArrayLike<number>, options?: LogitsOptions): Promise<LogitsResult>;
  logprobs(tokens: ArrayLike<number>, options?: LogprobsOptions): Promise<Float64Array>;
  bench(options?: BenchOptions): Promise<BenchResult>;
  status(): Promise<EngineStatus>;
  /** Ends everything under way with `cancelled`, frees all memory, stops the thread. */
  close(): Promise<void>;
}

export interface EngineGenerateOptions {
  /** Absent: a session of its own that ends with the request. */
  readonly session?: number | undefined;
  readonly onTokens?: (tokens: readonly number[], logprobs: readonly TokenLogprob[] | undefined) => void;
}

export interface EngineGeneration {
  readonly result: Promise<EngineResult>;
  /** Ends it within one token: the result then has the finish reason "cancelled". */
  cancel(): void;
}

export interface ClientOptions {
  /** Counts cancellations where the computing thread can see it. */
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
  readonly onTokens: EngineGenerateOptions["onTokens"];
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
    const message = received as FromEngine;
    if (message.type === "ready" || message.type === "failed") return;
    const request = pending.get(message.id);
    if (request === undefined) return;
    if (message.type === "tokens") return request.onTokens?.(message.tokens, message.logprobs);
    forget(message.id);
    if (message.type === "done") request.resolve(message.value);
    else request.reject(errorFromData(message.error));
  });

  function forget(id: number): void {
    pending.delete(id);
    if (pending.size === 0) options.onBusy?.(false);
  }

  function ask(message: Unnumbered<ToEngine>, onTokens?: Pending["onTokens"]) {
    const id = ++lastId;
    const value = new Promise<EngineValue>((resolve, reject) => {
      if (dead !== undefined) return reject(dead);
      if (pending.size === 0) options.onBusy?.(true);
      pending.set(id, { resolve, reject, onTokens });
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
    // The message first: who sees the count waits for as many messages.
    port.postMessage({ type: "cancel", id } satisfies ToEngine);
    if (options.cancellations) Atomics.add(options.cancellations, 0, 1);
  }

  /** A request that an AbortSignal cancels. */
  async function askFor<T>(message: Unnumbered<ToEngine>, signal: AbortSignal | undefined): Promise<T> {
    if (signal?.aborted) throw new GrokError("cancelled", "cancelled by the caller");
    const { id, value } = ask(message);
    const abort = () => cancel(id);
    signal?.addEventListener("abort", abort);
    try {
      return (await value) as T;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
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
    generate(request, { session, onTokens } = {}) {
      let sent: EngineRequest;
      try {
        sent = { ...request, tokens: tokensOf(request.tokens) };
      } catch (error) {
        return { result: Promise.reject(error), cancel: () => undefined };
      }
      const { id, value } = ask({ type: "generate", session, request: sent }, onTokens);
      return { result: value as Promise<EngineResult>, cancel: () => cancel(id) };
    },
    logits: async (tokens, { layers = false, signal } = {}) =>
      await askFor<LogitsResult>({ type: "logits", tokens: tokensOf(tokens), layers }, signal),
    logprobs: async (tokens, { from = 1, signal } = {}) =>
      await askFor<Float64Array>({ type: "logprobs", tokens: tokensOf(tokens), from }, signal),
    bench: ({ signal, ...rest } = {}) => askFor<BenchResult>({ type: "bench", options: rest }, signal),
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
