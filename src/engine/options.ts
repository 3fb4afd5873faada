import { describeValue, formatBytes, GrokError } from "../errors.ts";
import type { KvType, Ops } from "../kernels/ops.ts";
import { memoryLimit } from "../machine/limits.ts";
import { checkLossy, type Lossy } from "../memory/lossy.ts";
import type { ModelConfig } from "../model/model.ts";
import { checkNames, checkText, checkWhole, withDefaults } from "../options.ts";
import { encodedBytes, tensorTypes } from "../tensor/types.ts";
import type { AdapterSource } from "./adapters.ts";
import { mostDraftTokens, type SpeculationOptions } from "./speculation.ts";

/**
 * What the engine takes and gives. The engine knows token ids, not text; it runs on a worker thread, so everything here
 * can cross between threads.
 */

export type BackendChoice = "auto" | "native" | "reference";

/** A context of fewer tokens holds no prompt with an answer worth computing; a model that reads fewer has its own. */
export const leastContext = 8;

const backends: readonly BackendChoice[] = ["auto", "native", "reference"];

/** @throws GrokError `argument` for a backend that does not exist, or a number of threads out of its range. */
export function checkBackend(choice: BackendChoice, threads: number): void {
  if (!backends.includes(choice)) {
    throw new GrokError("argument", `backend is ${describeValue(choice)}, expected ${backends.join(", ")}`, {
      option: "backend",
      value: describeValue(choice),
    });
  }
  checkWhole("threads", threads, 1, 1024);
}

export interface EngineOptions {
  /** "auto" takes the native backend where the addon was built, and the reference backend where not. Default "auto". */
  readonly backend?: BackendChoice;
  /**
   * Instruction set of the native kernels, one of those that `grok1 doctor` lists: "avx2", "avx512", ... Default: the best that the
   * processor has. Its rounding may differ from another's in the last bits.
   */
  readonly isa?: string;
  /** Threads that compute. Default: the physical cores that the process may use, as far as they can be told. Never more than the processors that it may use or, in a container, has time for. */
  readonly threads?: number;
  /**
   * Tokens that fit in one session, prompt and answer together. Default: the model's own context length, at most
   * {@link defaultContextLimit}, or what half of the memory holds that the process may use.
   */
  readonly contextLength?: number;
  /**
   * Tokens that the caches of all requests hold together; at least `contextLength`. Memory is taken as it is written to. What
   * requests leave stays for those that begin alike; when memory runs out, what was longest unused goes, and young requests wait for
   * older ones. Default: twice the context length, or up to {@link manyContexts} times where that takes little; at most half of the memory.
   */
  readonly cacheTokens?: number;
  /** Element type of the key/value cache. Default "f16" on the native backend, "f32" on the reference backend. */
  readonly kvType?: KvType;
  /** Most tokens in one forward pass: what a prefill chunk can be. Default 512. */
  readonly batchTokens?: number;
  /**
   * Bytes of memory that weights, caches and activations may take together. Where a mixture of experts does not fit, its experts are read
   * from the file as they are needed. Default: what can be had, less a margin.
   */
  readonly memory?: number;
  /**
   * Copies of the model's file on other drives. Where experts are read as they are needed they are read from all of them, from each as fast as it is
   * measured to be; what one cannot read another is asked for, and `status` says so.
   */
  readonly copies?: readonly string[];
  /** What answers may lose so that experts are waited for less: other answers, which depend on what was asked before. Default: nothing. */
  readonly lossy?: Lossy;
  /** A file to record to which experts the model's layers ask for, for `simulate`. Written over. */
  readonly trace?: string;
  /** Low-rank adapters to hold beside the model. Requests that do not choose use all of them. */
  readonly adapters?: readonly AdapterSource[];
  /**
   * Lossless speculation: guess how a text goes on from how it went on before, verify several tokens in one pass, keep
   * those that the model has chosen itself. The same text, sooner where it repeats. Default true: wherever it pays.
   */
  readonly speculate?: boolean | SpeculationOptions;
  /**
   * A second model file that drafts what this one verifies: one of the same vocabulary, such as a copy in fewer bits, small enough to be in
   * memory whole. The same text, with fewer passes over this model's weights; it is asked wherever that pays.
   */
  readonly draft?: string;
  /** Where the beginnings of prompts are kept, so that they are not computed again after a restart. Default: in memory alone. */
  readonly promptCache?: PromptCacheOptions;
}

/**
 * Keys and values of tokens, in full pages. Who can read them and has the model can tell from them what was said: the folder is made for its
 * owner alone. Models, and processes, can share it.
 */
export interface PromptCacheOptions {
  readonly folder: string;
  /** Most bytes of all files; what was longest unused goes. Default 8 GiB. */
  readonly bytes?: number;
}

export const defaultPromptCacheBytes = 8 * 2 ** 30;

/** The context that is reserved when nobody asks for more. */
export const defaultContextLimit = 8192;

/** What holds where nobody says anything and neither the machine nor the model decides. */
export const defaultEngineOptions = { backend: "auto", batchTokens: 512, speculate: true } as const;

export const engineOptionNames = Object.keys({
  ...{ ...defaultEngineOptions, isa: true, threads: true, contextLength: true, cacheTokens: true, kvType: true },
  ...{ memory: true, copies: true, lossy: true, trace: true, draft: true, adapters: true, promptCache: true },
} satisfies Record<keyof EngineOptions, unknown>) as readonly (keyof EngineOptions)[];

/** Contexts, of as many conversations at once, that a cache holds which nobody asked for, */
const manyContexts = 16;
/** as long as they take no more bytes than this. */
const littleBytes = 2 ** 27;

