import { basename } from "node:path";
import { InvalidArgumentError } from "commander";
import type { AdapterSource } from "../engine/adapters.ts";
import { defaultServerOptions as usual } from "../server/defaults.ts";
import type { Quota } from "../server/quota.ts";
import type { Setting } from "./setting.ts";
import { adapterList, choice, integer, path, type Reader, size, text } from "./values.ts";

export const usualLog = "text";
/** Seconds. */
export const usualDrain = 30;

const mebibyte = 2 ** 20;

export const serverSettings = {
  models: {
    flags: "--models <folder>",
    description: "serve every GGUF file of a folder, by its name; loaded when first asked for",
    read: path(),
    usually: "one model",
  },
  lora: {
    flags: "--lora <name=file[:scale]>",
    description:
      "low-rank adapter that requests can call as a model, or as MODEL:NAME; its file's name where none is given; can be given several times",
    read: namedAdapter(),
    between: /,(?=[^,=]+=)/,
    usually: "none",
  },
  host: {
    flags: "--host <address>",
    description: "address to listen at; 0.0.0.0 for all of this computer's",
    read: text(),
    usually: usual.host,
  },
  port: {
    flags: "--port <n>",
    description: "port to listen at; 0: a free one",
    read: integer(0, 65535),
    usually: `${usual.port}, or the next that is free`,
  },
  allowHost: {
    flags: "--allow-host <name>",
    description: "a name that the server is called by besides its addresses; * for any; can be given several times",
    read: text(),
    between: /,/,
    usually: "localhost",
  },
  allowOrigin: {
    flags: "--allow-origin <origin>",
    description: "an origin whose pages may ask, such as http://localhost:3000; * for all; can be given several times",
    read: text(),
    between: /,/,
    usually: "none",
  },
  behindProxy: {
    flags: "--behind-proxy",
    description: "take where a request comes from from its X-Forwarded-For, as a proxy before the server writes it",
    usually: "from its connection",
  },
  keyHash: {
    flags: "--key-hash <name:sha256>",
    description:
      "only who knows a key may ask: its name and its SHA-256, as --new-key prints them; limits of its own can follow, :requests-per-minute=N:tokens-per-minute=N:tokens-per-day=N; can be given several times",
    read: keyEntry(),
    between: /,/,
    usually: "everybody may",
  },
  sharePrefixes: {
    flags: "--share-prefixes",
    description:
      "what is computed of a prompt is there for every key: faster where prompts begin alike, but who has a key can tell what others asked",
    usually: "for its own alone",
  },
  requestsPerMinute: {
    flags: "--requests-per-minute <n>",
    description: "requests that each key has, or all who ask together where there are none",
    read: integer(1),
    usually: "no limit",
  },
  tokensPerMinute: {
    flags: "--tokens-per-minute <n>",
    description: "the same of tokens, of prompts and answers",
    read: integer(1),
    usually: "no limit",
  },
  tokensPerDay: {
    flags: "--tokens-per-day <n>",
    description: "the same in a day",
    read: integer(1),
    usually: "no limit",
  },
  atOnce: {
    flags: "--at-once <n>",
    description: "requests that are computed at a time",
    read: integer(1, 4096),
    usually: String(usual.atOnce),
  },
  waiting: {
    flags: "--waiting <n>",
    description: "requests that wait; further ones are refused",
    read: integer(0, 100_000),
    usually: String(usual.waiting),
  },
  connections: {
    flags: "--connections <n>",
    description: "connections at a time; further ones are closed",
    read: integer(1, 1_000_000),
    usually: String(usual.connections),
  },
  bodyLimit: {
    flags: "--body-limit <size>",
    description: "most bytes of a request, such as 16M",
    read: size(),
    usually: `${usual.bodyBytes / mebibyte}M`,
  },
  outputLimit: {
    flags: "--output-limit <tokens>",
    description: "most tokens of an answer, whatever a request says",
    read: integer(1, 2 ** 31 - 1),
    usually: "until the context is full",
  },
  stalled: {
    flags: "--stalled <seconds>",
    description: "drop a client that has taken nothing of its answer for so long",
    read: integer(1, 86_400),
    usually: String(usual.stalledSeconds),
  },
  drain: {
    flags: "--drain <seconds>",
    description: "so long those who are being answered are given when the server ends",
    read: integer(0, 86_400),
    usually: String(usualDrain),
  },
  loaded: {
    flags: "--loaded <n>",
    description: "models in memory at a time",
    read: integer(1, 1024),
    usually: String(usual.loaded),
  },
  idle: {
    flags: "--idle <seconds>",
    description: "give a model's memory back after so long without a request",
    read: integer(1, 2 ** 31 / 1000),
    usually: "never",
  },
  promptCache: {
    flags: "--prompt-cache <folder>",
    description: "keep the beginnings of prompts here, so that they are not computed again after a restart",
    read: path(),
    usually: "in memory alone",
  },
  promptCacheSize: {
    flags: "--prompt-cache-size <size>",
    description: "most that is kept there; what was longest unused goes",
    read: size(),
    usually: "8G",
  },
  responses: {
    flags: "--responses <folder>",
    description:
      "keep responses that can be gone on from there, the latest 1000 and 64 MiB of them, so that they outlive the server",
    read: path(),
    usually: "in memory",
  },
  moderationRules: {
    flags: "--moderation-rules <file>",
    description: "rules that what is asked and answered is held to (JSON)",
    read: path(),
    usually: "none",
  },
  moderationJudge: {
    flags: "--moderation-judge <file>",
    description: "a model that judges what is asked and answered, such as Llama Guard (GGUF)",
    read: path(),
    usually: "none",
  },
  moderationUrl: {
    flags: "--moderation-url <url>",
    description: "a service that judges, asked as OpenAI's moderations are, or Perspective's comments:analyze",
    read: text(),
    usually: "none",
  },
  moderationKey: {
    flags: "--moderation-key <key>",
    description: "the service's key",
    read: text(),
    usually: "none",
  },
  expertMetrics: {
    flags: "--expert-metrics",
    description: "metrics say how often each layer chose each expert: a series for each",
    usually: "they do not",
  },
  log: {
    flags: "--log <form>",
    description: "a line for each request on standard error: text, json, or none",
    read: choice("text", "json", "none"),
    usually: usualLog,
  },
  logText: {
    flags: "--log-text",
    description: "what was asked and answered stands in the log too",
    usually: "nothing of it does",
  },
  otlpEndpoint: {
    flags: "--otlp-endpoint <url>",
    description:
      "collector to send requests to as OpenTelemetry's spans, over HTTP; OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS count too",
    read: text(),
    usually: "none",
  },
} as const satisfies Record<string, Setting>;

