/**
 * Qwen3 MoE (Qwen team, Qwen3 Technical Report, 2025), as an exercise: what a new architecture takes. Against Mixtral: norms on each head of
 * the queries and keys before they turn, rotary pairs half a head apart, and heads whose size is not the width's share.
 */
import type { AttentionOptions, Matrix, Rope } from "../kernels/ops.ts";
import type { DecoderArguments, LayerPass, Weights } from "./architecture.ts";
import { attentionTensors } from "./attention.ts";
import { readConfig, settingsOf } from "./config.ts";
import { createDecoder } from "./decoder.ts";
import { expertTensors } from "./feed-forward.ts";
import type { ModelFile } from "./model.ts";
import { createRope, readRopeScaling } from "./rope.ts";

interface QwenArguments extends DecoderArguments {
  readonly attention: AttentionOptions;
  readonly rope: Rope;
}

function readArguments(file: ModelFile): QwenArguments {
  const config = readConfig(file);
  const settings = settingsOf(file);
  const { heads, headSize, contextLength } = config;
  return {
    ...config,
    epsilon: settings.number("attention.layer_norm_rms_epsilon", "above 0"),
    attention: { heads, scale: 1 / Math.sqrt(headSize) },
    rope: createRope({
      source: file.path,
      headSize,
      dims: headSize,
      pairing: "half",
      base: settings.number("rope.freq_base", "above 0", 1e6),
      scaling: readRopeScaling(settings, file.path, contextLength),
    }),
  };
}

function tensors(args: QwenArguments) {
  const { width, headSize } = args;
  return {
    norm: { name: "attn_norm", module: "input_layernorm", shape: [width] },
    ...attentionTensors(args, "self_attn"),
    qNorm: { name: "attn_q_norm", module: "self_attn.q_norm", shape: [headSize] },
    kNorm: { name: "attn_k_norm", module: "self_attn.k_norm", shape: [headSize] },
    ffnNorm: { name: "ffn_norm", module: "post_attention_layernorm", shape: [width] },
    ...expertTensors(args, "mlp", { gate: "gate_proj", up: "up_proj", down: "down_proj" }),
  };
}

type LayerWeights = Weights<ReturnType<typeof tensors>>;

async function layer({ ops, attend, keep }: LayerPass, h: Matrix, w: LayerWeights, args: QwenArguments) {
  const { epsilon, rope, used } = args;
  let x = ops.rmsNorm("attn_norm", h, w.norm, epsilon);
  const q = ops.rope("Qcur_rope", ops.rmsNorm("Qcur_normed", ops.matmul("Qcur", x, w.q), w.qNorm, epsilon), rope);
  const k = ops.rope("Kcur_rope", ops.rmsNorm("Kcur_normed", ops.matmul("Kcur", x, w.k), w.kNorm, epsilon), rope);
  const values = attend(q, k, ops.matmul("Vcur", x, w.v), args.attention);
  h = ops.add("ffn_inp", ops.matmul("attn_out", values, w.output), keep(h));
  x = ops.rmsNorm("ffn_norm", h, w.ffnNorm, epsilon);
  const routing = ops.route("ffn_moe_probs", ops.matmul("ffn_moe_logits", x, w.router), { used, renormalize: true });
  return ops.add("l_out", await ops.experts("ffn_moe_out", x, routing, w.experts, "silu"), h);
}

export const qwen3Moe = createDecoder({ name: "qwen3moe", readArguments, tensors, layer });
