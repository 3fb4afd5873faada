import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { checkDestination } from "../bytes/destination.ts";
import { readTextFile } from "../bytes/text-file.ts";
import type { AdapterSource } from "../engine/adapters.ts";
import type { BackendChoice, PromptCacheOptions } from "../engine/options.ts";
import { GrokError } from "../errors.ts";
import { openGguf } from "../formats/gguf/file.ts";
import type { LanguageModel, LoadOptions } from "../generate/types.ts";
import type { KvType } from "../kernels/ops.ts";
import type { Lossy } from "../memory/lossy.ts";
import { adapterFiles } from "../model/lora/read.ts";
import { describeDuplicates } from "../tokenizer/duplicates.ts";
import { usageError } from "./exit.ts";
import { addSettings, pick } from "./settings.ts";
import { escapeLine } from "./terminal.ts";
import { lossyList, path, repeated } from "./values.ts";

/** Options of every command that runs a model, as commander gives them. */
export interface ModelOptions {
  readonly model?: string;
  readonly backend?: BackendChoice;
  readonly threads?: number;
  readonly isa?: string;
  readonly context?: number;
  /** Where nobody gave a context by a flag: what the environment or the config file wish for. */
  readonly contextAtMost?: number;
  readonly kvType?: KvType;
  readonly memory?: number;
  readonly copy?: readonly string[];
  readonly lossy?: Lossy;
  readonly trace?: string;
  readonly draft?: string;
  /** The same, of a type that a model's heads may not have. */
  readonly kvTypeIfFits?: KvType;
  readonly speculation?: boolean;
  readonly chatTemplate?: string;
  readonly lora?: readonly AdapterSource[];
  readonly promptCache?: PromptCacheOptions;
}

/** Where a model that the package ships, or that somebody put there, is found without being named. */
export const defaultModelFolder = fileURLToPath(new URL("../../models", import.meta.url));

/** The model named, or the first in the package's own folder. */
export function findModel(options: Pick<ModelOptions, "model">): string | undefined {
  if (options.model !== undefined) return options.model;
  let names: string[];
  try {
    names = readdirSync(defaultModelFolder);
  } catch {
    return undefined;
  }
  const name = names.filter((candidate) => candidate.endsWith(".gguf")).sort()[0];
  return name === undefined ? undefined : join(defaultModelFolder, name);
}

/** A line that says which model runs, for who named none. */
export function describeDefault(path: string): string {
  return `grok1: ${basename(path)}, the package's own model; -m FILE names another`;
}

/** A model's files: itself, or all parts of a split one, and its adapters'. @throws GrokError as `openGguf` and `adapterFiles`. */
export function modelFiles(path: string, adapters: readonly AdapterSource[] = []): readonly string[] {
  const file = openGguf(path);
  file.close();
  return [...file.paths, ...adapters.flatMap((adapter) => adapterFiles(adapter.path))];
}

/** @throws GrokError `argument` when no model is named and none is there by default. */
export function requireModel(options: Pick<ModelOptions, "model">): string {
  const path = findModel(options);
  if (path === undefined) throw usageError("no model file: name one with -m FILE, GROK1_MODEL or the config file");
  return path;
}

