import { GrokError } from "../errors.ts";
import type { ModelConfig, ModelFile } from "./model.ts";

/** A file's metadata under its architecture's prefix. */
export interface Settings {
  readonly architecture: string;
  has(key: string): boolean;
  string(key: string, fallback?: string): string;
  number(key: string, fallback?: number): number;
  /** A whole number of at least `least`, below 2^31. @throws GrokError `format` for anything else. */
  count(key: string, least: number, fallback?: number): number;
}

/** @throws GrokError `format` when the file does not say what architecture it is. */
export function settingsOf(file: ModelFile): Settings {
  const { metadata, path } = file;
  const architecture = metadata.string("general.architecture");
  const full = (key: string) => `${architecture}.${key}`;
  const number = (key: string, fallback?: number) =>
    fallback === undefined ? metadata.number(full(key)) : metadata.number(full(key), fallback);
  return {
    architecture,
    has: (key) => metadata.get(full(key)) !== undefined,
    string: (key, fallback) =>
      fallback === undefined ? metadata.string(full(key)) : metadata.string(full(key), fallback),
    number,
    count(key, least, fallback) {
      const value = number(key, fallback);
      if (!Number.isSafeInteger(value) || value < least || value >= 2 ** 31) {
        throw new GrokError(
          "format",
          `${path}: ${full(key)} is ${value}, expected a whole number of at least ${least}, below 2^31`,
          {
            path,
            key: full(key),
            found: value,
          },
        );
      }
      return value;
    },
  };
}

/**
 * The measures that every decoder here has, from metadata alone. The vocabulary is the embedding's rows, which count where a
 * tokenizer's list is shorter, or the output matrix's.
 * @throws GrokError `format` for missing or impossible values, `shape` without an embedding, `unsupported` when keys and values
 * differ in size.
 */
export function readConfig(file: ModelFile): ModelConfig {
  const settings = settingsOf(file);
  const { path } = file;
  const width = settings.count("embedding_length", 1);
  const heads = settings.count("attention.head_count", 1);
  const kvHeads = settings.count("attention.head_count_kv", 1, heads);
  const headSize = settings.has("attention.key_length")
    ? settings.count("attention.key_length", 1)
    : Math.floor(width / heads);
  const valueSize = settings.count("attention.value_length", 1, headSize);
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
  const experts = settings.count("expert_count", 0, 0);
  const used = settings.count("expert_used_count", 0, 0);
  if (used > experts || (experts > 0 && used === 0)) {
    throw new GrokError("format", `${path}: ${used} of ${experts} experts used a token`, { path, experts, used });
  }
  const hidden = settings.count("feed_forward_length", 1);
  const context = settings.count("context_length", 1);
  const window = settings.count("attention.sliding_window", 0, 0);
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
    layers: settings.count("block_count", 1),
    width,
    vocab: embedding?.shape[0] ?? settings.count("vocab_size", 1),
    // A model with sliding windows equals one without as long as a sequence fits into the window.
    contextLength: window > 0 ? Math.min(context, window) : context,
    heads,
    kvHeads,
    headSize,
    hidden,
    experts,
    used,
    expertHidden: experts > 0 ? settings.count("expert_feed_forward_length", 1, hidden) : 0,
  };
}