/** Those options that depend on the model or bound its work, with their defaults filled in. */
export type SettledEngineOptions = Required<
  Pick<EngineOptions, "contextLength" | "cacheTokens" | "kvType" | "batchTokens" | "speculate">
>;

/**
 * `path` is the model's file, `memory` what the process may use, in bytes.
 * @throws GrokError `argument` for a value out of its range, or a type of cache that the model cannot have; `capacity` for a cache that
 * no memory holds.
 */
export function settleEngineOptions(
  options: EngineOptions,
  { kvType: suited }: Pick<Ops, "kvType">,
  config: ModelConfig,
  { path, memory = memoryLimit() }: { readonly path: string; readonly memory?: number },
): SettledEngineOptions {
  const given = withDefaults<EngineOptions, keyof typeof defaultEngineOptions | "kvType">(options, {
    ...{ ...defaultEngineOptions, kvType: suited },
  });
  const { kvType, batchTokens, speculate } = given;
  checkKvType(kvType, config, path);
  checkWhole("batchTokens", batchTokens, 1, 65_536);
  if (options.memory !== undefined) checkWhole("memory", options.memory, 1, 2 ** 50);
  checkSpeculation(speculate);
  if (options.draft !== undefined) checkText("draft", options.draft);
  if (options.lossy !== undefined) {
    checkLossy(options.lossy);
    if (options.backend === "reference") {
      const message = "lossy has nothing to lose with the reference backend, which has all of a model in memory";
      throw new GrokError("argument", message, { option: "lossy" });
    }
  }
  if (options.copies !== undefined) checkCopies(options.copies);
  if (options.adapters !== undefined && !Array.isArray(options.adapters)) {
    const message = `adapters is ${describeValue(options.adapters)}, expected a list of objects with a path`;
    throw new GrokError("argument", message, { option: "adapters" });
  }
  if (options.promptCache !== undefined) checkPromptCache(options.promptCache);
  const tokenBytes = 2 * config.layers * encodedBytes(kvType, config.kvHeads * config.headSize);
  // What nobody asked for takes at most half of the memory: the other half is the model's.
  const fitting = Math.max(512, Math.floor(memory / 2 / tokenBytes));
  const { contextLength = Math.min(config.contextLength, defaultContextLimit, fitting) } = options;
  checkWhole("contextLength", contextLength, Math.min(leastContext, config.contextLength), config.contextLength);
  const many = Math.min(manyContexts * contextLength, Math.floor(littleBytes / tokenBytes));
  const { cacheTokens = Math.max(contextLength, Math.min(Math.max(2 * contextLength, many), fitting)) } = options;
  checkWhole("cacheTokens", cacheTokens, contextLength, 2 ** 40);
  if (cacheTokens * tokenBytes > memory) {
    const option = options.cacheTokens === undefined ? "contextLength" : "cacheTokens";
    const most = Math.floor(memory / tokenBytes);
    throw new GrokError(
      "capacity",
      `${option} is ${cacheTokens}: keys and values of as many tokens of ${path} take ${formatBytes(cacheTokens * tokenBytes)}, and ${formatBytes(memory)} of memory may be used: choose a shorter context, or a smaller kvType`,
      { option, most, path, cacheTokens, bytes: cacheTokens * tokenBytes, memory },
    );
  }
  return { ...given, contextLength, cacheTokens };
}

function checkKvType(kvType: KvType, { headSize }: ModelConfig, path: string): void {
  if (!["f32", "f16", "q8_0", "q4_0"].includes(kvType)) {
    throw new GrokError("argument", `kvType is ${describeValue(kvType)}, expected f32, f16, q8_0 or q4_0`);
  }
  const { blockSize } = tensorTypes[kvType];
  if (headSize % blockSize === 0) return;
  throw new GrokError(
    "argument",
    `kvType is ${kvType}, of blocks of ${blockSize}, and the heads of ${path} have ${headSize} elements: choose f16 or f32`,
    { option: "kvType", path, headSize },
  );
}

function checkCopies(copies: readonly string[]): void {
  if (!Array.isArray(copies)) {
    const message = `copies is ${describeValue(copies)}, expected a list of paths`;
    throw new GrokError("argument", message, { option: "copies" });
  }
  for (const [i, path] of copies.entries()) checkText(`copies[${i}]`, path);
}

function checkPromptCache(promptCache: PromptCacheOptions): void {
  checkNames("promptCache", promptCache, promptCacheNames);
  checkText("promptCache.folder", promptCache.folder);
  if (promptCache.bytes !== undefined) checkWhole("promptCache.bytes", promptCache.bytes, 1, 2 ** 53 - 1);
}

const promptCacheNames = Object.keys({
  folder: true,
  bytes: true,
} satisfies Record<keyof PromptCacheOptions, true>);

function checkSpeculation(speculate: unknown): void {
  if (typeof speculate === "boolean") return;
  if (typeof speculate !== "object" || speculate === null || Array.isArray(speculate)) {
    throw new GrokError("argument", `speculate is ${describeValue(speculate)}, expected true, false or an object`, {
      option: "speculate",
    });
  }
  checkNames("speculate", speculate, speculationNames);
  const { draftTokens = 1, always = false } = speculate as SpeculationOptions;
  checkWhole("draftTokens", draftTokens, 1, mostDraftTokens);
  if (typeof always !== "boolean") {
    throw new GrokError("argument", `always is ${describeValue(always)}, expected true or false`, { option: "always" });
  }
}

const speculationNames = Object.keys({
  draftTokens: true,
  always: true,
} satisfies Record<keyof SpeculationOptions, true>);
