import { closeSync, existsSync, readSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ioError } from "../../bytes/io-error.ts";
import { openRegular } from "../../bytes/regular-file.ts";
import { GrokError } from "../../errors.ts";
import type { Dtype } from "../../formats/safetensors/dtypes.ts";
import { openSafetensors, type SafetensorsEntry } from "../../formats/safetensors/file.ts";
import { readConfig } from "../config.ts";
import type { ModelFile } from "../model.ts";
import { permutedRow } from "../tensors.ts";
import { checkFinite, checkScaled, type LoraAdapter, type LowRankTerm } from "./adapter.ts";
import { type AdapterConfig, adapterConfigFile, adapterFile, readAdapterConfig } from "./config.ts";
import { noTarget, readGgufAdapter } from "./gguf.ts";
import { type LoraModule, listModules } from "./modules.ts";

/**
 * Reads an adapter for a model: a folder with `adapter_model.safetensors` and `adapter_config.json`, as Python's `peft` writes it, or the
 * path of the former; or a GGUF adapter, as llama.cpp's converter writes it. Of `peft`'s, ranks and alphas may differ between matrices
 * (`rank_pattern`, `alpha_pattern`) and `use_rslora` is followed; tensors must be what the configuration says.
 *
 * @throws GrokError `io`, `format` (damaged, half a pair missing, no target), `shape` (of another model, or another rank than the
 * configuration's), `unsupported` naming what grok1 does not run: other kinds of adapters and files, DoRA, biases, modules saved whole,
 * embeddings.
 */
export function readAdapter(path: string, model: ModelFile): LoraAdapter {
  const file = findAdapter(path);
  return isGguf(file) ? readGgufAdapter(file, model) : readPeftAdapter(file, model);
}

/** What other programs leave in an adapter's folder, and what to do with it. */
const otherFiles: Readonly<Record<string, string>> = {
  "adapters.safetensors": "an adapter of MLX: fuse it into its model with mlx_lm.fuse and convert that",
  "adapter_model.bin": "an adapter as a Python pickle: load it with peft and save it again, which writes safetensors",
  "adapter_model.pt": "an adapter as a Python pickle: load it with peft and save it again, which writes safetensors",
};

/** The files that `readAdapter` reads of this path. @throws GrokError as that */
export function adapterFiles(path: string): string[] {
  const file = findAdapter(path);
  return isGguf(file) ? [file] : [file, join(dirname(file), adapterConfigFile)];
}

function findAdapter(path: string): string {
  const other = (file: string, what: string) => new GrokError("unsupported", `${file}: ${what}`, { path: file });
  const known = otherFiles[basename(path)];
  if (!isFolder(path)) {
    if (known !== undefined) throw other(path, known);
    return path;
  }
  const file = join(path, adapterFile);
  if (existsSync(file)) return file;
  for (const [name, what] of Object.entries(otherFiles)) {
    if (existsSync(join(path, name))) throw other(join(path, name), what);
  }
  throw new GrokError("io", `${file}: not there: the folder holds no adapter`, { path: file });
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw ioError("read", path, error);
  }
}

/**
 * By its first bytes.
 * @throws GrokError `unsupported` for a pickle, or the archive that torch makes of one; `format` for what is neither GGUF nor safetensors.
 */
function isGguf(path: string): boolean {
  const { fd } = openRegular(path);
  const head = Buffer.alloc(9);
  let length = 0;
  try {
    length = readSync(fd, head, 0, head.length, 0);
  } catch (error) {
    throw ioError("read", path, error);
  } finally {
    closeSync(fd);
  }
  if (
    head.toString("latin1", 0, 4) === "PK\x03\x04" ||
    (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5 && head[2] !== 0)
  ) {
    throw new GrokError("unsupported", `${path}: ${otherFiles["adapter_model.bin"]}`, { path });
  }
  if (head.toString("latin1", 0, 4) === "GGUF") return true;
  // Safetensors begins with the length of its header, in eight bytes, and with the brace that opens it.
  if (length >= 9 && head[8] === 0x7b) return false;
  const begins =
    length === 0 ? "it is empty" : `it begins with ${JSON.stringify(head.toString("latin1", 0, Math.min(4, length)))}`;
  throw new GrokError("format", `${path}: not an adapter: ${begins}, expected safetensors or GGUF`, { path });
}

function readPeftAdapter(file: string, model: ModelFile): LoraAdapter {
  const config = readAdapterConfig(join(dirname(file), adapterConfigFile));
  const { headSize } = readConfig(model);
  const modules = new Map(listModules(model).map((module) => [module.module, module]));
  const opened = openSafetensors(file);
  try {
    const pairs = new Map<string, { a?: SafetensorsEntry; b?: SafetensorsEntry }>();
    for (const [name, entry] of opened.entries) {
      const match = /^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(name);
      if (match === null) throw foreignTensor(file, name);
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
      if (target === undefined) throw noTarget(file, name, model);
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

/** A tensor that is no factor of a matrix: named for what it is, where that is known. */
function foreignTensor(path: string, name: string): GrokError {
  const kinds: [RegExp, string][] = [
    [/lora_embedding_[AB]/, "belongs to an adapter of the embedding, which grok1 does not run"],
    [/lora_magnitude_vector/, "belongs to a DoRA adapter, which grok1 does not run"],
    [
      /\.modules_to_save\.|^(?:base_model\.model\.)?(?:lm_head|model\.embed_tokens)\.weight$/,
      "is a matrix that was trained as a whole (modules_to_save), which grok1 does not run: merge the adapter into its base with peft and convert that",
    ],
    [/\.lora_[ab]$/, "is named as MLX names it: fuse the adapter into its model with mlx_lm.fuse and convert that"],
    [/\.bias$/, "is a bias, which grok1 does not run in adapters"],
  ];
  const kind = kinds.find(([pattern]) => pattern.test(name))?.[1];
  return new GrokError(
    "unsupported",
    `${path}: tensor ${name} ${kind ?? "is no part of a low-rank adapter that grok1 runs"}`,
    { path, tensor: name },
  );
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
  const expected = config.rankOf(target.module);
  if (rank !== expected) {
    throw new GrokError("shape", `${path}: tensor ${a.name} has rank ${rank}, and ${config.path} says ${expected}`, {
      ...{ path, tensor: a.name, expected, found: rank },
    });
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
  const scale = config.scaleOf(target.module);
  checkScaled(path, b.name, values, scale);
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

function floats(path: string, entry: SafetensorsEntry): Float32Array {
  if (!floatTypes.includes(entry.dtype)) {
    throw new GrokError(
      "unsupported",
      `${path}: tensor ${entry.name} is of dtype ${entry.dtype}, expected ${floatTypes.join(", ")}`,
      { path, tensor: entry.name, dtype: entry.dtype },
    );
  }
  return checkFinite(path, entry.name, Float32Array.from(entry.values() as ArrayLike<number>));
}
