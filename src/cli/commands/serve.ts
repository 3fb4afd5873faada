import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { ioError } from "../../bytes/io-error.ts";
import type { GenerateOptions } from "../../generate/types.ts";
import type { LogEntry } from "../../server/app.ts";
import { createServer } from "../../server/server.ts";
import { usageError } from "../exit.ts";
import { catchInterrupt } from "../interrupt.ts";
import { addModel, type ModelOptions, openModel, requireModel, warnOfModel } from "../open-model.ts";
import { addSettings, engineSettings, pick, samplingSettings } from "../settings.ts";
import { escapeLine } from "../terminal.ts";
import { adapterList, integer, path, repeated, text } from "../values.ts";

interface ServeOptions extends ModelOptions, Pick<GenerateOptions, (typeof samplingSettings)[number]> {
  readonly models?: string;
  readonly host: string;
  readonly port: number;
  readonly allowHost?: readonly string[];
  readonly allowOrigin?: readonly string[];
  readonly keyHash?: readonly string[];
  readonly atOnce: number;
  readonly waiting: number;
  readonly loaded: number;
  readonly idle?: number;
  readonly log: boolean;
}

export function addServe(program: Command): void {
  const command = program
    .command("serve")
    .description(
      "Answer the clients of OpenAI's, Anthropic's and Ollama's APIs, on this computer alone unless told otherwise.",
    );
  addModel(command)
    .option("--models <folder>", "serve every GGUF file of a folder, by its name; loaded when first asked for", path())
    .option("--host <address>", "address to listen at; 0.0.0.0 for all of this computer's", text(), "127.0.0.1")
    .option("--port <n>", "port to listen at; 0: a free one", integer(0, 65535), 8080)
    .option(
      "--allow-host <name>",
      "a name that the server is called by besides its address; can be given several times",
      repeated(text()),
    )
    .option(
      "--allow-origin <origin>",
      "an origin whose pages may ask, such as http://localhost:3000; * for all",
      repeated(text()),
    )
    .option("--key-hash <name:sha256>", "only who knows a key may ask: its name and its SHA-256", repeated(text()))
    .option("--at-once <n>", "requests that are computed at a time", integer(1, 4096), 16)
    .option("--waiting <n>", "requests that wait; further ones are refused", integer(0, 100_000), 256)
    .option("--loaded <n>", "models in memory at a time", integer(1, 1024), 1)
    .option("--idle <seconds>", "give a model's memory back after so long without a request", integer(1))
    .option("--lora <file[:scale]>", "low-rank adapter to use; can be given several times", adapterList())
    .option("--no-log", "no line for each request on standard error");
  addSettings(command, [...samplingSettings, ...engineSettings, "speculation", "chatTemplate"]);
  command.action(async (_, options: ServeOptions) => {
    await serve(options);
  });
}

async function serve(options: ServeOptions): Promise<void> {
  using interrupt = catchInterrupt();
  const { host, port, atOnce, waiting, loaded } = options;
  await using server = await createServer({
    models: filesOf(options).map((file) => ({
      file,
      load: async () => {
        const model = await openModel(file, options);
        warnOfModel(model);
        return model;
      },
    })),
    ...{ host, port, atOnce, waiting, loaded, idleSeconds: options.idle },
    ...{ hosts: options.allowHost, origins: options.allowOrigin },
    keys: Object.fromEntries((options.keyHash ?? []).map(readKey)),
    preferred: pick(options, samplingSettings),
    onRequest: options.log ? (entry) => process.stderr.write(`${lineOf(entry)}\n`) : undefined,
  });
  const { url, drain } = await server.listen(interrupt.signal);
  process.stdout.write(`${url}\n`);
  await ended(interrupt.signal);
  await drain(AbortSignal.timeout(drainSeconds * 1000));
}

/** So long those who are being answered are given when the server ends. */
const drainSeconds = 30;

/** Ctrl-C, or a service manager's SIGTERM. */
function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
    process.once("SIGTERM", () => resolve());
  });
}

function filesOf(options: ServeOptions): readonly string[] {
  const { models: folder } = options;
  if (folder === undefined) return [requireModel(options)];
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

function readKey(text: string): readonly [name: string, hash: string] {
  const [, name, hash] = /^([^:]+):([0-9a-f]{64})$/i.exec(text) ?? [];
  if (name === undefined || hash === undefined) {
    throw usageError("--key-hash: expected NAME:SHA256, such as laptop:9f86d081... (64 hexadecimal digits)");
  }
  return [name, hash];
}

function lineOf({
  method,
  path,
  status,
  seconds,
  key,
  model,
  promptTokens,
  completionTokens,
  error,
  id,
}: LogEntry): string {
  const parts = [
    ...[new Date().toISOString(), id, method, escapeLine(path), status, `${(seconds * 1000).toFixed(0)} ms`],
    ...(key === undefined ? [] : [`key ${key}`]),
    ...(model === undefined ? [] : [`${escapeLine(model)}: ${promptTokens} + ${completionTokens} tokens`]),
    ...(error === undefined ? [] : [escapeLine(error)]),
  ];
  return parts.join("  ");
}
