import { randomBytes } from "node:crypto";
import { Hono } from "hono";
import { GrokError } from "../errors.ts";
import type { GenerateOptions } from "../generate/types.ts";
import { anthropic } from "./anthropic/dialect.ts";
import type { Asked, Dialect, Served } from "./dialect.ts";
import { isStream, streamResponse } from "./events.ts";
import { type Failure, failureOf } from "./failure.ts";
import { createGate } from "./gate.ts";
import { createGuard, type GuardOptions } from "./guard.ts";
import { llamaCpp } from "./llama-cpp/dialect.ts";
import type { ModelHost, ModelUse } from "./models.ts";
import { ollama } from "./ollama/dialect.ts";
import { openAi } from "./openai/dialect.ts";

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

/** The last one owns what nobody else does. */
const dialects = [anthropic, ollama, llamaCpp, openAi];

const dialectOf = (path: string): Dialect => dialects.find((dialect) => dialect.owns(path))!;

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

  async function answer(request: Request, entry: Draft, { stream }: Dialect, asked: Asked): Promise<Response> {
    const gone = new AbortController();
    const signal = AbortSignal.any([request.signal, gone.signal]);
    const use = await (asked.computes ? enter(asked.model, signal) : models.use(asked.model, signal));
    entry.model = use.name;
    const report: Served["report"] = (results) => {
      entry.promptTokens += results[0]?.usage.promptTokens ?? 0;
      for (const { usage } of results) entry.completionTokens += usage.completionTokens;
    };
    let held: Disposable | undefined = use;
    try {
      const reply = asked.reply({ id: entry.id, name: use.name, model: use.model, signal, preferred, report });
      const pieces = asked.stream ? reply.pieces?.() : undefined;
      if (pieces === undefined) return Response.json(await reply.whole());
      held = undefined;
      return await streamResponse(holding(pieces, use, entry), stream, () => gone.abort());
    } finally {
      held?.[Symbol.dispose]();
    }
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

  for (const dialect of dialects) {
    for (const [path, { read }] of Object.entries(dialect.endpoints)) {
      app.post(path, async ({ req: { raw }, env: { entry } }) =>
        answer(raw, entry, dialect, await read(raw, limits.bodyBytes)),
      );
    }
    for (const [place, look] of Object.entries(dialect.lookups)) {
      const [method, path] = place.split(" ") as [string, string];
      app.on(method, path, async ({ req }) => {
        const param = (name: string) => req.param(name as never) ?? "";
        return Response.json(await look({ models, request: req.raw, bodyBytes: limits.bodyBytes, param }));
      });
    }
  }
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
      return Response.json(dialectOf(entry.path).error(failure), { status: failure.status });
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
    yield dialectOf(entry.path).lateError(failureIn(entry, error));
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
