import { existsSync } from "node:fs";
import { readJsonObject } from "../../bytes/whole-file.ts";
import { GrokError, shown } from "../../errors.ts";
import { compilePattern, type Matcher, PatternError } from "./pattern.ts";

export const adapterFile = "adapter_model.safetensors";
export const adapterConfigFile = "adapter_config.json";

/** What an adapter's `adapter_config.json` says that counts here. */
export interface AdapterConfig {
  readonly path: string;
  /** Whether the adapter is for the module. */
  targets(module: string): boolean;
  rankOf(module: string): number;
  alphaOf(module: string): number;
  /** What B A is multiplied by: alpha / rank, or rank-stabilised alpha / sqrt(rank) (Kalajdzievski, 2023). */
  scaleOf(module: string): number;
}

/** Far above any in use: with an alpha for each of ten thousand matrices it has less than one million. */
const maxConfigBytes = 16_000_000;
/** DeepSeek-V3 has 45,000 matrices. */
const maxPatterns = 100_000;
/** Of all patterns with wildcards of a file: a module's name goes through each. */
const maxPatternStates = 10_000;

/**
 * Reads the configuration that Python's `peft` writes beside an adapter, and follows it as `peft` does: `rank_pattern` and
 * `alpha_pattern` hold regular expressions, of which the first counts that is the end of a module's name after a dot, or the whole.
 * What the file says and grok1 does not follow is refused by name where it changes the result.
 *
 * @throws GrokError `io`; `format` for what is no such configuration; `unsupported` naming what grok1 does not run.
 */
export function readAdapterConfig(path: string): AdapterConfig {
  if (!existsSync(path)) throw new GrokError("io", `${path}: not there, expected beside ${adapterFile}`, { path });
  const config = readJsonObject(path, maxConfigBytes);
  const refuse = (what: string, advice = ""): never => {
    throw new GrokError("unsupported", `${path}: ${what}, which grok1 does not run${advice}`, { path });
  };
  const wrong = (key: string, value: unknown, expected: string): never => {
    throw new GrokError("format", `${path}: ${key} is ${shown(value)}, expected ${expected}`, { path, key });
  };
  if (config.peft_type === undefined && config.lora_parameters !== undefined) {
    refuse("an adapter of MLX, not peft", ": fuse it into its model with mlx_lm.fuse and convert that");
  }
  if (config.peft_type !== "LORA") refuse(`peft_type is ${shown(config.peft_type)}, not LORA`);
  refuseUnread(config, refuse);

  const readAlpha = (key: string, value: unknown) =>
    typeof value === "number" && Number.isFinite(value) ? value : wrong(key, value, "a number");
  const readRank = (key: string, value: unknown) =>
    Number.isSafeInteger(value) && (value as number) > 0
      ? (value as number)
      : wrong(key, value, "a whole number from 1");
  const budget = { states: maxPatternStates };
  const compile = (key: string, pattern: string, whole = pattern): Matcher => {
    try {
      return compilePattern(whole, budget);
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      return refuse(`${key} has the pattern ${shown(pattern)}, which ${error.message}`);
    }
  };
  const readPatterns = (
    key: string,
    read: (key: string, value: unknown) => number,
  ): ((module: string) => number | undefined) => {
    const value = config[key] ?? {};
    if (typeof value !== "object" || Array.isArray(value)) return wrong(key, value, "an object");
    const entries = Object.entries(value);
    if (entries.length > maxPatterns) refuse(`${key} has ${entries.length} patterns`, `: at most ${maxPatterns}`);
    return firstMatch(
      entries.map(([text, each]) => ({
        matches: isPlain(text) ? text : compile(key, text, `(.*\\.)?(${text})$`),
        value: read(`${key} of ${shown(text)}`, each),
      })),
    );
  };

  const [alpha, alphas] = [readAlpha("lora_alpha", config.lora_alpha), readPatterns("alpha_pattern", readAlpha)];
  const [rank, ranks] = [readRank("r", config.r), readPatterns("rank_pattern", readRank)];
  const { use_rslora: rankStabilised } = config;
  if (![undefined, null, true, false].includes(rankStabilised as boolean)) {
    wrong("use_rslora", rankStabilised, "true or false");
  }
  const readNames = (key: string): ((module: string) => boolean) | undefined => {
    const value = config[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value === "string") return value === "all-linear" ? () => true : compile(key, value);
    if (!Array.isArray(value) || !value.every((name) => typeof name === "string")) {
      return wrong(key, value, "a list of names, or a pattern");
    }
    const named = new Set(value as string[]);
    return (module) => endsOf(module).some((end) => named.has(end));
  };
  const [included, excluded] = [readNames("target_modules"), readNames("exclude_modules")];
  const layers = readLayers(config.layers_to_transform, wrong);

  const alphaOf = (module: string) => alphas(module) ?? alpha;
  const rankOf = (module: string) => ranks(module) ?? rank;
  return {
    path,
    targets: (module) => (included?.(module) ?? true) && !excluded?.(module) && layers(module),
    rankOf,
    alphaOf,
    scaleOf: (module) => alphaOf(module) / (rankStabilised === true ? Math.sqrt(rankOf(module)) : rankOf(module)),
  };
}

