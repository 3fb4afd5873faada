/**
 * Grok-1 by its two ports to transformers, hpcai-tech/grok-1 (whose names the architecture's table has) and keyfan/grok-1-hf (which
 * keeps xAI's), and as sglang serves it (lmzheng/grok-1); and Grok-2 as xAI publishes it: both cut for eight devices, without an index.
 * Values that a configuration leaves out are Grok-1's, which the ports' own classes take for all others.
 */
import { type Config, harmlessFields } from "./config.ts";
import { type Description, describeMeasures, f32, type Layout, u32 } from "./layout.ts";

const grok1 = {
  embeddingScale: 78.38367176906169,
  logitScale: 0.5773502691896257,
  attentionScale: 0.08838834764831845,
  attentionCap: 30,
};

function describeGrok1(config: Config): Description {
  const { metadata, vocab } = describeMeasures(config);
  const experts = config.get("num_local_experts") === undefined ? "num_experts" : "num_local_experts";
  // Both ports run what xAI's code calls gelu, its approximation by tanh; one of them writes down the exact one.
  config.expect("hidden_act", ["gelu", "gelu_new", "gelu_pytorch_tanh"], "gelu");
  config.expect("sliding_window", [null], "null");
  return {
    ...{ architecture: "grok", vocab, tied: config.flag("tie_word_embeddings", true) },
    spell: (tensor) => tensor.replace("post_ffw_norm", "layer_output_norm"),
    metadata: [
      ...metadata,
      ...describeNorms(config),
      u32("expert_count", config.count(experts, 1, 8)),
      u32("expert_used_count", config.count("num_experts_per_tok", 1, 2)),
      f32("rope.freq_base", config.positive("rope_theta", 10000)),
      f32("attn_logit_softcapping", config.positive("max_attn_value", grok1.attentionCap)),
    ],
  };
}

function describeNorms(config: Config) {
  return [
    f32("attention.layer_norm_rms_epsilon", config.positive("rms_norm_eps", 1e-5)),
    f32("embedding_scale", config.positive("embedding_multiplier_scale", grok1.embeddingScale)),
    f32("logit_scale", config.positive("output_multiplier_scale", grok1.logitScale)),
    f32("attention.output_scale", config.positive("attn_output_multiplier", grok1.attentionScale)),
  ];
}

/** By what it is in xAI's code: what it is in the table. */
const xaiNames: readonly (readonly [RegExp, string])[] = [
  [/^model\.embed_tokens\.weight$/, "transformer.in_out_embed.weight"],
  [/^model\.norm\.scale$/, "transformer.rms_norm.weight"],
  [/^model\.layers\.(\d+)\.pre_attn_norm\.scale$/, "transformer.decoder_layer.$1.rms_norm.weight"],
  [/^model\.layers\.(\d+)\.post_attn_norm\.scale$/, "transformer.decoder_layer.$1.rms_norm_1.weight"],
  [/^model\.layers\.(\d+)\.pre_moe_norm\.scale$/, "transformer.decoder_layer.$1.rms_norm_2.weight"],
  [/^model\.layers\.(\d+)\.post_moe_norm\.scale$/, "transformer.decoder_layer.$1.rms_norm_3.weight"],
  [/^model\.layers\.(\d+)\.attn\.q_proj\./, "transformer.decoder_layer.$1.multi_head_attention.query."],
  [/^model\.layers\.(\d+)\.attn\.k_proj\./, "transformer.decoder_layer.$1.multi_head_attention.key."],
  [/^model\.layers\.(\d+)\.attn\.v_proj\./, "transformer.decoder_layer.$1.multi_head_attention.value."],
  [/^model\.layers\.(\d+)\.attn\.o_proj\./, "transformer.decoder_layer.$1.multi_head_attention.linear."],
  [/^model\.layers\.(\d+)\.moe_block\.gate\./, "transformer.decoder_layer.$1.router."],
  [/^model\.layers\.(\d+)\.moe_block\.experts\./, "transformer.decoder_layer.$1.moe."],
];

function keyfanName(name: string): string {
  for (const [pattern, own] of xaiNames) if (pattern.test(name)) return name.replace(pattern, own);
  return name;
}

const describeOne = (config: Config): Description => {
  const description = describeGrok1(config);
  config.refuseUnread(harmlessFields);
  return description;
};

export const hpcaiGrokLayout: Layout = {
  kind: "Grok-1 in the layout of hpcai-tech/grok-1",
  recognizes: (architecture) => architecture === "Grok1ModelForCausalLM",
  describe: describeOne,
};

export const keyfanGrokLayout: Layout = {
  kind: "Grok-1 in the layout of keyfan/grok-1-hf",
  recognizes: (architecture) => architecture === "GrokForCausalLM",
  describe: describeOne,
  rename: keyfanName,
};

