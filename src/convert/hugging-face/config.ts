import { GrokError, shown } from "../../errors.ts";

/** The fields of a `config.json`, each asked for by name. What is there and was not asked for is told by {@link Config.refuseUnread}. */
export interface Config {
  readonly path: string;
  /** Undefined where it is missing or null. */
  get(key: string): unknown;
  /** Whether it is there, and be it null. */
  has(key: string): boolean;
  /** A whole number from `least` on. @throws GrokError `format` for anything else, and for none without a fallback. */
  count(key: string, least: number, fallback?: number): number;
  /** A finite number above 0. @throws GrokError as {@link Config.count}. */
  positive(key: string, fallback?: number): number;
  /** A finite number; where one is below 0, 0. @throws GrokError as {@link Config.count}. */
  fromZero(key: string, fallback?: number): number;
  flag(key: string, fallback: boolean): boolean;
  text(key: string, fallback?: string): string;
  /** An object of its own; undefined where it is missing or null. @throws GrokError `format` for anything else. */
  section(key: string): Config | undefined;
  /** @throws GrokError `unsupported` unless the value is one of `allowed` or missing. */
  expect(key: string, allowed: readonly unknown[], what: string): void;
  /** @throws GrokError `unsupported` naming the first field that was not asked for, and is not one of `harmless`. */
  refuseUnread(harmless: RegExp): void;
  fail(code: "format" | "unsupported", key: string, problem: string): GrokError;
}

/** @param prefix stands before keys in messages. */
export function createConfig(path: string, fields: Readonly<Record<string, unknown>>, prefix = ""): Config {
  const read = new Set<string>();
  const get = (key: string) => {
    read.add(key);
    return Object.hasOwn(fields, key) ? (fields[key] ?? undefined) : undefined;
  };
  const fail = (code: "format" | "unsupported", key: string, problem: string) =>
    new GrokError(code, `${path}: ${prefix}${key} ${problem}`, { path, key: `${prefix}${key}` });
  const need = <T>(key: string, fallback: T | undefined, expected: string): T => {
    if (fallback !== undefined) return fallback;
    throw fail("format", key, `is missing, expected ${expected}`);
  };
  return {
    ...{ path, get, fail },
    has: (key) => Object.hasOwn(fields, key),
    count(key, least, fallback) {
      const value = get(key);
      const expected = `a whole number from ${least} on`;
      if (value === undefined) return need(key, fallback, expected);
      if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
      throw fail("format", key, `is ${shown(value)}, expected ${expected}`);
    },
    positive(key, fallback) {
      const value = get(key);
      if (value === undefined) return need(key, fallback, "a number above 0");
      if (typeof value === "number" && value > 0 && Number.isFinite(Math.fround(value))) return value;
      throw fail("format", key, `is ${shown(value)}, expected a number above 0`);
    },
    fromZero(key, fallback) {
      const value = get(key);
      if (value === undefined) return need(key, fallback, "a number");
      if (typeof value === "number" && Number.isFinite(Math.fround(value))) return Math.max(0, value);
      throw fail("format", key, `is ${shown(value)}, expected a number`);
    },
    flag(key, fallback) {
      const value = get(key) ?? fallback;
      if (typeof value === "boolean") return value;
      throw fail("format", key, `is ${shown(value)}, expected true or false`);
    },
    text(key, fallback) {
      const value = get(key);
      if (value === undefined) return need(key, fallback, "a text");
      if (typeof value === "string") return value;
      throw fail("format", key, `is ${shown(value)}, expected a text`);
    },
    section(key) {
      const value = get(key);
      if (value === undefined) return undefined;
      if (typeof value !== "object" || Array.isArray(value)) {
        throw fail("format", key, `is ${shown(value)}, expected an object`);
      }
      return createConfig(path, value as Record<string, unknown>, `${prefix}${key}.`);
    },
    expect(key, allowed, what) {
      const value = get(key);
      if (value === undefined || allowed.includes(value)) return;
      throw fail("unsupported", key, `is ${shown(value)}, expected ${what}`);
    },
    refuseUnread(harmless) {
      for (const [key, value] of Object.entries(fields)) {
        if (read.has(key) || harmless.test(key) || isNeutral(value)) continue;
        throw fail(
          "unsupported",
          key,
          `is ${shown(value)}, which grok1 does not know: a model that follows it may give other results`,
        );
      }
    },
  };
}

/** Values that switch nothing on. Deeper ones than any configuration has are not looked at. */
function isNeutral(value: unknown, depth = 0): boolean {
  if (typeof value === "object" && value !== null) {
    return depth < 8 && Object.values(value).every((each) => isNeutral(each, depth + 1));
  }
  return value === null || value === false || value === 0 || value === "" || value === undefined;
}

const words = (...lists: readonly string[]) => lists.join(" ").split(" ").join("|");

/**
 * Fields that change no logit: what transformers writes about a configuration itself, about training, outputs and generation; where a
 * model comes from and how it was stored.
 */
export const harmlessFields = new RegExp(
  `^(_.*|.*_token_id|.*version.*|(torch_)?dtype|.*dropout.*|.*aux_loss.*|router_jitter_noise|router_z_loss.*|unsloth.*|transformers.*|${words(
    "architectures auto_map model_type initializer_range use_cache output_attentions output_hidden_states output_router_logits",
    "return_dict return_dict_in_generate torchscript tie_encoder_decoder is_encoder_decoder is_decoder cross_attention_hidden_size",
    "add_cross_attention pruned_heads chunk_size_feed_forward id2label label2id task_specific_params problem_type",
    "finetuning_task tokenizer_class prefix max_length min_length do_sample early_stopping num_beams num_beam_groups",
    "diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores forced_bos_token_id forced_eos_token_id",
    "remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens use_bfloat16",
    "tf_legacy_loss pretraining_tp neftune_noise_alpha max_sequence_length model_max_length attn_implementation",
    "quantization_config compression_config gradient_checkpointing use_flash_attn is_llama_config",
  )})$`,
);
