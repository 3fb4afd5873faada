import { createEventParser } from "./events.ts";
import { type LiveToken, readTokens } from "./live-token.ts";

/** What can go wrong with a question, as far as the page has words for it. */
export type Trouble = "gone" | "busy" | "key" | "context" | "model" | "other";

export interface ServerError extends Error {
  readonly trouble: Trouble;
}

const failed = (trouble: Trouble, message: string): ServerError => Object.assign(new Error(message), { trouble });

export const isServerError = (error: unknown): error is ServerError => error instanceof Error && "trouble" in error;

/** `GET /grok1/status` */
export interface Status {
  readonly running: number;
  readonly waiting: number;
  readonly memory: { readonly used_bytes: number; readonly limit_bytes: number };
  readonly models: readonly { readonly name: string; readonly loaded: boolean }[];
}

/** `GET /grok1/models/:name`: what is not loaded has no context, adapters and engine. */
export interface ModelDetails {
  readonly name: string;
  /** What its file calls itself. */
  readonly title?: string;
  readonly architecture?: string;
  readonly parameters?: number;
  readonly parameters_used?: number;
  readonly bytes?: number;
  readonly types?: readonly { readonly type: string; readonly bytes?: number }[];
  readonly layers?: number;
  readonly width?: number;
  readonly heads?: number;
  readonly kv_heads?: number;
  readonly experts?: number;
  readonly experts_used?: number;
  readonly vocab?: number;
  readonly context?: number;
  readonly sampling: Sampling;
  readonly adapters?: readonly Adapter[];
  readonly engine?: {
    readonly backend: string;
    readonly isa?: string;
    readonly threads: number;
    readonly kv_type: string;
    readonly kv_bytes: number;
  };
}

export interface Adapter {
  readonly name: string;
  readonly scale: number;
}

export interface Sampling {
  readonly temperature: number;
  readonly top_p: number;
  readonly top_k: number;
  readonly min_p: number;
  readonly repetition_penalty: number;
}

export interface Question extends Partial<Sampling> {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly max_tokens?: number;
  readonly seed?: number;
  /** Whether probabilities, and of a mixture its experts, are wanted with each token. */
  readonly watched: boolean;
  readonly adapters?: readonly Adapter[];
}

/** A piece of an answer. */
export type Piece =
  | { readonly type: "tokens"; readonly text: string; readonly thought: string; readonly tokens: readonly LiveToken[] }
  | { readonly type: "left-out"; readonly messages: number }
  /** The last one. */
  | { readonly type: "end"; readonly finish: "stop" | "length"; readonly tokens: number };

/** Alternatives that are asked for with each token. */
const alternatives = 5;

/** The server that the page came from, in the name of whoever has `key`. */
export function createServer(key: () => string | undefined) {
  async function ask(path: string, init: RequestInit = {}): Promise<Response> {
    const secret = key();
    const headers = { ...(secret && { authorization: `Bearer ${secret}` }), ...(init.headers as object) };
    let response: Response;
    try {
      response = await fetch(new URL(path, document.baseURI), { ...init, headers });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw failed("gone", String(error));
    }
    if (!response.ok) throw await troubleOf(response);
    return response;
  }

  return {
    status: async (): Promise<Status> => (await ask("grok1/status")).json(),
    details: async (name: string): Promise<ModelDetails> =>
      (await ask(`grok1/models/${encodeURIComponent(name)}`)).json(),

    /** An answer as it comes. @throws ServerError; what `signal` aborts with */
    async *answer({ watched, adapters, ...question }: Question, signal: AbortSignal): AsyncGenerator<Piece, void> {
      const body = {
        ...question,
        ...{ stream: true, stream_options: { include_usage: true } },
        ...(watched && { logprobs: true, top_logprobs: alternatives }),
        grok1: { fit: true, ...(watched && { experts: true }), ...(adapters && { adapters }) },
      };
      const response = await ask("v1/chat/completions", {
        ...{ method: "POST", headers: { "content-type": "application/json" } },
        ...{ body: JSON.stringify(body), signal },
      });
      let finish: "stop" | "length" | undefined;
      let tokens = 0;
      for await (const chunk of chunksOf(response)) {
        if (chunk.error) throw failed("other", chunk.error.message);
        tokens = chunk.usage?.completion_tokens ?? tokens;
        const choice = chunk.choices?.[0];
        if (choice?.grok1?.left_out) yield { type: "left-out", messages: choice.grok1.left_out };
        finish = choice?.finish_reason ?? finish;
        const given = readTokens(choice?.logprobs?.content ?? [], choice?.grok1?.experts ?? []);
        const { content, reasoning_content: reasoning } = choice?.delta ?? {};
        if (content || reasoning || given.length > 0) {
          yield { type: "tokens", text: content ?? "", thought: reasoning ?? "", tokens: given };
        }
      }
      if (finish === undefined) throw failed("gone", "the answer broke off");
      yield { type: "end", finish, tokens };
    },
  };
}

/** What the page reads of a chunk. */
interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string; readonly reasoning_content?: string };
    readonly finish_reason?: "stop" | "length" | null;
    readonly logprobs?: { readonly content?: Parameters<typeof readTokens>[0] } | null;
    readonly grok1?: { readonly experts?: Parameters<typeof readTokens>[1]; readonly left_out?: number };
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

async function* chunksOf(response: Response): AsyncGenerator<Chunk, void> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const parse = createEventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const data of parse(value)) if (data !== "[DONE]") yield JSON.parse(data) as Chunk;
    }
  } catch (error) {
    throw error instanceof TypeError ? failed("gone", error.message) : error;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function troubleOf(response: Response): Promise<ServerError> {
  const body = (await response.json().catch(() => ({}))) as { error?: { message?: string; code?: string } };
  const { message = `${response.status} ${response.statusText}`, code } = body.error ?? {};
  if (response.status === 401) return failed("key", message);
  if (response.status === 429 || response.status === 503) return failed("busy", message);
  if (code === "context_length_exceeded") return failed("context", message);
  if (code === "model_not_found") return failed("model", message);
  // A proxy in front of a server that is gone.
  if (response.status === 502 || response.status === 504) return failed("gone", message);
  return failed("other", message);
}