/** By what it is in the table: the names that Grok-2 has too. */
const sglangNames: readonly (readonly [RegExp, string])[] = [
  [/\.scale$/, ".weight"],
  [/\.attn\.(?=[qkvo]_proj\.)/, ".self_attn."],
  [/\.moe_block\./, ".block_sparse_moe."],
  [/\.linear\.(?=\w+$)/, ".w1."],
  [/\.linear_v\.(?=\w+$)/, ".w3."],
  [/\.linear_1\.(?=\w+$)/, ".w2."],
];

/**
 * sglang's code puts a cap of 30 on router logits, which xAI's code of Grok-1 does not have: the model is the latter's. A configuration
 * may name it, and how the model is spread over devices.
 */
function describeSglang(config: Config): Description {
  const description = describeGrok1(config);
  config.expect("residual_moe", [false], "false");
  config.expect("router_logit_softcapping", [0, 30], "30");
  config.expect("attn_logit_softcapping", [30], "30");
  config.expect("attn_logit_softcapping_method", ["tanh"], "tanh");
  config.expect("rope_type", ["original", "default"], "original");
  config.expect("attn_temperature_len", [-1], "-1");
  config.expect("sliding_window_size", [-1], "-1");
  config.refuseUnread(new RegExp(`${harmlessFields.source}|${unusedFields.source}`));
  return description;
}

export const sglangGrokLayout: Layout = {
  kind: "Grok-1 in the layout of sglang",
  recognizes: (architecture, has) =>
    /^Grok1(Model)?ForCausalLM$/.test(architecture) &&
    has("model.layers.0.block_sparse_moe.gate.weight") &&
    !has("model.layers.0.mlp.gate_proj.weight"),
  describe: describeSglang,
  rename: (name) => sglangNames.reduce((text, [pattern, own]) => text.replace(pattern, own), name),
  cut: true,
};

/** As xAI serves the model (sgl-project/sglang, Apache-2.0). */
const grok2Template =
  "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'Human: ' + message['content'].strip() + '<|separator|>\\n\\n' }}" +
  "{% elif message['role'] == 'system' %}{{ 'System: ' + message['content'].strip() + '<|separator|>\\n\\n' }}" +
  "{% elif message['role'] == 'assistant' %}{{ 'Assistant: '  + message['content'] + '<|separator|>\\n\\n' }}" +
  "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

/** YaRN's, and how the model is spread over devices. */
const unusedFields =
  /^(original_max_position_embeddings|scaling_factor|extrapolation_factor|attn_factor|beta_(fast|slow)|(load_presharded|replicate)_.*|merge_gate_up)$/;

/**
 * Grok-2. `rope_type` is "original": plain rotary embedding by `rope_theta`, which is stretched already; the fields of YaRN beside it
 * are not used by the code that serves the model.
 */
function describeGrok2(config: Config): Description {
  const { metadata, headSize, vocab } = describeMeasures(config);
  config.expect("residual_moe", [true], "true");
  config.expect("rope_type", ["original", "default"], "original");
  config.expect("sliding_window_size", [-1], "-1");
  config.expect("global_attn_every_n", [1], "1");
  config.expect("rope_rotate_half_dims", [false], "false");
  config.expect("attn_logit_softcapping_method", ["tanh"], "tanh");
  config.expect("hidden_act", ["gelu"], "gelu");
  // 0 is none, as in files.
  const cap = (key: string, fallback: number) => f32(key, config.fromZero(key, fallback));
  const temperature = config.count("attn_temperature_len", -1, -1);
  const description: Description = {
    ...{ architecture: "grok", vocab, dense: true, chatTemplate: grok2Template },
    tied: config.flag("tie_word_embeddings", false),
    metadata: [
      ...metadata,
      f32("attention.layer_norm_rms_epsilon", config.positive("rms_norm_eps")),
      f32("embedding_scale", config.positive("embedding_multiplier_scale")),
      f32("logit_scale", config.positive("output_multiplier_scale")),
      f32("attention.output_scale", config.positive("attn_output_multiplier", 1 / Math.sqrt(headSize))),
      u32("expert_count", config.count("num_local_experts", 1)),
      u32("expert_used_count", config.count("num_experts_per_tok", 1)),
      u32("expert_feed_forward_length", config.count("moe_intermediate_size", 1)),
      f32("rope.freq_base", config.positive("rope_theta")),
      cap("attn_logit_softcapping", 30),
      cap("router_logit_softcapping", 30),
      cap("final_logit_softcapping", 0),
      ...(temperature > 0 ? [u32("attention.temperature_length", temperature)] : []),
    ],
  };
  config.refuseUnread(new RegExp(`${harmlessFields.source}|${unusedFields.source}`));
  return description;
}

export const grok2Layout: Layout = {
  kind: "Grok-2 as xAI publishes it",
  recognizes: (architecture) => architecture === "Grok1ForCausalLM",
  describe: describeGrok2,
  cut: true,
};