/** Initial values that are the adapter's alone. The others change the base as well, which a plain model file does not have. */
const plainInitials: readonly unknown[] = [undefined, null, true, false, "gaussian", "eva", "orthogonal"];

/** Fields of `peft`'s that change what an adapter computes. */
const unread = [
  ...["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora", "target_parameters", "trainable_token_indices"],
  ...["layer_replication", "alora_invocation_tokens", "arrow_config"],
];

function refuseUnread(
  config: Readonly<Record<string, unknown>>,
  refuse: (what: string, advice?: string) => never,
): void {
  const isSet = (value: unknown) =>
    ![undefined, null, false].includes(value as null) && (typeof value !== "object" || Object.keys(value!).length > 0);
  for (const [key, value] of Object.entries(config)) {
    // What a later version adds, it names so.
    const later = key.startsWith("use_") && key !== "use_rslora" && value === true;
    if ((unread.includes(key) && isSet(value)) || later) refuse(`${key} is set`);
  }
  if (isSet(config.modules_to_save)) {
    const names = Array.isArray(config.modules_to_save) ? config.modules_to_save.slice(0, 5).map(shown).join(", ") : "";
    refuse(
      `modules_to_save is set (${names}): matrices that were trained as a whole`,
      ": merge the adapter into its base with peft (merge_and_unload) and convert that",
    );
  }
  if (config.bias !== undefined && config.bias !== null && config.bias !== "none")
    refuse(`bias is ${shown(config.bias)}`);
  const { init_lora_weights: initial, layers_pattern: pattern } = config;
  if (!plainInitials.includes(initial)) {
    refuse(
      `init_lora_weights is ${shown(initial)}: the base was changed too`,
      ": save it converted to a plain adapter",
    );
  }
  const isLayers = pattern === "layers" || (Array.isArray(pattern) && pattern.length === 1 && pattern[0] === "layers");
  if (isSet(pattern) && !isLayers && isSet(config.layers_to_transform)) refuse(`layers_pattern is ${shown(pattern)}`);
}

function readLayers(
  value: unknown,
  wrong: (key: string, value: unknown, expected: string) => never,
): (module: string) => boolean {
  if (value === undefined || value === null) return () => true;
  const layers = new Set<unknown>(Array.isArray(value) ? value : [value]);
  for (const layer of layers) {
    if (!Number.isSafeInteger(layer)) wrong("layers_to_transform", layer, "whole numbers");
  }
  return (module) => layers.has(Number(/\.layers\.(\d+)\./.exec(module)?.[1]));
}

interface Pattern {
  /** A plain name, or what decides. */
  readonly matches: string | Matcher;
  readonly value: number;
}

/** A name whose dots stand for anything, as `peft` reads it. */
const isPlain = (pattern: string) => /^[\w.]+$/.test(pattern);

/** The value of the first pattern that fits. Plain ones are looked at only where they are as long as an end of the name. */
function firstMatch(patterns: readonly Pattern[]): (module: string) => number | undefined {
  const byLength = new Map<number, number[]>();
  const wild: number[] = [];
  for (const [i, { matches }] of patterns.entries()) {
    if (typeof matches !== "string") wild.push(i);
    else if (!byLength.get(matches.length)?.push(i)) byLength.set(matches.length, [i]);
  }
  const fits = (pattern: string, end: string) => {
    for (let i = end.length - 1; i >= 0; i--) if (pattern[i] !== end[i] && pattern[i] !== ".") return false;
    return true;
  };
  return (module) => {
    let first = patterns.length;
    for (const end of endsOf(module)) {
      const found = byLength.get(end.length)?.find((i) => i >= first || fits(patterns[i]!.matches as string, end));
      first = Math.min(first, found ?? first);
    }
    first = Math.min(first, wild.find((i) => i >= first || (patterns[i]!.matches as Matcher)(module)) ?? first);
    return patterns[first]?.value;
  };
}

/** A module's name, and what follows each of its dots. */
function endsOf(module: string): string[] {
  const parts = module.split(".");
  return parts.map((_, i) => parts.slice(i).join("."));
}
