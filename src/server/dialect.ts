import type { z } from "zod";
import type { GenerateOptions, GenerateResult, LanguageModel } from "../generate/types.ts";
import type { StreamKind } from "./events.ts";
import type { Failure } from "./failure.ts";
import type { Gate } from "./gate.ts";
import type { ModelHost } from "./models.ts";
import type { Left } from "./quota.ts";
import { readBody } from "./request.ts";
import type { ResponseStore } from "./responses/store.ts";

/** An API that clients speak. */
export interface Dialect {
  /** Whether an address is one of its own, so that what goes wrong there is said in its shape. */
  owns(path: string, headers: Headers): boolean;
  readonly stream: StreamKind;
  /** What it calls options of the library, where not the same. */
  readonly fieldNames: Readonly<Record<string, string>>;
  error(failure: Failure): object;
  /** The same as the last piece of a stream that had begun. */
  lateError(failure: Failure): string;
  /** What is left of somebody's share, as headers. */
  limitHeaders(left: readonly Left[]): Record<string, string>;
  /** By the address that is posted to. */
  readonly endpoints: Readonly<Record<string, Endpoint>>;
  /** What can be said without a model: by method and address, `GET /v1/models/:name`. */
  readonly lookups: Readonly<Record<string, Look>>;
}

export interface Look {
  (lookup: Lookup): object | Promise<object>;
  /** Of its body, where it reads one. */
  readonly schema?: z.ZodType;
}

export interface Lookup {
  readonly models: ModelHost;
  readonly responses: ResponseStore;
  /** Requests that are computed, and that wait. */
  readonly load: Pick<Gate, "running" | "waiting">;
  /** What whoever runs the server wants where a request says nothing. */
  readonly preferred: GenerateOptions;
  readonly request: Request;
  /** Most bytes of its body. */
  readonly bodyBytes: number;
  /** What the address says in a place of this name. */
  param(name: string): string;
}

/** What a model answers to. */
export interface Endpoint {
  /** Of its body. */
  readonly schema: z.ZodType;
  /** @throws GrokError as {@link readBody} */
  read(request: Request, mostBytes: number): Promise<Asked>;
}

export interface Asked {
  readonly model: string | undefined;
  readonly stream: boolean;
  /** Whether the model has to compute for it, and it may have to wait its turn. */
  readonly computes: boolean;
  /** Seconds without a request after which its model is given back from now on; below 0: never. */
  readonly keepSeconds: number | undefined;
  /** What is said where it asks for nothing but that its model is given back, for which it need not be there. */
  readonly givenBack?: object | undefined;
  reply(served: Served): Reply;
}

/** What a request is answered with. */
export interface Served {
  /** Of this request, in answers and in the log. */
  readonly id: string;
  readonly name: string;
  readonly model: LanguageModel;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** What whoever runs the server wants where a request says nothing. */
  readonly preferred: GenerateOptions;
  /** Those that can be gone on from. */
  readonly responses: ResponseStore;
  /** Told of what was generated. */
  report(results: readonly GenerateResult[]): void;
  /** Told of tokens that were read, where nothing was to be generated. */
  read(tokens: number): void;
}

/** What a dialect makes of a request: one JSON value, or the pieces of a stream. */
export interface Reply {
  whole(): Promise<object>;
  pieces?(): AsyncGenerator<string, void, undefined>;
}

interface Common {
  readonly model?: string | undefined;
  readonly stream?: boolean | null | undefined;
}

export function endpoint<T extends Common>(
  schema: z.ZodType<T>,
  replyTo: (request: T, served: Served) => Reply,
  computes = true,
  keepSecondsOf: (request: T) => number | undefined = () => undefined,
  givenBackOf: (request: T) => object | undefined = () => undefined,
): Endpoint {
  return {
    schema,
    async read(request, mostBytes) {
      const body = await readBody(request, schema, mostBytes);
      return {
        ...{ model: body.model, stream: body.stream === true, computes, keepSeconds: keepSecondsOf(body) },
        givenBack: givenBackOf(body),
        reply: (served) => replyTo(body, served),
      };
    },
  };
}

/** An endpoint that says something about a request at once. */
export function immediate<T extends Common>(
  schema: z.ZodType<T>,
  say: (request: T, model: LanguageModel) => object | Promise<object>,
): Endpoint {
  return endpoint(schema, (request, { model }) => ({ whole: async () => say(request, model) }), false);
}

/** A lookup that is asked with a body. */
export function lookWith<T>(schema: z.ZodType<T>, look: (body: T, lookup: Lookup) => object): Look {
  const read = async (lookup: Lookup) => look(await readBody(lookup.request, schema, lookup.bodyBytes), lookup);
  return Object.assign(read, { schema });
}
