/**
 * The `grok` architecture: Grok-1 after xAI's published JAX code (xai-org/grok-1, Apache-2.0), and Grok-2, whose files share
 * the name, after the code xAI serves it with (Grok1ForCausalLM in sgl-project/sglang, Apache-2.0). Where other engines
 * differ, these two are followed:
 *
 * - Router. The chosen probabilities are not renormalised, in either model. Grok-1 has no soft cap on the router's logits;
 *   converters write `router_logit_softcapping` into its files all the same, so the key counts in a Grok-2 file only.
 * - What makes a file Grok-2: a dense feed-forward block beside the experts (`blk.N.ffn_up.weight`), no other model has it.
 * - Grok-2's attention temperature: capped scores of a query at a position past `attention.temperature_length` L grow by
 *   log2(position) / log2(L).
 * - Grok-2's release says `rope_type: original`, plain rotary embedding with base 208533496, which is already base 10^6
 *   stretched from 8192 to 131072 tokens: 10^6 ^ (ln(131072 / 2π) / ln(8192 / 2π)). Converters write it down as YaRN by
 *   a factor of 16. That would stretch twice; so a `grok` file's base counts and its YaRN keys do not.
 * - Pad. Grok-1's code cuts a prompt to 1,024 tokens, pads it with token 0 at its end, and masks token 0 as a key within the
 *   same call, not once it is cached. Here nothing is padded, so there is nothing to mask: a token 0 that a caller passes is a
 *   token like any other.
 */
import { GrokError } from "../errors.ts";
import type { AttentionOptions, Matrix, Ops, Rope, Routing } from "../kernels/ops.ts";
import type { DecoderArguments, Expect, LayerPass, TensorSpec, Weights } from "./architecture.ts";
import { attentionTensors, rotatedProjections } from "./attention.ts";
import { readConfig, readRotaryDims, type Settings, settingsOf } from "./config.ts";
import { createDecoder } from "./decoder.ts";
import { denseTensors, expertTensors } from "./feed-forward.ts";
import type { ModelConfig, ModelFile } from "./model.ts";
import { createRope } from "./rope.ts";
import { tensorNames } from "./weights.ts";

/** What the model does beyond its measures; Grok-1's values where the file is silent. */
interface GrokArguments extends DecoderArguments {
  readonly attention: AttentionOptions;
  /** 0: none. */
  readonly routerCap: number;
  readonly rope: Rope;
}

function readArguments(file: ModelFile): GrokArguments {
  const config = readConfig(file);
  const settings = settingsOf(file);
  // In any layer: one that lacks some of it is then refused.
  const dense = tensorNames(file).some((name) => /^blk\.\d+\.ffn_(gate|up|down)\.weight$/.test(name));
  if (config.experts === 0) {
    throw new GrokError("format", `${file.path}: grok.expert_count is 0 or missing`, { path: file.path });
  }
  const scaling = settings.string("rope.scaling.type", "none");
  if (scaling !== "none" && scaling !== "yarn") {
    throw new GrokError("unsupported", `${file.path}: rotary scaling of type ${scaling} in a grok model`, {
      path: file.path,
      type: scaling,
    });
  }
  return {
    ...config,
    hidden: dense ? config.hidden : 0,
    epsilon: settings.number("attention.layer_norm_rms_epsilon", "above 0", 1e-5),
    embeddingScale: settings.number("embedding_scale", "any", 78.38367176906169),
    logitScale: settings.number("logit_scale", "any", 0.5773502691896257),
    logitCap: settings.number("final_logit_softcapping", "from 0", 0),
    gainName: dense ? "weight" : "scale",
    attention: {
      heads: config.heads,
      scale: settings.number("attention.output_scale", "any", 0.08838834764831845),
      softcap: settings.number("attn_logit_softcapping", "from 0", 30),
      temperatureLength: readTemperatureLength(settings, file.path),
    },
    routerCap: dense ? settings.number("router_logit_softcapping", "from 0", 30) : 0,
    rope: createRope({
      source: file.path,
      headSize: config.headSize,
      dims: readRotaryDims(file, config.headSize),
      pairing: "half",
      base: settings.number("rope.freq_base", "above 0", 10000),
      scaling: { type: "none" },
    }),
  };
}