/** A model that texts are read and written with. @throws GrokError as `loadModel`; `format` for a file without a tokenizer. */
export async function openModel(file: string, options: ModelOptions): Promise<LanguageModel> {
  const model = await openModelOfIds(file, options);
  try {
    model.encode("");
    return model;
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** A model that is asked about token ids alone: its file needs no tokenizer. */
export async function openModelOfIds(file: string, options: ModelOptions): Promise<LanguageModel> {
  // Only now: help, errors of usage and commands that run no model start in half the time without it.
  const { loadModel } = await import("../generate/load.ts");
  const { contextAtMost, kvTypeIfFits, trace, lossy } = options;
  const lost = { trace, lossy };
  if (trace !== undefined) checkDestination(trace, modelFiles(file, options.lora), "the model", { inPlace: true });
  const wishes = { contextLength: options.context ?? contextAtMost, kvType: options.kvType ?? kvTypeIfFits };
  for (;;) {
    const { contextLength, kvType } = wishes;
    try {
      const model = await loadModel(file, { ...loadOptions({ ...options, context: contextLength, kvType }), ...lost });
      if (options.copy !== undefined && model.info.expertBytes === undefined) {
        warnOnTerminal(`all of ${file} is in memory: no copy of it is read`);
      }
      if (options.lossy !== undefined && model.info.expertBytes === undefined) {
        warnOnTerminal(`all of ${file} is in memory: nothing is lost, nor gained, by --lossy`);
      }
      return model;
    } catch (error) {
      const { option, most } = error instanceof GrokError ? error.details : {};
      // A flag is an order; what the environment or the config file wish for yields to what the model can have.
      if (option === "contextLength" && options.context === undefined && Number(most) < Number(contextLength)) {
        wishes.contextLength = Number(most);
      } else if (option === "kvType" && options.kvType === undefined && kvType !== undefined) {
        wishes.kvType = undefined;
      } else {
        throw error;
      }
    }
  }
}

/** What a model is loaded with, wishes and what is done to it aside. */
export function loadOptions(options: ModelOptions): Omit<LoadOptions, "lossy" | "trace"> {
  const { context, kvType, speculation, lora, copy, promptCache, chatTemplate } = options;
  return {
    ...pick(options, ["backend", "threads", "isa", "memory", "draft"]),
    ...{ contextLength: context, kvType, speculate: speculation, adapters: lora, copies: copy, promptCache },
    chatTemplate: chatTemplate && readTextFile(chatTemplate),
  };
}

/** For commands whose model may be larger than memory. */
export function addStreaming(command: Command): Command {
  return command
    .option(
      "--copy <file>",
      "a copy of the model's file on another drive: experts that are not in memory are read from all of them; can be given several times",
      repeated(path()),
    )
    .option(
      "--lossy <name=x>",
      "wait for fewer experts, for another answer: prefer-resident=X raises the logits of those in memory by X, skip-second=X leaves out an absent second one of less than that share of the weight, stand-in=FILE computes those of a copy of the model in fewer bits in the place of absent ones; can be given several times",
      lossyList(),
    );
}

/** Tells what one copy of the model's file could not give, and another did: on standard error, or where `warn` writes. */
export async function warnOfReads(
  model: LanguageModel,
  warn: (what: string) => void = warnOnTerminal,
  told?: string,
): Promise<string | undefined> {
  const problem = (await model.status()).experts?.problem;
  if (problem !== undefined && problem !== told) warn(`${problem}: read from a copy`);
  return problem;
}

/** The same for as long as the model runs. */
export function watchReads(model: LanguageModel, warn: (what: string) => void): void {
  let told: string | undefined;
  const look = async () => {
    try {
      told = await warnOfReads(model, warn, told);
    } catch {
      // It was closed.
      clearInterval(looking);
    }
  };
  const looking = setInterval(look, 5000).unref();
}

const warnOnTerminal = (what: string) => process.stderr.write(`grok1: warning: ${escapeLine(what)}\n`);

/** For commands that run one. */
export function addTrace(command: Command): Command {
  return command.option("--trace <file>", "record which experts layers ask for, for grok1 simulate", path());
}

/** A model is named by `--model`, or by a plain argument. */
export function addModel(command: Command): Command {
  return addSettings(command.argument("[model]", "model file (GGUF), in place of -m", path()), ["model"]);
}

/** What somebody should know who runs this model here: a line each on standard error. */
export function warnOfModel({ info, tokenizer, path }: LanguageModel): void {
  if (info.fallbackReason !== undefined) {
    warnOnTerminal(
      `the compiled addon is missing (${info.fallbackReason}); the reference backend is slow. See grok1 doctor.`,
    );
  }
  const duplicates = describeDuplicates(tokenizer.info.duplicates);
  if (duplicates !== undefined) warnOnTerminal(`${path}: ${duplicates}`);
}
