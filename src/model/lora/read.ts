import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { ioError } from "../../bytes/io-error.ts";
import { GrokError } from "../../errors.ts";
import type { Dtype } from "../../formats/safetensors/dtypes.ts";
import { openSafetensors, type SafetensorsEntry } from "../../formats/safetensors/file.ts";
import { readConfig } from "../config.ts";
import type { ModelFile } from "../model.ts";
import { permutedRow } from "../tensors.ts";
import type { LoraAdapter, LowRankTerm } from "./adapter.ts";
import { type AdapterConfig, adapterConfigFile, adapterFile, readAdapterConfig } from "./config.ts";
import { type LoraModule, listModules } from "./modules.ts";

/**
 * Reads an adapter in the layout of Python's `peft` for a model: a folder with `adapter_model.safetensors` and
 * `adapter_config.json`, or the path of the former. Ranks may differ between matrices (`rank_pattern`), alphas too where
 * `alpha_pattern` names modules without wildcards; `use_rslora` is followed. Tensors must be what the configuration says.
 *
 * @throws GrokError `io`, `format` (damaged, half a pair missing, no target), `shape` (of another model, or another rank than the
 * configuration's), `unsupported` naming what grok1 does not run: DoRA, biases, modules saved whole, embeddings.
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
      if (!config.targets(name)) {
        throw new GrokError("format", `${file}: ${name} is none of the target_modules of ${config.path}`, {
          path: file,
          module: name,
        });
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
  const ranks = config.ranksOf(target.module);
  if (!ranks.includes(rank)) {
    throw new GrokError(
      "shape",
      `${path}: tensor ${a.name} has rank ${rank}, and ${config.path} says ${ranks.join(" or ")}`,
      { path, tensor: a.name, expected: ranks, found: rank },
    );
  }
  const values = floats(path, b);
  let ordered = values;
  if (target.permutedHeads !== undefined) {
    ordered = new Float32Array(values.length);
    for (let row = 0; row < target.out; row++) {
      const from = permutedRow(row, headSize) * rank;
      ordered.set(values.subarray(from, from + rank), row * rank);
    }
  }
  const scale = config.scaleOf(target.module, rank);
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
