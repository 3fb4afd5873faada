import { randomBytes } from "node:crypto";
import { Hono } from "hono";
import type { z } from "zod";
import { GrokError } from "../errors.ts";
import type { GenerateOptions } from "../generate/types.ts";
import { eventOf, eventStream } from "./events.ts";
import { type Failure, failureOf } from "./failure.ts";
import { createGate } from "./gate.ts";
import { createGuard, type GuardOptions } from "./guard.ts";
import type { ModelHost, ModelUse } from "./models.ts";
import { chatRequest, replyToChat } from "./openai/chat.ts";
import { completionRequest, replyToCompletion } from "./openai/completions.ts";
import { openAiError } from "./openai/error.ts";
import { seconds } from "./openai/fields.ts";
import { readBody } from "./request.ts";
import type { Reply, Served } from "./served.ts";
import { detokenize, detokenizeRequest, tokenize, tokenizeRequest } from "./tokens.ts";

export interface AppOptions extends GuardOptions {
  readonly models: ModelHost;
  /** Sampling where a request says nothing, in place of a dialect's own defaults. */
  readonly preferred: GenerateOptions;
  readonly limits: Limits;
  /** Told of every request that ended. */
  readonly log: (entry: LogEntry) => void;
}

/** What a server takes on at most. */
export interface Limits {
  /** Requests that are computed at a time; others wait. */
  readonly atOnce: number;
  /** Requests that wait; further ones are refused. */
  readonly waiting: number;
  /** Of one request. */
  readonly bodyBytes: number;
}

/** A request as a log has it: nothing of what was said. */
export interface LogEntry {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly seconds: number;
  readonly key: string | undefined;
  readonly model: string | undefined;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** What went wrong; of a defect its stack. */
  readonly error: string | undefined;
}

/** The server as a function from requests to responses. */
export interface App {
  fetch(request: Request): Promise<Response>;
}

type Draft = { -readonly [K in keyof LogEntry]: LogEntry[K] };
type Bindings = { Bindings: { entry: Draft } };

