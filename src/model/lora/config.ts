import { existsSync, readFileSync, statSync } from "node:fs";
import { ioError } from "../../bytes/io-error.ts";
import { GrokError } from "../../errors.ts";

export const adapterFile = "adapter_model.safetensors";
export const adapterConfigFile = "adapter_config.json";

/** What an adapter's `adapter_config.json` says that counts here. */
export interface AdapterConfig {
  readonly path: string;
  /** Whether the adapter is for the module; true where only a pattern with wildcards can tell. */
  targets(module: string): boolean;
  /** The ranks that the module's matrices may have: one, or several where only a pattern with wildcards can tell. */
  ranksOf(module: string): readonly number[];
  alphaOf(module: string): number;
  /** What B A is multiplied by: alpha / rank, or rank-stabilised alpha / sqrt(rank) (Kalajdzievski, 2023). */
  scaleOf(module: string, rank: number): number;
}

/** Far above any in use: with an alpha for each of ten thousand matrices it has less than one million. */
const maxConfigBytes = 16_000_000;

/**
 * Reads the configuration that Python's `peft` writes beside an adapter, and follows it as `peft` does: `rank_pattern` and
 * `alpha_pattern` hold regular expressions, of which the first counts that is the end of a module's name after a dot, or the whole.
 *
 * @throws GrokError `io`; `format` for what is no such configuration; `unsupported` naming what grok1 does not run.
 */
export function readAdapterConfig(path: string): AdapterConfig {
  const config = readObject(path);
  const refuse = (what: string): never => {
    throw new GrokError("unsupported", `${path}: ${what}, which grok1 does not run`, { path });
  };
  const wrong = (key: string, value: unknown, expected: string): never => {
    throw new GrokError("format", `${path}: ${key} is ${shown(value)}, expected ${expected}`, { path, key });
  };

  if (config.peft_type !== "LORA") refuse(`peft_type is ${shown(config.peft_type)}, not LORA`);
  for (const key of ["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"]) {
    if (config[key] === true) refuse(`${key} is set`);
  }
  if (config.bias !== undefined && config.bias !== "none") refuse(`bias is ${shown(config.bias)}`);
  for (const key of ["modules_to_save", "target_parameters", "trainable_token_indices"]) {
    const value = config[key];
    if (value !== undefined && value !== null && (value as ArrayLike<unknown>).length !== 0) refuse(`${key} is set`);
  }

  const readAlpha = (key: string, value: unknown) =>
    typeof value === "number" && Number.isFinite(value) ? value : wrong(key, value, "a number");
  const readRank = (key: string, value: unknown) =>
    Number.isSafeInteger(value) && (value as number) > 0
      ? (value as number)
      : wrong(key, value, "a whole number from 1");
  const readPatterns = (key: string, read: (key: string, value: unknown) => number): Pattern[] => {
    const value = config[key] ?? {};
    if (typeof value !== "object" || Array.isArray(value)) return wrong(key, value, "an object");
    return Object.entries(value).map(([text, each]) => ({
      text,
      plain: isPlain(text) ? new RegExp(`^(?:.*\\.)?(?:${text})$`) : undefined,
      value: read(`${key} of ${shown(text)}`, each),
    }));
  };

  const [alpha, alphas] = [readAlpha("lora_alpha", config.lora_alpha), readPatterns("alpha_pattern", readAlpha)];
  const wild = alphas.find(({ plain }) => plain === undefined);
  if (wild !== undefined) refuse(`alpha_pattern has ${shown(wild.text)}, a pattern with wildcards`);
  const [rank, ranks] = [readRank("r", config.r), readPatterns("rank_pattern", readRank)];
  const { use_rslora: rankStabilised, target_modules: targets } = config;
  if (![undefined, null, true, false].includes(rankStabilised as boolean)) {
    wrong("use_rslora", rankStabilised, "true or false");
  }
  const isList = Array.isArray(targets) && targets.every((name) => typeof name === "string");
  if (!isList && typeof targets !== "string" && targets !== undefined && targets !== null) {
    wrong("target_modules", targets, "a list of names, or a pattern");
  }
  const named = isList ? new Set(targets as string[]) : undefined;

  const alphaOf = (module: string) => alphas.find(({ plain }) => plain!.test(module))?.value ?? alpha;
  return {
    path,
    targets: (module) => named === undefined || endsOf(module).some((end) => named.has(end)),
    ranksOf(module) {
      const possible: number[] = [];
      for (const { plain, value } of ranks) {
        if (plain === undefined) possible.push(value);
        else if (plain.test(module)) return [...possible, value];
      }
      return [...possible, rank];
    },
    alphaOf,
    scaleOf: (module, own) => alphaOf(module) / (rankStabilised === true ? Math.sqrt(own) : own),
  };
}

interface Pattern {
  readonly text: string;
  /** Matches as `peft` does. Undefined with wildcards: those of a hostile file can take any time to match. */
  readonly plain: RegExp | undefined;
  readonly value: number;
}

/** A name whose dots may be escaped, and that may be held to the beginning: it matches in linear time. */
const isPlain = (pattern: string) => /^\^?(?:[\w.]|\\\.)+$/.test(pattern);

/** A module's name, and what follows each of its dots. */
function endsOf(module: string): string[] {
  const parts = module.split(".");
  return parts.map((_, i) => parts.slice(i).join("."));
}

function readObject(path: string): Readonly<Record<string, unknown>> {
  if (!existsSync(path)) {
    throw new GrokError("io", `${path}: not there, expected beside ${adapterFile}`, { path });
  }
  let content: unknown;
  try {
    const { size } = statSync(path);
    if (size > maxConfigBytes) {
      throw new GrokError("format", `${path}: ${size} bytes, expected at most ${maxConfigBytes}`, { path });
    }
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error instanceof GrokError) throw error;
    if (error instanceof SyntaxError)
      throw new GrokError("format", `${path}: not JSON: ${error.message}`, { path }, error);
    throw ioError("read", path, error);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new GrokError("format", `${path}: expected a JSON object`, { path });
  }
  return content as Readonly<Record<string, unknown>>;
}

/** A value in a message, which a hostile file must not make long, nor so deep that it cannot be written. */
function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  return typeof value === "string" ? JSON.stringify(value.slice(0, 100)) : String(value);
}
