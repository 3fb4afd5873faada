import { setMaxListeners } from "node:events";
import { Hono } from "hono";
import { GrokError } from "../errors.ts";
import type { GenerateOptions } from "../generate/types.ts";
import { anthropic } from "./anthropic/dialect.ts";
import type { Asked, Dialect, Served } from "./dialect.ts";
import { isStream, streamResponse } from "./events.ts";
import { type Failure, failureOf } from "./failure.ts";
import { createGate } from "./gate.ts";
import { grok1 } from "./grok1/dialect.ts";
import { createGuard, type GuardOptions } from "./guard.ts";
import { jsonBytesInTurns } from "./json.ts";
import { llamaCpp } from "./llama-cpp/dialect.ts";
import { addResults, type Draft, draftEntry, type LogEntry } from "./log-entry.ts";
import { createMeasures } from "./measures.ts";
import type { ModelHost, ModelUse } from "./models.ts";
import { type Moderator, moderate } from "./moderation/moderator.ts";
import { ollama } from "./ollama/dialect.ts";
import { openAi } from "./openai/dialect.ts";
import { describeApi } from "./openapi.ts";
import { overseeModel } from "./overseen-model.ts";
import type { Page } from "./page.ts";
import { createQuotas, type Quota } from "./quota.ts";
import { responses } from "./responses/dialect.ts";
import { createResponseStore, type ResponseStore } from "./responses/store.ts";

export interface AppOptions extends GuardOptions {
  readonly models: ModelHost;
  /** Sampling where a request says nothing, in place of a dialect's own defaults. */
  readonly preferred: GenerateOptions;
  readonly limits: Limits;
  /** What each key may ask for. */
  readonly quota?: Quota;
  /** The same, of keys that have their own, by name. */
  readonly quotas?: Readonly<Record<string, Quota>>;
  /** Whether what is computed of a prompt is there for every key. Default: for its own alone. */
  readonly sharesPrefixes?: boolean;
  /** Whether metrics say how often each expert was chosen. */
  readonly expertMetrics?: boolean;
  /** Keeps responses that can be gone on from. Default: in memory. */
  readonly responses?: ResponseStore;
  /** What a browser is shown; absent: nothing. */
  readonly page?: Page | undefined;
  /** Whether the log has what was asked and answered. Default: false. */
  readonly logsText?: boolean;
  /** Who looks at what is asked and answered. */
  readonly moderators?: readonly Moderator[];
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
  /** Of one answer, whatever its request says; undefined: until the context is full. */
  readonly outputTokens?: number | undefined;
}

/** The server as a function from requests to responses. */
export interface App {
  /** @param address where the request comes from */
  fetch(request: Request, address?: string): Promise<Response>;
  /** From now on requests are refused; resolves when those under way have ended. */
  drain(): Promise<void>;
}

/** The last one owns what nobody else does. */
const dialects = [anthropic, ollama, llamaCpp, grok1, responses, openAi];

const dialectOf = ({ url, headers }: Request): Dialect =>
  dialects.find((dialect) => dialect.owns(new URL(url).pathname, headers))!;

/** `owner`: whose request it is among those that wait: its key's, or of the address it came from. */
type Bindings = { Bindings: { entry: Draft; owner: string } };

