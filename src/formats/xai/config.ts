import { readJsonObject } from "../../bytes/whole-file.ts";
import { GrokError, shown } from "../../errors.ts";
import { countEdits, nearestName } from "../../options.ts";

/**
 * What tensors do not tell of a model, in xAI's names (`LanguageModelConfig` and `TransformerConfig` of xai-org/grok-1, model.py), and what
 * they do, to be held against them.
 */
export interface XaiConfig {
  readonly name?: string;
  readonly key_size?: number;
  readonly num_q_heads?: number;
  readonly num_kv_heads?: number;
  readonly num_layers?: number;
  readonly num_experts?: number;
  readonly num_selected_experts?: number;
  readonly emb_size?: number;
  readonly model_size?: number;
  readonly vocab_size?: number;
  readonly widening_factor?: number;
  readonly sequence_len?: number;
  readonly embedding_multiplier_scale?: number;
  readonly output_multiplier_scale?: number;
  readonly attn_output_multiplier?: number;
}

/** Grok-1's (run.py). */
export const grok1Config = {
  key_size: 128,
  num_selected_experts: 2,
  sequence_len: 8192,
  embedding_multiplier_scale: 78.38367176906169,
  output_multiplier_scale: 0.5773502691896257,
  attn_output_multiplier: 0.08838834764831845,
} as const satisfies XaiConfig;

const counts = [
  ...["key_size", "num_q_heads", "num_kv_heads", "num_layers", "num_experts", "num_selected_experts"],
  ...["emb_size", "model_size", "vocab_size", "sequence_len"],
] as const;
const numbers = [
  ...["widening_factor", "embedding_multiplier_scale", "output_multiplier_scale", "attn_output_multiplier"],
] as const;

/** All members of both classes. */
const members = [
  ...[...counts, ...numbers, "name", "model", "pad_token", "eos_token", "embedding_init_scale", "fprop_dtype"],
  ...["model_type", "init_scale_override", "shard_embeddings", "capacity_factor", "init_scale", "shard_activations"],
  ...["data_axis", "model_axis"],
];

/** By what transformers calls them. */
const otherNames: Readonly<Record<string, string>> = {
  ...{ head_dim: "key_size", num_attention_heads: "num_q_heads", num_key_value_heads: "num_kv_heads" },
  ...{ num_hidden_layers: "num_layers", hidden_size: "emb_size", max_position_embeddings: "sequence_len" },
  ...{ num_local_experts: "num_experts", num_experts_per_tok: "num_selected_experts" },
};

/** A name that is nearly a member's, or another program's for it: to pass it over would leave Grok-1's value in its place. */
function meantBy(key: string): string | undefined {
  if (members.includes(key)) return undefined;
  if (Object.hasOwn(otherNames, key)) return otherNames[key];
  const nearest = nearestName(key, members);
  return countEdits(key.toLowerCase(), nearest) <= 2 ? nearest : undefined;
}

const mostConfigBytes = 2 ** 20;

/**
 * Reads a `config.json`: the members of both classes, side by side or with the transformer's under `model`, as in xAI's code. Members that
 * are not needed here are passed over, and what is none of either.
 * @throws GrokError `io`, `format` naming the member, also one that is misspelt or has the name of another program.
 */
export function readXaiConfig(path: string): XaiConfig {
  const outer = readJsonObject(path, mostConfigBytes);
  const fail = (key: string, value: unknown, expected: string): never => {
    throw new GrokError("format", `${path}: ${key} is ${shown(value)}, expected ${expected}`, { path, key });
  };
  const inner = outer.model ?? {};
  if (typeof inner !== "object" || inner === null || Array.isArray(inner)) fail("model", inner, "an object");
  const given = new Map<string, unknown>(Object.entries(inner as object));
  for (const [key, value] of Object.entries(outer)) {
    if (key === "model") continue;
    const known = given.get(key);
    if (known !== undefined && known !== null && known !== value) fail(key, value, `${shown(known)} as in model`);
    given.set(key, value);
  }
  for (const key of given.keys()) {
    const meant = meantBy(key);
    if (meant === undefined) continue;
    throw new GrokError("format", `${path}: ${key} is no name of xAI's, whose own is ${meant}`, { path, key, meant });
  }
  const config: Record<string, number | string> = {};
  for (const key of [...counts, ...numbers]) {
    const value = given.get(key);
    // Python's None: not said.
    if (value === undefined || value === null) continue;
    if ((counts as readonly string[]).includes(key)) {
      // 0 in `model_size` means the transformer's; -1 experts is what a dense model has.
      if (key === "model_size" && value === 0) continue;
      if (!Number.isSafeInteger(value) || (value as number) < 1) fail(key, value, "a whole number of at least 1");
    } else if (typeof value !== "number" || !Number.isFinite(value) || value === 0) {
      fail(key, value, "a finite number other than 0");
    }
    config[key] = value as number;
  }
  const name = given.get("name");
  if (typeof name === "string" && name !== "") config.name = name;
  return config;
}
