import { createHash, randomBytes } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { ioError } from "../../bytes/io-error.ts";
import { readTextFile } from "../../bytes/text-file.ts";
import { defaultBudget } from "../../engine/memory.ts";
import type { PromptCacheOptions } from "../../engine/options.ts";
import type { GenerateOptions } from "../../generate/types.ts";
import { shareBudget } from "../../memory/budget.ts";
import { createJudge } from "../../server/moderation/judge.ts";
import type { Moderator } from "../../server/moderation/moderator.ts";
import { readRules } from "../../server/moderation/rules.ts";
import { createService } from "../../server/moderation/service.ts";
import type { Quota } from "../../server/quota.ts";
import { createServer } from "../../server/server.ts";
import { createShortageWatch, readFills } from "../../server/shortage.ts";
import type { TraceOptions } from "../../server/spans.ts";
import { interruptedStatus, usageError } from "../exit.ts";
import {
  addModel,
  addStreaming,
  type ModelOptions,
  modelFiles,
  openModel,
  requireModel,
  warnOfModel,
  watchReads,
} from "../open-model.ts";
import { createLog, type LogForm } from "../server-log.ts";
import { type KeyEntry, serverSettings, usualDrain, usualLog } from "../server-settings.ts";
import { addSettings, engineSettings, pick, type SettingName, samplingSettings } from "../settings.ts";
import { escapeLine } from "../terminal.ts";
import { text } from "../values.ts";

interface ServeOptions
  extends Omit<ModelOptions, "promptCache">,
    Quota,
    Pick<GenerateOptions, (typeof samplingSettings)[number]> {
  readonly models?: string;
  readonly host?: string;
  readonly port?: number;
  readonly connections?: number;
  readonly atOnce?: number;
  readonly waiting?: number;
  readonly loaded?: number;
  readonly bodyLimit?: number;
  readonly stalled?: number;
  readonly drain?: number;
  readonly log?: LogForm;
  readonly moderationRules?: string;
  readonly moderationJudge?: string;
  readonly moderationUrl?: string;
  readonly moderationKey?: string;
  readonly logText?: boolean;
  readonly otlpEndpoint?: string;
  readonly allowHost?: readonly string[];
  readonly allowOrigin?: readonly string[];
  readonly behindProxy?: boolean;
  readonly keyHash?: readonly KeyEntry[];
  readonly sharePrefixes?: boolean;
  readonly expertMetrics?: boolean;
  readonly outputLimit?: number;
  readonly idle?: number;
  readonly promptCache?: string;
  readonly promptCacheSize?: number;
  readonly responses?: string;
  readonly newKey?: string;
}

export function addServe(program: Command): void {
  const command = program
    .command("serve")
    .description(
      "Answer the clients of OpenAI's, Anthropic's and Ollama's APIs, on this computer alone unless told otherwise.",
    );
  addSettings(addModel(command), Object.keys(serverSettings) as SettingName[]).option(
    "--new-key <name>",
    "print a new key, which nobody keeps, and the --key-hash that it opens; serve nothing",
    text(),
  );
  const sampling = samplingSettings.filter((name) => name !== "seed");
  addSettings(command, sampling, "as each API has it");
  addSettings(command, ["seed", ...engineSettings, "speculation", "draft", "chatTemplate"]);
  addStreaming(command);
  command.action(async (_, options: ServeOptions) => {
    if (options.newKey === undefined) await serve(options);
    else process.stdout.write(describeNewKey(options.newKey));
  });
}

async function serve(options: ServeOptions): Promise<void> {
  const { drain: drainSeconds = usualDrain, log = usualLog, keyHash: keys = [] } = options;
  const promptCache = promptCacheOf(options);
  using ending = catchEnding();
  const files = filesOf(options);
  const { write, warn } = createLog(log);
  const memoryOf = shareMemory(files, options);
  await using server = await createServer({
    models: files.map((file) => ({
      ...{ file, adapters: options.lora },
      load: async () => {
        const model = await openModel(file, { ...options, ...memoryOf(file), promptCache });
        warnOfModel(model);
        watchReads(model, warn);
        return model;
      },
    })),
    ...pick(options, ["host", "port", "atOnce", "waiting", "connections", "loaded", "behindProxy"]),
    ...pick(options, ["sharePrefixes", "expertMetrics"]),
    ...{ idleSeconds: options.idle, stalledSeconds: options.stalled, responses: options.responses },
    ...{ bodyBytes: options.bodyLimit, outputTokens: options.outputLimit },
    ...{ hosts: options.allowHost, origins: options.allowOrigin },
    ...{ keys: byName(keys, ({ hash }) => hash), quotas: byName(keys, ({ quota }) => quota) },
    quota: pick<Quota, keyof Quota>(options, ["requestsPerMinute", "tokensPerMinute", "tokensPerDay"]),
    preferred: pick(options, samplingSettings),
    ...(existsSync(pageFolder) && { page: pageFolder }),
    moderators: moderatorsOf(options),
    ...{ onRequest: write, logsText: options.logText, traces: tracesOf(options, process.env, warn) },
  });
  const look = createShortageWatch(warn);
  // What is written to comes first: a disk is named by it.
  const folders = [options.promptCache, options.responses].filter((folder) => folder !== undefined);
  const watched = [...folders, ...files.map(dirname)];
  const looking = setInterval(() => look(readFills(watched)), shortageSeconds * 1000).unref();
  const { url, drain } = await server.listen(ending.signal);
  process.stdout.write(`${url}\n`);
  if (process.stderr.isTTY) {
    const named = options.model ?? options.models ?? `${basename(files[0]!)}, the package's own model`;
    process.stderr.write(`Open it in a browser to talk with ${escapeLine(named)}. Ctrl-C ends.\n`);
  }
  await ended(ending.signal);
  await drain(AbortSignal.timeout(drainSeconds * 1000));
  clearInterval(looking);
}