/** The logarithm of a length of 1 is 0, and divides. */
function readTemperatureLength(settings: Settings, path: string): number {
  const key = "attention.temperature_length";
  const length = settings.count(key, { least: 0, most: 2 ** 31 - 1 }, 0);
  if (length !== 1) return length;
  throw new GrokError("format", `${path}: ${settings.architecture}.${key} is 1, expected 0 for none, or at least 2`, {
    path,
  });
}

/** Of these a `grok` file's base is what counts, or the model has no such thing: see above. */
const harmlessKeys = [
  ...["router_logit_softcapping", "expert_weights_norm", "rope.scaling.factor", "rope.scale_linear"],
  ...["rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_log_multiplier"],
];

/**
 * A layer's tensors; modules by the names of Grok-1's port to transformers (hpcai-tech/grok-1), which keeps what xAI's code calls its
 * experts, and of Grok-2 as xAI publishes it.
 */
export function grokTensors(config: ModelConfig) {
  const second = config.hidden > 0;
  const gain = (name: string, module: string): TensorSpec => ({ name, module, shape: [config.width] });
  return {
    norm: gain("attn_norm", "pre_attn_norm"),
    ...attentionTensors(config, second ? "self_attn" : "attn"),
    attentionNorm: gain("attn_output_norm", "post_attn_norm"),
    ffnNorm: gain("ffn_norm", "pre_moe_norm"),
    dense: second ? denseTensors(config) : undefined,
    ...(second
      ? expertTensors(config, "block_sparse_moe", { gate: "w1", up: "w3", down: "w2" })
      : expertTensors(config, "moe_block", { gate: "linear", up: "linear_v", down: "linear_1" })),
    postNorm: { ...gain("post_ffw_norm", "post_moe_norm"), alias: "layer_output_norm" },
  };
}

type LayerWeights = Weights<ReturnType<typeof grokTensors>>;

async function layer(pass: LayerPass, h: Matrix, w: LayerWeights, args: GrokArguments): Promise<Matrix> {
  const { ops, attend, keep } = pass;
  const { epsilon, rope, attention } = args;
  const [q, k, v] = rotatedProjections(pass, ops.rmsNorm("attn_norm", h, w.norm, epsilon), w, rope);
  const attended = ops.matmul("attn_out", attend(q, k, v, attention), w.output);
  h = ops.add("ffn_inp", ops.rmsNorm("attn_out_norm", attended, w.attentionNorm, epsilon), keep(h));
  pass.foresee(h);
  const y = await feedForward(ops, ops.rmsNorm("ffn_norm", h, w.ffnNorm, epsilon), w, args);
  return ops.add("l_out", ops.rmsNorm("ffn_post_norm", y, w.postNorm, epsilon), h);
}

/** The experts that x [n, width] goes to. */
function route(ops: Ops, name: string, x: Matrix, w: LayerWeights, args: GrokArguments): Routing {
  let logits = ops.matmul(`${name}_logits`, x, w.router);
  if (args.routerCap > 0) logits = ops.softcap(`${name}_logits`, logits, args.routerCap);
  return ops.route(`${name}_probs`, logits, { used: args.used, renormalize: false });
}

function foresee(ops: Expect, h: Matrix, w: LayerWeights, args: GrokArguments): void {
  ops.expect(route(ops, "next_moe", ops.rmsNorm("next_norm", h, w.ffnNorm, args.epsilon), w, args), w.experts);
}

/** x [n, width] through its chosen experts, and through the dense block where there is one. */
async function feedForward(ops: Ops, x: Matrix, w: LayerWeights, args: GrokArguments): Promise<Matrix> {
  const routing = route(ops, "ffn_moe", x, w, args);
  const mixed = await ops.experts("ffn_moe_out", x, routing, w.experts, "gelu");
  if (w.dense === undefined) return mixed;
  const gate = ops.matmul("ffn_gate", x, w.dense.gate);
  const up = ops.matmul("ffn_up", x, w.dense.up);
  const dense = ops.matmul("ffn_dense_out", ops.gated("ffn_gate_par", "gelu", gate, up), w.dense.down);
  return ops.scale("ffn_out", ops.add("ffn_out", dense, mixed), Math.SQRT1_2);
}

export const grok = createDecoder({ name: "grok", readArguments, tensors: grokTensors, harmlessKeys, foresee, layer });
