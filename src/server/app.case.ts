import { loadModel } from "../generate/load.ts";
import type { LanguageModel } from "../generate/types.ts";
import { type App, type AppOptions, createApp } from "./app.ts";
import type { LogEntry } from "./log-entry.ts";
import { createModelHost, type ModelHost } from "./models.ts";

/** A server without a socket, over baby models, for tests. */
export interface TestServer extends AsyncDisposable {
  readonly app: App;
  readonly models: ModelHost;
  readonly log: LogEntry[];
  /** Of the first model. */
  model(): Promise<LanguageModel>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
}

export function startTestServer(
  files: Readonly<Record<string, string>>,
  options: Partial<AppOptions> & {
    readonly loaded?: number;
    readonly load?: (file: string) => Promise<LanguageModel>;
  } = {},
): TestServer {
  const { loaded = 1, load = (file: string) => loadModel(file, { backend: "reference" }), ...rest } = options;
  const log: LogEntry[] = [];
  const models = createModelHost({
    models: Object.entries(files).map(([name, file]) => ({
      name,
      file,
      load: () => load(file),
    })),
    atOnce: loaded,
  });
  const app = createApp({
    ...{
      models,
      preferred: {},
      keys: {},
      hosts: ["localhost"],
      origins: [],
      log: (entry: LogEntry) => log.push(entry),
    },
    limits: { atOnce: 8, waiting: 8, bodyBytes: 100_000 },
    ...rest,
  });
  const address = (path: string) => `http://localhost${path}`;
  const host = { host: "localhost" };
  return {
    ...{ app, models, log },
    async model() {
      using use = await models.use(undefined, new AbortController().signal);
      return use.model;
    },
    get: (path, headers) => app.fetch(new Request(address(path), { headers: { ...host, ...headers } })),
    post: (path, body, { headers, ...init } = {}) =>
      app.fetch(
        new Request(address(path), {
          ...{
            method: "POST",
            body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
            ...init,
          },
          headers: { ...host, "content-type": "application/json", ...(headers as Record<string, string>) },
        }),
      ),
    [Symbol.asyncDispose]: () => models.close(),
  };
}

/** The data of a response's events: JSON values, and the word that ends them. */
export async function eventsOf(response: Response): Promise<unknown[]> {
  const events = (await response.text()).split("\n\n").filter((event) => event.startsWith("data: "));
  return events.map((event) => {
    const data = event.slice("data: ".length);
    return data === "[DONE]" ? data : JSON.parse(data);
  });
}

/** What answers are drawn with: as OpenAI's clients say it, and as the library has it, whose defaults cut nothing off then. */
export const drawn = { temperature: 1, seed: 3, max_tokens: 6 };
export const libraryDrawn = { temperature: 1, topP: 1, topK: 0, minP: 0, penaltyWindow: -1, seed: 3, maxTokens: 6 };

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
export type Any = any;

export const json = async (response: Response): Promise<Any> => ({
  status: response.status,
  ...((await response.json()) as object),
});
