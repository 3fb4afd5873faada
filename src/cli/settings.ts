import { type Command, InvalidArgumentError, Option } from "commander";
import { defaultSamplingOptions } from "../sampling/options.ts";
import { usageError } from "./exit.ts";
import { languageNames } from "./messages.ts";
import { anyText, choice, integer, number, path, type Reader, text } from "./values.ts";

/**
 * Options that can also come from the environment and from the config file. A flag wins over the variable, the
 * variable over the file, the file over the default. Names follow from one another: `--top-k`, GROK1_TOP_K, `"topK"`.
 */
interface Setting {
  readonly flags: string;
  readonly description: string;
  /** Absent: a switch, whose variable counts when set and whose entry in the file is true or false. */
  readonly read?: Reader;
  /** What holds when nobody says anything, for `--help`. */
  readonly usually: string;
}

const settings = {
  model: {
    flags: "-m, --model <file>",
    description: "model file (GGUF)",
    read: path(),
    usually: "the package's own, where there is one",
  },
  backend: {
    flags: "--backend <name>",
    description: "what computes: auto, native, reference",
    read: choice("auto", "native", "reference"),
    usually: "auto",
  },
  threads: {
    flags: "-t, --threads <n>",
    description: "threads that compute",
    read: integer(1, 1024),
    usually: "the physical cores",
  },
  isa: {
    flags: "--isa <name>",
    description: "instruction set of the kernels, of those that grok1 doctor lists",
    read: text(),
    usually: "the best of the processor",
  },
  context: {
    flags: "-c, --context <tokens>",
    description: "tokens that fit, prompt and answer together",
    read: integer(8, 2 ** 24),
    usually: "the model's own, at most 8192",
  },
  kvType: {
    flags: "--kv-type <type>",
    description: "element type of the key/value cache: f32, f16, q8_0, q4_0",
    read: choice("f32", "f16", "q8_0", "q4_0"),
    usually: "f16; f32 on the reference backend",
  },
  speculation: {
    flags: "--no-speculation",
    description: "compute one token at a time, also where the text repeats itself; the text is the same",
    usually: "several at a time where it pays",
  },
  chatTemplate: {
    flags: "--chat-template <file>",
    description: "Jinja chat template to use in place of the model's own",
    read: path(),
    usually: "the model's own",
  },
  system: {
    flags: "--system <text>",
    description: "system message: how to behave",
    read: anyText(),
    usually: "none",
  },
  lang: {
    flags: "--lang <language>",
    description: `language of the chat's own texts: ${languageNames.join(", ")}`,
    read: choice(...languageNames),
    usually: "by locale",
  },
  history: {
    flags: "--no-history",
    description: "do not keep the lines typed for the next time",
    usually: "they are kept",
  },
  maxTokens: {
    flags: "-n, --max-tokens <n>",
    description: "most tokens to generate; 0 only reads the prompt",
    read: integer(0, 2 ** 31 - 1),
    usually: "until the context is full",
  },
  temperature: {
    flags: "--temperature <t>",
    description: "0 takes the most probable token each time; higher is more varied",
    read: number(0, 100),
    usually: String(defaultSamplingOptions.temperature),
  },
  topK: {
    flags: "--top-k <k>",
    description: "only the k most probable tokens; 0: all",
    read: integer(0),
    usually: String(defaultSamplingOptions.topK),
  },
  topP: {
    flags: "--top-p <p>",
    description: "only the most probable tokens that together reach p; 1: all",
    read: number(0, 1),
    usually: String(defaultSamplingOptions.topP),
  },
  minP: {
    flags: "--min-p <p>",
    description: "only tokens at least p times as probable as the best; 0: all",
    read: number(0, 1),
    usually: String(defaultSamplingOptions.minP),
  },
  typicalP: {
    flags: "--typical-p <p>",
    description: "only the most typical tokens that together reach p; 1: all",
    read: number(0, 1),
    usually: String(defaultSamplingOptions.typicalP),
  },
  repetitionPenalty: {
    flags: "--repetition-penalty <x>",
    description: "divides the score of tokens that occurred; 1: none",
    read: number(0.01, 100),
    usually: String(defaultSamplingOptions.repetitionPenalty),
  },
  frequencyPenalty: {
    flags: "--frequency-penalty <x>",
    description: "lowers a token's score by this for each time it occurred; 0: none",
    read: number(-2, 2),
    usually: String(defaultSamplingOptions.frequencyPenalty),
  },
  presencePenalty: {
    flags: "--presence-penalty <x>",
    description: "lowers the score of tokens that occurred by this; 0: none",
    read: number(-2, 2),
    usually: String(defaultSamplingOptions.presencePenalty),
  },
  penaltyWindow: {
    flags: "--penalty-window <n>",
    description: "how many of the last tokens the three penalties look at; -1: all",
    read: integer(-1),
    usually: String(defaultSamplingOptions.penaltyWindow),
  },
  seed: {
    flags: "--seed <n>",
    description: "makes a run repeatable: same seed, same text",
    read: integer(0),
    usually: "another one each time",
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settings;

export const samplingSettings = [
  "temperature",
  "topK",
  "topP",
  "minP",
  "typicalP",
  "repetitionPenalty",
  "frequencyPenalty",
  "presencePenalty",
  "penaltyWindow",
  "seed",
] as const satisfies readonly SettingName[];

export const engineSettings = [
  "backend",
  "threads",
  "isa",
  "context",
  "kvType",
] as const satisfies readonly SettingName[];

/** Options that {@link addSettings} made; another option of the same name is not a setting. */
const madeHere = new WeakSet<Option>();

function variableOf(option: Option): string {
  return `GROK1_${option.name().replaceAll("-", "_").toUpperCase()}`;
}

/** Reads a setting's value from text. @throws InvalidArgumentError saying what was expected. */
export function readSetting(name: SettingName, value: string): unknown {
  const setting: Setting = settings[name];
  if (setting.read) return setting.read(value);
  if (value !== "true" && value !== "false") throw new InvalidArgumentError("Expected true or false.");
  return value === "true";
}

/** What holds where nobody says anything, in parentheses, where that is a number. */
export function usualNumber(name: SettingName): string | undefined {
  const { usually } = settings[name];
  return Number.isNaN(Number(usually)) ? undefined : `(${usually})`;
}

/** Adds settings to a command, in the order given. */
export function addSettings(command: Command, names: readonly SettingName[]): Command {
  for (const name of names) {
    const setting: Setting = settings[name];
    const option = new Option(setting.flags, setting.description);
    const variable = variableOf(option);
    option.env(variable);
    if (setting.read) option.argParser(setting.read);
    option.description = `${setting.description} (${[setting.usually && `default: ${setting.usually}`, `env: ${variable}`, `config: ${name}`].filter(Boolean).join(", ")})`;
    madeHere.add(option);
    command.addOption(option);
  }
  return command;
}

/**
 * Fills in from the config file what neither flag nor environment said.
 * @throws GrokError `argument` for an entry that no command knows, or whose value is out of its range.
 */
export function applyConfig(command: Command, config: ReadonlyMap<string, unknown>, path: string): void {
  for (const [key, value] of config) {
    if (!Object.hasOwn(settings, key)) {
      throw usageError(`${path}: there is no setting "${key}"; known are ${Object.keys(settings).join(", ")}`);
    }
    let read: unknown;
    try {
      read = readSetting(key as SettingName, String(value));
    } catch (error) {
      if (error instanceof InvalidArgumentError) throw usageError(`${path}: "${key}": ${value}: ${error.message}`);
      throw error;
    }
    if (!command.options.some((option) => option.attributeName() === key && madeHere.has(option))) continue;
    const source = command.getOptionValueSource(key);
    if (source !== undefined && source !== "default") continue;
    command.setOptionValueWithSource(key, read, "config");
    configFiles.set(command, path);
  }
}

/** Where the values of source "config" came from. */
const configFiles = new WeakMap<Command, string>();

function optionOf(command: Command, name: string): Option | undefined {
  return command.options.find((option) => option.attributeName() === name);
}

/** The long flag of an option. */
export function flagOf(command: Command, name: string): string {
  return optionOf(command, name)?.long ?? name;
}

/** Whether an option's value was typed, and not found in the environment or the config file. */
export function isGiven(command: Command, name: string): boolean {
  return command.getOptionValueSource(name) === "cli";
}

/** An option's value by the name that it was given under: `--beams 3`, `GROK1_SEED=9`, `"seed": 9 in config.json`. */
export function describeSource(command: Command, name: string): string {
  const value: unknown = command.getOptionValue(name);
  const named = nameSource(command, name);
  const source = command.getOptionValueSource(name);
  if (source === "env") return `${named}=${value}`;
  if (source === "config") return `"${name}": ${JSON.stringify(value)} in ${configFiles.get(command)}`;
  return value === true ? named : `${named} ${value}`;
}

/** What a person knows an option by: its flag, its variable, or the config file and its entry there. */
export function nameSource(command: Command, name: string): string {
  const source = command.getOptionValueSource(name);
  const option = optionOf(command, name);
  if (source === "env" && option?.envVar !== undefined) return option.envVar;
  if (source === "config") return `${configFiles.get(command)}: "${name}"`;
  return flagOf(command, name);
}

/** Takes back what the environment or the config file said; whether they had said something. */
export function dropSetting(command: Command, name: string): boolean {
  const source = command.getOptionValueSource(name);
  if (source !== "env" && source !== "config") return false;
  command.setOptionValueWithSource(name, optionOf(command, name)?.defaultValue, "default");
  return true;
}
