import { hostname } from "node:os";
import { basename } from "node:path";
import { removeLeftovers } from "../bytes/atomic-write.ts";
import type { AdapterSource } from "../engine/adapters.ts";
import { describeValue, GrokError } from "../errors.ts";
import { loadModel } from "../generate/load.ts";
import type { GenerateOptions, LanguageModel } from "../generate/types.ts";
import { checkList, checkNames, checkText, checkTexts, checkWhole, withDefaults } from "../options.ts";
import { defaultServerOptions } from "./defaults.ts";
import type { Listening } from "./listen.ts";
import type { LogEntry } from "./log-entry.ts";
import type { Moderator } from "./moderation/moderator.ts";
import { type Quota, quotaNames } from "./quota.ts";
import { createTracer, type TraceOptions } from "./spans.ts";

export interface ServerOptions {
  /** The first answers whoever names none. */
  readonly models: readonly ModelToServe[];
  /** Address to listen at; "0.0.0.0" for all of this computer's. Default: "127.0.0.1". */
  readonly host?: string | undefined;
  /** 0: a free one. Default: 8080, or where that is taken the next that is free of the ten from there on. */
  readonly port?: number | undefined;
  /** Names that the server is called by besides addresses and the computer's own names; "*": any, as it is with keys at another address. */
  readonly hosts?: readonly string[] | undefined;
  /** Origins of pages, other than the server's own, that may ask; "*": any. */
  readonly origins?: readonly string[] | undefined;
  /** Keys that open the API, by name: SHA-256 of each, in hexadecimal. None: everybody may ask. */
  readonly keys?: Readonly<Record<string, string>> | undefined;
  /** What each key may ask for, or all who ask together where there are no keys. Default: as much as there is. */
  readonly quota?: Quota | undefined;
  /** The same, of keys that have their own, by name. */
  readonly quotas?: Readonly<Record<string, Quota>> | undefined;
  /** Whether what is computed of a prompt is there for every key; else for its own alone. Default: false. */
  readonly sharePrefixes?: boolean | undefined;
  /** Whether metrics say how often each layer chose each expert, with a series for each. Default: false. */
  readonly expertMetrics?: boolean | undefined;
  /** Requests that are computed at a time. Default: 16. */
  readonly atOnce?: number | undefined;
  /** Requests that wait; further ones are refused. Default: 256. */
  readonly waiting?: number | undefined;
  /** Most bytes of a request. Default: 4 MiB. */
  readonly bodyBytes?: number | undefined;
  /** Most tokens of an answer, whatever a request says. Default: until the context is full. */
  readonly outputTokens?: number | undefined;
  /** Connections at a time; further ones are closed. Default: 1024. */
  readonly connections?: number | undefined;
  /** Seconds after which a client is dropped that has taken nothing of its answer. Default: 60. */
  readonly stalledSeconds?: number | undefined;
  /** Whether a proxy stands before the server, whose last word in X-Forwarded-For is where a request comes from. Default: false. */
  readonly behindProxy?: boolean | undefined;
  /** Models in memory at a time. Default: 1. */
  readonly loaded?: number | undefined;
  /** Seconds without a request after which a model's memory is given back. Default: never. */
  readonly idleSeconds?: number | undefined;
  /** Sampling where a request says nothing, in place of a dialect's own defaults. */
  readonly preferred?: GenerateOptions | undefined;
  /** Folder that keeps responses which can be gone on from. Default: they are kept in memory. */
  readonly responses?: string | undefined;
  /** Folder of a page that browsers are shown. Default: none. */
  readonly page?: string | undefined;
  /** Where requests are sent to as spans of OpenTelemetry's. Default: nowhere. */
  readonly traces?: TraceOptions | undefined;
  /** Whether `onRequest` is told what was asked and answered. Default: false. */
  readonly logsText?: boolean | undefined;
  /** Who looks at what is asked and answered, one after the other. Default: nobody. */
  readonly moderators?: readonly Moderator[] | undefined;
  /** Told of every request that ended. */
  readonly onRequest?: ((entry: LogEntry) => void) | undefined;
}

export interface ModelToServe {
  readonly file: string;
  /** What requests call it. Default: the file's name without `.gguf`. */
  readonly name?: string | undefined;
  /** Adapters that are loaded with it: requests call it with one by the adapter's name (default: its path), or as MODEL:ADAPTER. */
  readonly adapters?: readonly AdapterSource[] | undefined;
  /** Default: `loadModel(file, { adapters })`. */
  readonly load?: (() => Promise<LanguageModel>) | undefined;
}

/** Models behind HTTP, for the clients of OpenAI's, Anthropic's and Ollama's APIs. */
export interface ModelServer extends AsyncDisposable {
  /** Answers a request, whatever it came by: a socket of one's own, or none. Never rejects. */
  fetch(request: Request): Promise<Response>;
  /**
   * Loads the first model, since what cannot be loaded is better told now than to the first who asks, and listens.
   * @throws GrokError what loading throws, `io` when the address cannot be had, `cancelled`.
   */
  listen(signal?: AbortSignal): Promise<Listening>;
  /** Gives back all models. */
  close(): Promise<void>;
}

const optionNames = Object.keys({
  ...{ models: true, host: true, port: true, hosts: true, origins: true, keys: true, atOnce: true, waiting: true },
  ...{ bodyBytes: true, loaded: true, idleSeconds: true, preferred: true, onRequest: true, quota: true, quotas: true },
  ...{
    outputTokens: true,
    connections: true,
    stalledSeconds: true,
    behindProxy: true,
    traces: true,
    logsText: true,
    sharePrefixes: true,
    expertMetrics: true,
    moderators: true,
  },
  ...{ page: true, responses: true },
} satisfies Record<keyof ServerOptions, true>);

