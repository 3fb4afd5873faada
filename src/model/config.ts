import { counted, GrokError } from "../errors.ts";
import type { ModelConfig, ModelFile } from "./model.ts";

/** A file's metadata under its architecture's prefix. */
export interface Settings {
  readonly architecture: string;
  has(key: string): boolean;
  string(key: string, fallback?: string): string;
  /** A number that stays one in 32 bits. @throws GrokError `format` for anything else. */
  number(key: string, range: "any" | "from 0" | "above 0", fallback?: number): number;
  /** A whole number from `least` to `most`. @throws GrokError `format` for anything else. */
  count(key: string, range: { readonly least: number; readonly most: number }, fallback?: number): number;
}

/** @throws GrokError `format` when the file does not say what architecture it is. */
export function settingsOf(file: ModelFile): Settings {
  const { metadata, path } = file;
  const architecture = metadata.string("general.architecture");
  const full = (key: string) => `${architecture}.${key}`;
  const read = (key: string, fallback?: number) =>
    fallback === undefined ? metadata.number(full(key)) : metadata.number(full(key), fallback);
  const wrong = (key: string, value: number, expected: string) =>
    new GrokError("format", `${path}: ${full(key)} is ${value}, expected ${expected}`, {
      ...{ path, key: full(key), found: value },
    });
  return {
    architecture,
    has: (key) => metadata.get(full(key)) !== undefined,
    string: (key, fallback) =>
      fallback === undefined ? metadata.string(full(key)) : metadata.string(full(key), fallback),
    number(key, range, fallback) {
      const value = read(key, fallback);
      const single = Math.fround(value);
      if (Number.isFinite(single) && (range === "any" || (range === "from 0" ? value >= 0 : single > 0))) return value;
      throw wrong(key, value, range === "any" ? "a finite number" : `a finite number ${range}`);
    },
    count(key, { least, most }, fallback) {
      const value = read(key, fallback);
      if (Number.isSafeInteger(value) && least <= value && value <= most) return value;
      throw wrong(key, value, `a whole number from ${least} to ${most}`);
    },
  };
}

/**
 * The most that a file is believed, of what memory or time is taken for before tensors are looked at: some ten times the largest
 * published model's.
 */
const most = {
  ...{
    layers: 4096,
    experts: 4096,
    width: 2 ** 20,
    heads: 2 ** 14,
    headSize: 2 ** 14,
    hidden: 2 ** 26,
    context: 2 ** 31 - 1,
  },
  /** Experts of all layers together: Kimi K2 has 23,424. */
  matrices: 2 ** 17,
};
const upTo = (limit: number) => ({ least: 1, most: limit });

/**
 * The measures that every decoder here has, from metadata alone. The vocabulary is the embedding's rows, which count where a
 * tokenizer's list is shorter, or the output matrix's.
 * @throws GrokError `format` for missing or impossible values, `shape` without an embedding, `unsupported` when keys and values
 * differ in size.
 */
export function readConfig(file: ModelFile): ModelConfig {
  const settings = settingsOf(file);
  const { path } = file;
  const width = settings.count("embedding_length", upTo(most.width));
  const heads = settings.count("attention.head_count", upTo(most.heads));
  const kvHeads = settings.count("attention.head_count_kv", upTo(most.heads), heads);
  const headSize = settings.has("attention.key_length")
    ? settings.count("attention.key_length", upTo(most.headSize))
    : Math.floor(width / heads);
  const valueSize = settings.count("attention.value_length", upTo(most.headSize), headSize);
  if (valueSize !== headSize) {
    throw new GrokError("unsupported", `${path}: values of ${valueSize} beside keys of ${headSize} elements a head`, {
      path,
      headSize,
      valueSize,
    });
  }
  if (heads % kvHeads !== 0) {
    throw new GrokError("format", `${path}: ${heads} query heads do not share ${kvHeads} key/value heads evenly`, {
      path,
      heads,
      kvHeads,
    });
  }
  const experts = settings.count("expert_count", { least: 0, most: most.experts }, 0);
  const used = settings.count("expert_used_count", { least: 0, most: most.experts }, 0);
  if (used > experts || (experts > 0 && used === 0)) {
    throw new GrokError("format", `${path}: ${used} of ${counted(experts, "expert")} used a token`, {
      path,
      experts,
      used,
    });
  }
  const layers = settings.count("block_count", upTo(most.layers));
  if (layers * experts > most.matrices) {
    throw new GrokError(
      "format",
      `${path}: ${counted(experts, "expert")} in each of ${counted(layers, "layer")}, expected fewer`,
      {
        ...{ path, experts, layers },
      },
    );
  }
  const hidden = settings.count("feed_forward_length", upTo(most.hidden));
  const context = settings.count("context_length", upTo(most.context));
  const window = settings.count("attention.sliding_window", { least: 0, most: most.context }, 0);
  // A file of some layers alone may have neither.
  const embedding = file.tensors.get("token_embd.weight") ?? file.tensors.get("output.weight");
  if (embedding === undefined ? !settings.has("vocab_size") : embedding.shape.length !== 2) {
    throw new GrokError(
      "shape",
      `${path}: tensor token_embd.weight is missing, expected one of shape [vocab, ${width}]`,
      {
        path,
        tensor: "token_embd.weight",
      },
    );
  }
  return {
    architecture: settings.architecture,
    layers,
    width,
    vocab: embedding?.shape[0] ?? settings.count("vocab_size", upTo(2 ** 31 - 1)),
    // A model with sliding windows equals one without as long as a sequence fits into the window.
    contextLength: window > 0 ? Math.min(context, window) : context,
    heads,
    kvHeads,
    headSize,
    hidden,
    experts,
    used,
    expertHidden: experts > 0 ? settings.count("expert_feed_forward_length", upTo(most.hidden), hidden) : 0,
  };
}

/** Rotated dimensions of a head. @throws GrokError `format` for an odd number, or more than there are. */
export function readRotaryDims(file: ModelFile, headSize: number): number {
  const settings = settingsOf(file);
  const key = "rope.dimension_count";
  const dims = settings.count(key, { least: 2, most: Math.max(2, headSize) }, headSize);
  if (dims % 2 === 0 && dims <= headSize) return dims;
  throw new GrokError(
    "format",
    `${file.path}: ${settings.architecture}.${key} is ${dims} in heads of ${headSize}, expected an even number up to that`,
    { ...{ path: file.path, dims, headSize } },
  );
}