export function createApp(options: AppOptions): App {
  const { models, moderators = [], preferred, limits, page, log } = options;
  const guard = createGuard(options);
  const hasKeys = Object.keys(options.keys).length > 0;
  const quotas = createQuotas(options.quota ?? {}, options.quotas ?? {});
  const gate = createGate(limits);
  const measures = createMeasures(gate, models, { eachExpert: options.expertMetrics === true });
  const { responses: stored = createResponseStore() } = options;
  const { outputTokens: most = Number.POSITIVE_INFINITY } = limits;
  const oversee = ({ model, adapters }: ModelUse, entry: Draft) => {
    const prefixGroup = options.sharesPrefixes ? undefined : entry.key;
    return overseeModel(model, adapters, {
      prefixGroup,
      settle: (given) => (most < (given.maxTokens ?? Number.POSITIVE_INFINITY) ? { ...given, maxTokens: most } : given),
      asked(what) {
        if (options.logsText) entry.said = { asked: [...(entry.said?.asked ?? []), what], answered: [] };
      },
      allowed(text, signal, begin) {
        if (moderators.length === 0) return begin();
        const onRefused = (rule: string) => {
          entry.rule = rule;
        };
        return moderate(moderators, text(), { signal, prefixGroup }, onRefused, begin);
      },
    });
  };
  const app = new Hono<Bindings>();
  // Whatever goes wrong, here or on the way to here, is answered in one place.
  app.onError((error) => {
    throw error;
  });
  app.notFound(({ req }) => {
    throw new GrokError("not-found", `there is no ${req.method} ${req.path} here`);
  });

  async function answer(
    request: Request,
    { entry, owner }: Bindings["Bindings"],
    dialect: Dialect,
    asked: Asked,
  ): Promise<Response> {
    const gone = new AbortController();
    if (asked.givenBack !== undefined) {
      models.giveBack(asked.model);
      return Response.json(asked.givenBack);
    }
    const signal = AbortSignal.any([request.signal, gone.signal]);
    // As many listen as there are answers.
    setMaxListeners(0, signal);
    const came = performance.now();
    const use = await (asked.computes ? enter(asked, owner, signal) : models.use(asked.model, signal));
    entry.model = use.name;
    entry.waitSeconds = (performance.now() - came) / 1000;
    const report: Served["report"] = (results) => {
      const before = entry.promptTokens + entry.completionTokens;
      addResults(entry, results);
      const { said } = entry;
      if (said) entry.said = { ...said, answered: [...said.answered, ...results.map(({ text }) => text)] };
      quotas.spend(entry.key, entry.promptTokens + entry.completionTokens - before);
    };
    const read: Served["read"] = (tokens) => {
      entry.promptTokens += tokens;
      quotas.spend(entry.key, tokens);
    };
    let held: Disposable | undefined = use;
    try {
      const { id } = entry;
      const model = oversee(use, entry);
      const reply = asked.reply({ id, name: use.name, model, signal, preferred, responses: stored, report, read });
      const pieces = asked.stream ? reply.pieces?.() : undefined;
      if (pieces === undefined) return await jsonResponse(await reply.whole());
      held = undefined;
      return await streamResponse(holding(pieces, use, entry, dialect), dialect.stream, () => gone.abort());
    } finally {
      held?.[Symbol.dispose]();
    }
  }

  /** A place among those that are computed, and then the model. */
  async function enter({ model, keepSeconds }: Asked, owner: string, signal: AbortSignal): Promise<ModelUse> {
    const place = await gate.enter(owner, signal);
    try {
      const use = await models.use(model, signal, keepSeconds);
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
      app.post(path, async ({ req: { raw }, env }) => {
        env.entry.route = path;
        return await answer(raw, env, dialect, await read(raw, limits.bodyBytes));
      });
    }
    for (const [place, look] of Object.entries(dialect.lookups)) {
      const [method, path] = place.split(" ") as [string, string];
      app.on(method, path, async ({ req, env: { entry } }) => {
        entry.route = path;
        const param = (name: string) => req.param(name as never) ?? "";
        return await jsonResponse(
          await look({
            ...{ models, responses: stored, load: gate, preferred },
            ...{ request: req.raw, bodyBytes: limits.bodyBytes, param },
          }),
        );
      });
    }
  }
  app.get("/health", ({ json, env: { entry } }) => {
    entry.route = "/health";
    return json({
      status: "ok",
      running: gate.running,
      waiting: gate.waiting,
      loaded: models.loaded().map(({ name }) => name),
    });
  });

  app.get("/openapi.json", ({ json, env: { entry } }) => {
    entry.route = "/openapi.json";
    return json(describeApi(dialects));
  });

  app.get("/metrics", async ({ text, env: { entry } }) => {
    entry.route = "/metrics";
    return text(await measures.text(), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  });

  async function respond(request: Request, entry: Draft, address: string): Promise<Response> {
    try {
      const cors = guard.corsHeaders(request);
      if (request.method === "OPTIONS" && Object.keys(cors).length > 0) return new Response(null, { status: 204 });
      if (draining) throw new GrokError("busy", "the server is ending");
      guard.checkPlace(request);
      const shown = page?.(request);
      entry.routine = shown !== undefined || entry.path === "/grok1/status";
      if (shown !== undefined) return shown;
      entry.key = guard.keyOf(request, address);
      if (request.method === "POST") quotas.enter(entry.key);
      return await app.fetch(request, { entry, owner: entry.key ?? address });
    } catch (error) {
      const dialect = dialectOf(request);
      const failure = failureIn(entry, error, dialect);
      const { status, retryAfter } = failure;
      const response = Response.json(dialect.error(failure), { status });
      if (retryAfter !== undefined) response.headers.set("retry-after", String(retryAfter));
      return response;
    }
  }

  /** Of who was let in. */
  const shares = ({ key }: Draft, { limitHeaders }: Dialect) =>
    hasKeys && key === undefined ? {} : limitHeaders(quotas.left(key));

  /** Requests that have not ended, those with a stream until its last byte. */
  let underWay = 0;
  let draining = false;
  let drained = () => {};

  return {
    async drain() {
      draining = true;
      if (underWay > 0) await new Promise<void>((resolve) => (drained = resolve));
    },
    async fetch(request, address = "") {
      const began = performance.now();
      underWay++;
      const entry = draftEntry(request);
      const response = await respond(request, entry, address);
      const said = {
        "x-request-id": entry.requestId,
        ...guard.corsHeaders(request),
        ...shares(entry, dialectOf(request)),
      };
      for (const [name, value] of Object.entries(said)) response.headers.set(name, value);
      const end = () => {
        entry.status = response.status;
        entry.seconds = (performance.now() - began) / 1000;
        measures.count(entry);
        log(entry);
        if (--underWay === 0) drained();
      };
      // A stream has ended when its last byte has gone, or nobody wants it any more.
      if (response.body !== null && isStream(response)) return new Response(watch(response.body, end), response);
      end();
      return response;
    },
  };
}

function failureIn(entry: Draft, error: unknown, { fieldNames }: Dialect): Failure {
  const failure = failureOf(error, fieldNames, (own) => {
    if (own instanceof GrokError) entry.error = own.message;
    else entry.error = own instanceof Error ? (own.stack ?? own.message) : String(own);
  });
  entry.error ??= failure.message;
  const cause = error instanceof GrokError ? error.cause : undefined;
  if (cause instanceof GrokError && !entry.error.includes(cause.message)) entry.error += ` (${cause.message})`;
  return failure;
}

async function jsonResponse(value: object): Promise<Response> {
  return new Response(await jsonBytesInTurns(value), { headers: { "content-type": "application/json" } });
}

/** What a stream needs is held until it ends. What fails after its beginning becomes its last event. */
async function* holding(
  events: AsyncGenerator<string, void, undefined>,
  held: Disposable,
  entry: Draft,
  dialect: Dialect,
) {
  let begun = false;
  try {
    for await (const event of events) {
      yield event;
      begun = true;
    }
  } catch (error) {
    if (!begun) throw error;
    yield dialect.lateError(failureIn(entry, error, dialect));
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