/** @throws GrokError `argument`. */
export async function createServer(options: ServerOptions): Promise<ModelServer> {
  checkNames("createServer", options, optionNames);
  const { hosts = [], origins = [], keys = {}, onRequest, quota = {}, quotas = {} } = options;
  const { idleSeconds, preferred = {}, outputTokens, behindProxy = false, page, responses } = options;
  const { host, port, atOnce, waiting, bodyBytes, loaded, connections, stalledSeconds } = withDefaults<
    ServerOptions,
    keyof typeof defaultServerOptions
  >(options, defaultServerOptions);
  checkList("models", options.models);
  for (const model of options.models) checkModel(model);
  checkText("host", host);
  if (page !== undefined) checkText("page", page);
  if (options.traces && !/^https?:\/\//.test(options.traces.endpoint)) {
    const message = `traces: ${describeValue(options.traces.endpoint)} is no address, expected http:// or https://`;
    throw new GrokError("argument", message, { option: "traces" });
  }
  if (responses !== undefined) checkText("responses", responses);
  checkTexts("hosts", hosts);
  checkTexts("origins", origins);
  for (const [name, hash] of Object.entries(keys)) {
    checkText("keys: a name", name);
    if (typeof hash === "string" && /^[0-9a-f]{64}$/i.test(hash)) continue;
    const message = `keys: ${name} is ${describeValue(hash)}, expected its SHA-256, 64 hexadecimal digits`;
    throw new GrokError("argument", message, { option: "keys" });
  }
  checkWhole("port", port, 0, 65_535);
  for (const share of [quota, ...Object.values(quotas)]) checkQuota(share);
  const numbers = { atOnce, waiting, bodyBytes, loaded, connections, stalledSeconds, outputTokens: outputTokens ?? 1 };
  for (const [name, value] of Object.entries(numbers)) checkWhole(name, value, name === "waiting" ? 0 : 1, 2 ** 40);
  // Only now: who serves nothing starts without it.
  const [{ createApp }, { createModelHost }, { listen }, { readPage }, { createResponseStore }] = await Promise.all([
    ...([import("./app.ts"), import("./models.ts"), import("./listen.ts"), import("./page.ts")] as const),
    import("./responses/store.ts"),
  ]);
  const served = options.models.map(({ file, name = basename(file).replace(/\.gguf$/i, ""), load, adapters }) => ({
    ...{ file, name, load: load ?? (() => loadModel(file, adapters ? { adapters } : {})) },
    adapters: adapters?.map((adapter) => adapter.name ?? adapter.path),
  }));
  checkDistinct(served.flatMap(({ name, adapters = [] }) => [name, ...adapters]));
  const models = createModelHost({
    models: served,
    ...{ atOnce: loaded, idleSeconds },
  });
  // Responses have a name each: what a killed server left of one, no later one would find.
  if (responses !== undefined) await removeLeftovers(responses);
  const tracer = options.traces && createTracer(options.traces);
  const app = createApp({
    ...{ models, preferred, keys, origins, quota, quotas, hosts: namesOf(options) },
    ...{ limits: { atOnce, waiting, bodyBytes, outputTokens }, logsText: options.logsText === true },
    sharesPrefixes: options.sharePrefixes === true,
    expertMetrics: options.expertMetrics === true,
    page: page === undefined ? undefined : readPage(page),
    responses: createResponseStore({ folder: responses }),
    moderators: options.moderators ?? [],
    log(entry) {
      tracer?.record(entry);
      onRequest?.(entry);
    },
  });
  const close = async () => {
    await models.close();
    await Promise.all((options.moderators ?? []).map((moderator) => moderator.close()));
    await tracer?.close();
  };
  return {
    fetch: (request) => app.fetch(request),
    async listen(signal = new AbortController().signal) {
      (await models.use(undefined, signal))[Symbol.dispose]();
      // Who names a port means that one. Else a second server takes the next.
      const ports = options.port === undefined ? Array.from({ length: 10 }, (_, i) => port + i) : [port];
      return listenAt(ports, (port) => listen(app, { host, port, connections, stalledSeconds, behindProxy }));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function listenAt(
  [port, ...others]: readonly number[],
  open: (port: number) => Promise<Listening>,
): Promise<Listening> {
  try {
    return await open(port!);
  } catch (error) {
    const taken = error instanceof GrokError && error.details.code === "EADDRINUSE";
    if (!taken || others.length === 0) throw error;
    return listenAt(others, open);
  }
}

function checkModel(model: ModelToServe): void {
  checkNames("models", model, ["file", "name", "load", "adapters"]);
  checkText("file", model.file);
  if (model.name !== undefined) checkText("name", model.name);
}

function checkDistinct(names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return;
  throw new GrokError("argument", `models: two are called ${twice}`, { option: "models" });
}

function checkQuota(quota: Quota): void {
  checkNames("quota", quota, quotaNames);
  for (const [name, value] of Object.entries(quota)) if (value !== undefined) checkWhole(name, value, 1, 2 ** 50);
}

/**
 * Names that the server is called by. A page whose name is made to point here would pass for one of this computer's: only who brings a
 * key may call it as they like.
 */
function namesOf({ host = defaultServerOptions.host, hosts = [], keys = {} }: ServerOptions): readonly string[] {
  const local = ["localhost", "127.0.0.1", "::1"];
  if (hosts.includes("*") || (Object.keys(keys).length > 0 && !local.includes(host))) return [];
  return [...local, host, hostname(), ...hosts].map((name) => name.toLowerCase());
}