/** What a model takes beside its weights, as far as it can be told before it is loaded: its caches, and the program. */
const besideWeights = 2 ** 30;

/** What each model may take where several are in memory together; where they all fit, nobody has to be told. */
function shareMemory(files: readonly string[], { loaded = 1, memory }: ServeOptions) {
  const together = Math.min(loaded, files.length);
  if (together === 1) return () => pick({ memory }, ["memory"]);
  const budget = memory ?? defaultBudget();
  const needs = new Map(files.map((file) => [file, neededBy(file)]));
  return (file: string) => {
    const others = files.filter((other) => other !== file).map((other) => needs.get(other)!);
    const needed = [needs.get(file)!, ...others.sort((a, b) => b - a).slice(0, together - 1)];
    const fits = needed.reduce((sum, need) => sum + need, 0) <= budget;
    return memory === undefined && fits ? {} : { memory: shareBudget(needed, budget)[0]! };
  };
}

/** Of a file that is no model it is said when it is asked for. */
function neededBy(file: string): number {
  try {
    return modelFiles(file).reduce((sum, part) => sum + statSync(part).size, besideWeights);
  } catch {
    return besideWeights;
  }
}

function moderatorsOf(options: ServeOptions): readonly Moderator[] {
  const { moderationRules: rules, moderationJudge: judge, moderationUrl: url, moderationKey: key } = options;
  if (url !== undefined && !/^https?:\/\//.test(url))
    throw usageError(`--moderation-url: ${url}: expected http:// or https://`);
  return [
    // What costs least comes first.
    ...(rules === undefined ? [] : [readRules(readTextFile(rules), rules)]),
    ...(judge === undefined ? [] : [createJudge(() => openModel(judge, pick(options, ["backend", "threads", "isa"])))]),
    ...(url === undefined ? [] : [createService({ url, key })]),
  ];
}

/** So often memory and disks are looked at. */
const shortageSeconds = 30;

/** What OpenTelemetry's own variables say counts where ours say nothing. */
function tracesOf(
  { otlpEndpoint }: ServeOptions,
  environment: NodeJS.ProcessEnv,
  onFailure: (message: string) => void,
): TraceOptions | undefined {
  const endpoint = otlpEndpoint ?? environment.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (!endpoint) return undefined;
  const pairs = (environment.OTEL_EXPORTER_OTLP_HEADERS ?? "").split(",").flatMap((pair) => {
    const [, name, value] = /^\s*([^=\s]+)\s*=(.*)$/.exec(pair) ?? [];
    return name === undefined || value === undefined ? [] : [[name, decodeURIComponent(value.trim())] as const];
  });
  return { endpoint, headers: Object.fromEntries(pairs), onFailure };
}

/** Where the page is that is built with the program. */
const pageFolder = fileURLToPath(new URL("../../web", import.meta.url));

/** Ctrl-C, or a service manager's SIGTERM: the first ends the server when its answers are given, the second at once. */
function catchEnding(): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const caught = { SIGINT: interruptedStatus, SIGTERM: 143 };
  const handlers = Object.entries(caught).map(([name, status]) => {
    const handler = () => {
      if (controller.signal.aborted) process.exit(status);
      controller.abort();
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const [name, handler] of handlers) process.off(name, handler);
    },
  };
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function filesOf(options: ServeOptions): readonly string[] {
  const { models: folder } = options;
  if (folder === undefined) return [requireModel(options)];
  if (options.copy !== undefined) throw usageError("--copy does not go with --models: a copy is one model's");
  if (options.lora !== undefined) throw usageError("--lora does not go with --models: an adapter is one model's");
  let names: string[];
  try {
    names = readdirSync(folder)
      .filter((name) => /\.gguf$/i.test(name))
      .sort();
  } catch (error) {
    throw ioError("read the folder", folder, error);
  }
  if (names.length === 0) throw usageError(`${folder}: no GGUF file in this folder`);
  return names.map((name) => join(folder, name));
}

function promptCacheOf({ promptCache: folder, promptCacheSize: bytes }: ServeOptions): PromptCacheOptions | undefined {
  if (folder !== undefined) return { folder, ...(bytes !== undefined && { bytes }) };
  if (bytes !== undefined) throw usageError("--prompt-cache-size goes with --prompt-cache FOLDER");
  return undefined;
}

function byName<T>(keys: readonly KeyEntry[], value: (key: KeyEntry) => T): Record<string, T> {
  const named: Record<string, T> = Object.create(null);
  for (const key of keys) {
    if (key.name in named) throw usageError(`--key-hash: two keys have the name ${key.name}`);
    named[key.name] = value(key);
  }
  return named;
}

/** 256 bits that nobody can guess, and their hash, which tells nobody what they are. */
function describeNewKey(name: string): string {
  if (/[:,]/.test(name)) throw usageError(`--new-key: ${name}: expected a name without : and ,`);
  const key = `grok1_${randomBytes(32).toString("base64url")}`;
  return `key: ${key}\nkeyHash: ${name}:${createHash("sha256").update(key).digest("hex")}\n`;
}