export function createApp({ models, preferred, limits, log, ...guardOptions }: AppOptions): App {
  const guard = createGuard(guardOptions);
  const gate = createGate(limits);
  const app = new Hono<Bindings>();
  // Whatever goes wrong, here or on the way to here, is answered in one place.
  app.onError((error) => {
    throw error;
  });
  app.notFound(({ req }) => {
    throw new GrokError("not-found", `there is no ${req.method} ${req.path} here`);
  });

  /** A request that a model answers, as one JSON value or as events. */
  function answered<T extends { readonly model?: string | undefined; readonly stream?: boolean | null | undefined }>(
    schema: z.ZodType<T>,
    replyTo: (request: T, served: Served) => Reply,
  ): (request: Request, entry: Draft) => Promise<Response> {
    return async (request, entry) => {
      const body = await readBody(request, schema, limits.bodyBytes);
      const gone = new AbortController();
      const signal = AbortSignal.any([request.signal, gone.signal]);
      const use = await enter(body.model, signal);
      entry.model = use.name;
      const report: Served["report"] = (results) => {
        entry.promptTokens += results[0]?.usage.promptTokens ?? 0;
        for (const { usage } of results) entry.completionTokens += usage.completionTokens;
      };
      try {
        const reply = replyTo(body, { id: entry.id, name: use.name, model: use.model, signal, preferred, report });
        if (body.stream) return await eventStream(holding(reply.events(), use, entry), () => gone.abort());
        return Response.json(await reply.whole());
      } finally {
        if (!body.stream) use[Symbol.dispose]();
      }
    };
  }

  /** A place among those that are computed, and then the model. */
  async function enter(name: string | undefined, signal: AbortSignal): Promise<ModelUse> {
    const place = await gate.enter(signal);
    try {
      const use = await models.use(name, signal);
      const dispose = () => {
        use[Symbol.dispose]();
        place[Symbol.dispose]();
      };
      return { ...use, [Symbol.dispose]: dispose };
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  }

  const chat = answered(chatRequest, replyToChat);
  const completion = answered(completionRequest, replyToCompletion);
  app.post("/v1/chat/completions", (context) => chat(context.req.raw, context.env.entry));
  app.post("/v1/completions", (context) => completion(context.req.raw, context.env.entry));

  const began = seconds();
  const describe = (id: string) => ({ id, object: "model", created: began, owned_by: "grok1" });
  app.get("/v1/models", (context) => context.json({ object: "list", data: models.names.map(describe) }));
  app.get("/v1/models/:name{.+}", (context) => {
    const name = context.req.param("name");
    if (models.names.includes(name)) return context.json(describe(name));
    throw new GrokError("not-found", `there is no model ${JSON.stringify(name)} here`, { option: "model" });
  });

  app.post("/tokenize", async ({ req, json }) => {
    const request = await readBody(req.raw, tokenizeRequest, limits.bodyBytes);
    using use = await models.use(request.model, req.raw.signal);
    return json(tokenize(use.model, request));
  });
  app.post("/detokenize", async ({ req, json }) => {
    const request = await readBody(req.raw, detokenizeRequest, limits.bodyBytes);
    using use = await models.use(request.model, req.raw.signal);
    return json(detokenize(use.model, request));
  });
  app.get("/health", ({ json }) =>
    json({
      status: "ok",
      running: gate.running,
      waiting: gate.waiting,
      loaded: models.loaded().map(({ name }) => name),
    }),
  );

  async function respond(request: Request, entry: Draft): Promise<Response> {
    try {
      const cors = guard.corsHeaders(request);
      if (request.method === "OPTIONS" && Object.keys(cors).length > 0) return new Response(null, { status: 204 });
      entry.key = guard.admit(request);
      return await app.fetch(request, { entry });
    } catch (error) {
      const failure = failureIn(entry, error);
      return Response.json(openAiError(failure), { status: failure.status });
    }
  }

  return {
    async fetch(request) {
      const began = performance.now();
      const entry: Draft = {
        ...{ id: randomBytes(12).toString("hex"), method: request.method, path: new URL(request.url).pathname },
        ...{ status: 0, seconds: 0, key: undefined, model: undefined, promptTokens: 0, completionTokens: 0 },
        error: undefined,
      };
      const response = await respond(request, entry);
      for (const [name, value] of Object.entries(guard.corsHeaders(request))) response.headers.set(name, value);
      response.headers.set("x-request-id", entry.id);
      const end = () => {
        entry.status = response.status;
        entry.seconds = (performance.now() - began) / 1000;
        log(entry);
      };
      // A stream has ended when its last byte has gone, or nobody wants it any more.
      if (response.body !== null && isStream(response)) return new Response(watch(response.body, end), response);
      end();
      return response;
    },
  };
}

function failureIn(entry: Draft, error: unknown): Failure {
  const failure = failureOf(error, (defect) => {
    entry.error = defect instanceof Error ? (defect.stack ?? defect.message) : String(defect);
  });
  entry.error ??= failure.message;
  return failure;
}

const isStream = ({ headers }: Response) => headers.get("content-type")?.startsWith("text/event-stream") === true;

/** What a stream needs is held until it ends. What fails after its beginning becomes its last event. */
async function* holding(events: AsyncGenerator<string, void, undefined>, held: Disposable, entry: Draft) {
  let begun = false;
  try {
    for await (const event of events) {
      yield event;
      begun = true;
    }
  } catch (error) {
    if (!begun) throw error;
    yield eventOf(openAiError(failureIn(entry, error)));
  } finally {
    held[Symbol.dispose]();
  }
}

function watch(body: ReadableStream<Uint8Array>, end: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (!done) controller.enqueue(value);
      else {
        controller.close();
        end();
      }
    },
    async cancel(reason) {
      await reader.cancel(reason);
      end();
    },
  });
}