/** `NAME=FILE[:SCALE]`: an adapter as models are called. */
function namedAdapter(): Reader<AdapterSource> {
  const one = adapterList();
  return (entry) => {
    const [, name, rest] = /^([^=/\\]+)=(.+)$/.exec(entry) ?? [undefined, undefined, entry];
    const [adapter] = one(rest, undefined);
    return { ...adapter!, name: name ?? basename(adapter!.path).replace(/\.(gguf|safetensors)$/i, "") };
  };
}

export interface KeyEntry {
  readonly name: string;
  /** SHA-256, in hexadecimal. */
  readonly hash: string;
  readonly quota: Quota;
}

const quotaNames: Readonly<Record<string, keyof Quota>> = {
  "requests-per-minute": "requestsPerMinute",
  "tokens-per-minute": "tokensPerMinute",
  "tokens-per-day": "tokensPerDay",
};

function keyEntry(): Reader<KeyEntry> {
  const most = integer(1);
  return (entry) => {
    const [name, hash, ...limits] = entry.split(":");
    if (!name || hash === undefined || !/^[0-9a-f]{64}$/i.test(hash)) {
      throw new InvalidArgumentError(
        "Expected NAME:SHA256, such as laptop:9f86d081... (64 hexadecimal digits), as --new-key prints it.",
      );
    }
    const quota = limits.map((limit) => {
      const [word = "", value = ""] = limit.split("=");
      const known = Object.hasOwn(quotaNames, word) ? quotaNames[word] : undefined;
      if (known === undefined) {
        throw new InvalidArgumentError(`Expected limits such as ${Object.keys(quotaNames).join("=N, ")}=N.`);
      }
      return [known, most(value)];
    });
    return { name, hash, quota: Object.fromEntries(quota) };
  };
}
