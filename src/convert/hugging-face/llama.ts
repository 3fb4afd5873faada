/** Llama 1 to 3, Mistral and Mixtral, as transformers has them. A file of either is of the architecture `llama`. */
import { type Config, harmlessFields } from "./config.ts";
import { type Description, describeMeasures, f32, type Layout, u32 } from "./layout.ts";
import { describeRope } from "./rope.ts";

/** What transformers takes for a field that a configuration leaves out. */
interface Defaults {
  readonly kvHeads?: number;
  readonly epsilon: number;
  readonly base: number;
  /** 0: none. */
  readonly window: number;
}

const families: Readonly<Record<string, Defaults>> = {
  LlamaForCausalLM: { epsilon: 1e-6, base: 10000, window: 0 },
  LLaMAForCausalLM: { epsilon: 1e-6, base: 10000, window: 0 },
  MistralForCausalLM: { kvHeads: 8, epsilon: 1e-6, base: 10000, window: 4096 },
  MixtralForCausalLM: { kvHeads: 8, epsilon: 1e-5, base: 1e6, window: 0 },
};

function describe(config: Config, name: string): Description {
  const defaults = families[name]!;
  const mixture = name === "MixtralForCausalLM";
  const { metadata, headSize, context, vocab } = describeMeasures(config, defaults);
  config.expect("hidden_act", ["silu", "swish"], "silu");
  config.expect("attention_bias", [false], "false");
  config.expect("mlp_bias", [false], "false");
  config.expect("partial_rotary_factor", [1], "1");
  const rope = describeRope(config, headSize, context, defaults.base);
  return {
    ...{ architecture: "llama", vocab, rope },
    tied: config.flag("tie_word_embeddings", false),
    metadata: [
      ...metadata,
      f32("attention.layer_norm_rms_epsilon", config.positive("rms_norm_eps", defaults.epsilon)),
      ...readWindow(config, defaults.window),
      ...(mixture
        ? [
            u32("expert_count", config.count("num_local_experts", 1, 8)),
            u32("expert_used_count", config.count("num_experts_per_tok", 1, 2)),
          ]
        : []),
    ],
  };
}

/** A sliding window is kept as it is: within it the model is the same with and without, and the engine keeps sequences to it. */
function readWindow(config: Config, fallback: number) {
  // There and null is none, missing is the family's own.
  const given = config.has("sliding_window") ? (config.get("sliding_window") ?? 0) : fallback;
  const used = config.flag("use_sliding_window", true);
  if (given === 0 || !used) return [];
  return [u32("attention.sliding_window", config.count("sliding_window", 1, fallback))];
}

export const llamaLayout: Layout = {
  kind: "a Llama, Mistral or Mixtral model in Hugging Face's layout",
  recognizes: (architecture) => Object.hasOwn(families, architecture),
  describe(config, architecture) {
    const description = describe(config, architecture);
    config.refuseUnread(harmlessFields);
    return description;
  },
};
