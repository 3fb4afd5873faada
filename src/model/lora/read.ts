import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { ioError } from "../../bytes/io-error.ts";
import { GrokError } from "../../errors.ts";
import type { Dtype } from "../../formats/safetensors/dtypes.ts";
import { openSafetensors, type SafetensorsEntry } from "../../formats/safetensors/file.ts";
import { readConfig } from "../config.ts";
import type { ModelFile } from "../model.ts";
import type { LoraAdapter, LowRankTerm } from "./adapter.ts";
import { type LoraModule, listModules, permutedRow } from "./modules.ts";

export const adapterFile = "adapter_model.safetensors";
export const adapterConfigFile = "adapter_config.json";

/** What an adapter's `adapter_config.json` says that counts here. */
interface AdapterConfig {
  readonly alpha: number;
  readonly rankStabilised: boolean;
  readonly alphas: readonly (readonly [module: string, alpha: number])[];
}

/**
 * Reads an adapter in the layout of Python's `peft` for a model: a folder with `adapter_model.safetensors` and
 * `adapter_config.json`, or the path of the former. Ranks may differ between matrices (`rank_pattern`), alphas too where
 * `alpha_pattern` names modules without wildcards; `use_rslora` is followed.
 *
 * @throws GrokError `io`, `format` (damaged, half a pair missing), `shape` (of another model), `unsupported` naming what
 * grok1 does not run: DoRA, biases, modules saved whole, embeddings.
 */
export function readAdapter(path: string, model: ModelFile): LoraAdapter {
  const file = isFolder(path) ? join(path, adapterFile) : path;
  const config = readAdapterConfig(join(dirname(file), adapterConfigFile));
  const { headSize } = readConfig(model);
  const modules = new Map(listModules(model).map((module) => [module.module, module]));
  const opened = openSafetensors(file);
  try {
    const pairs = new Map<string, { a?: SafetensorsEntry; b?: SafetensorsEntry }>();
    for (const [name, entry] of opened.entries) {
      const match = /^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(name);
      if (match === null) {
        throw new GrokError("unsupported", `${file}: tensor ${name} is no part of a low-rank adapter that grok1 runs`, {
          path: file,
          tensor: name,
        });
      }
      const pair = pairs.get(match[1]!) ?? {};
      const part = match[2] === "A" ? "a" : "b";
      if (pair[part] !== undefined) {
        throw new GrokError("format", `${file}: ${name} and ${pair[part].name} are the same matrix`, {
          path: file,
          tensor: name,
        });
      }
      pair[part] = entry;
      pairs.set(match[1]!, pair);
    }
    if (pairs.size === 0) throw new GrokError("format", `${file}: there is no adapter in the file`, { path: file });
    const terms = [...pairs].map(([name, { a, b }]): LowRankTerm => {
      const target = modules.get(name);
      if (target === undefined) {
        throw new GrokError(
          "shape",
          `${file}: ${name} is not a matrix of ${model.path} that an adapter can belong to`,
          {
            path: file,
            module: name,
            model: model.path,
          },
        );
      }
      if (a === undefined || b === undefined) {
        const missing = a === undefined ? "lora_A" : "lora_B";
        throw new GrokError("format", `${file}: ${name} lacks its ${missing}`, { path: file, module: name });
      }
      return readTerm(file, target, a, b, config, headSize);
    });
    return { path: file, terms };
  } finally {
    opened.close();
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw ioError("read", path, error);
  }
}

function readTerm(
  path: string,
  target: LoraModule,
  a: SafetensorsEntry,
  b: SafetensorsEntry,
  config: AdapterConfig,
  headSize: number,
): LowRankTerm {
  const rank = a.shape[0] ?? 0;
  checkShape(path, a, [Math.max(1, rank), target.in]);
  checkShape(path, b, [target.out, Math.max(1, rank)]);
  const alpha = config.alphas.find(([name]) => isNamed(target.module, name))?.[1] ?? config.alpha;
  const values = floats(path, b);
  let ordered = values;
  if (target.permutedHeads !== undefined) {
    ordered = new Float32Array(values.length);
    for (let row = 0; row < target.out; row++) {
      const from = permutedRow(row, headSize) * rank;
      ordered.set(values.subarray(from, from + rank), row * rank);
    }
  }
  const scale = alpha / (config.rankStabilised ? Math.sqrt(rank) : rank);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (!Number.isFinite(Math.fround(scale * largest))) {
    throw new GrokError(
      "format",
      `${path}: tensor ${b.name} times its scale ${scale} leaves the range of 32-bit floats`,
      {
        path,
        tensor: b.name,
        scale,
      },
    );
  }
  return { target, rank, scale, a: floats(path, a), b: ordered };
}

/** Far above any in use: with an alpha for each of ten thousand matrices it has less than one million. */
const maxConfigBytes = 16_000_000;

const isNamed = (module: string, name: string) => module === name || module.endsWith(`.${name}`);

function checkShape(path: string, { name, shape }: SafetensorsEntry, expected: readonly number[]): void {
  if (shape.length === 2 && shape.every((n, axis) => n === expected[axis])) return;
  throw new GrokError(
    "shape",
    `${path}: tensor ${name} has shape [${shape.join(", ")}], expected [${expected.join(", ")}]`,
    { path, tensor: name, expected, found: shape },
  );
}

const floatTypes: readonly Dtype[] = ["F16", "BF16", "F32", "F64"];

/** A value that is no number, or none in 32 bits, would make every answer fail. */
function floats(path: string, entry: SafetensorsEntry): Float32Array {
  if (!floatTypes.includes(entry.dtype)) {
    throw new GrokError(
      "unsupported",
      `${path}: tensor ${entry.name} is of dtype ${entry.dtype}, expected ${floatTypes.join(", ")}`,
      { path, tensor: entry.name, dtype: entry.dtype },
    );
  }
  const values = Float32Array.from(entry.values() as ArrayLike<number>);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return values;
  throw new GrokError("format", `${path}: tensor ${entry.name}: value ${bad} is ${values[bad]}`, {
    path,
    tensor: entry.name,
    index: bad,
  });
}

function readAdapterConfig(path: string): AdapterConfig {
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
  const config = content as Readonly<Record<string, unknown>>;
  const refuse = (what: string): never => {
    throw new GrokError("unsupported", `${path}: ${what}, which grok1 does not run`, { path });
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
  const number = (key: string, value: unknown): number => {
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw new GrokError("format", `${path}: ${key} is ${shown(value)}, expected a number`, { path, key });
  };
  const alphas = Object.entries((config.alpha_pattern ?? {}) as Readonly<Record<string, unknown>>).map(
    ([name, value]): [string, number] => {
      if (!/^[\w.]+$/.test(name)) refuse(`alpha_pattern has ${shown(name)}, a pattern with wildcards`);
      return [name, number(`alpha_pattern of ${name}`, value)];
    },
  );
  return { alpha: number("lora_alpha", config.lora_alpha), rankStabilised: config.use_rslora === true, alphas };
}

/** A value in a message, which a hostile file must not make long, nor so deep that it cannot be written. */
function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  return typeof value === "string" ? JSON.stringify(value.slice(0, 100)) : String(value);
}
