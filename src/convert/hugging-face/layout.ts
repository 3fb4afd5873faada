import type { Metadata } from "../source.ts";
import type { Config } from "./config.ts";
import type { RopeDescription } from "./rope.ts";

/** A family of models as Hugging Face's layout has them: what its configuration means in a GGUF file, and how its tensors are called. */
export interface Layout {
  /** What it is, in words. */
  readonly kind: string;
  /** Whether a configuration is one of these, of a folder that has some tensors. */
  recognizes(architecture: string, has: (tensor: string) => boolean): boolean;
  /** @throws GrokError `format` or `unsupported` naming the field. */
  describe(config: Config, architecture: string): Description;
  /** Another name that the layout has for a tensor called so in the architecture's table. */
  rename?(name: string): string;
  /** Whether tensors are cut into parts, that follow one another in the order of the files' names. */
  readonly cut?: boolean;
}

export interface Description {
  /** As in `general.architecture`. */
  readonly architecture: string;
  /** Keys under the architecture's name, without it. */
  readonly metadata: Metadata;
  /** Whether the output matrix is the embedding. */
  readonly tied: boolean;
  readonly vocab: number;
  readonly rope?: RopeDescription;
  /** Whether there is a dense feed-forward block beside experts. */
  readonly dense?: boolean;
  /** What a file calls a tensor, where that is not the first of the table's names. */
  readonly spell?: (tensor: string) => string;
  /** A chat template that belongs to the model and to no file of it. */
  readonly chatTemplate?: string;
}

export const u32 = (key: string, value: number) => [key, { type: "u32", value }] as const;
export const f32 = (key: string, value: number) => [key, { type: "f32", value }] as const;

/** The measures that all decoders have, by the names that transformers has for them. */
export function describeMeasures(config: Config, defaults: { readonly kvHeads?: number } = {}) {
  const width = config.count("hidden_size", 1);
  const heads = config.count("num_attention_heads", 1);
  const kvHeads = config.count("num_key_value_heads", 1, defaults.kvHeads ?? heads);
  const ownSize = config.get("head_dim") !== undefined;
  if (!ownSize && width % heads !== 0) {
    throw config.fail("format", "num_attention_heads", `is ${heads}, which does not divide hidden_size ${width}`);
  }
  const headSize = ownSize ? config.count("head_dim", 2) : width / heads;
  const context = config.count("max_position_embeddings", 1);
  const vocab = config.count("vocab_size", 1);
  const metadata: Metadata = [
    u32("block_count", config.count("num_hidden_layers", 1)),
    u32("context_length", context),
    u32("embedding_length", width),
    u32("feed_forward_length", config.count("intermediate_size", 1)),
    u32("attention.head_count", heads),
    u32("attention.head_count_kv", kvHeads),
    ...(ownSize ? [u32("attention.key_length", headSize), u32("attention.value_length", headSize)] : []),
    u32("vocab_size", vocab),
    u32("rope.dimension_count", headSize),
  ];
  return { metadata, headSize, context, vocab };
}
