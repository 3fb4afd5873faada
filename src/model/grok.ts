/**
 * The `grok` architecture: Grok-1 after xAI's published JAX code (xai-org/grok-1, Apache-2.0), and Grok-2, whose files share
 * the name, after the code xAI serves it with (Grok1ForCausalLM in sgl-project/sglang, Apache-2.0). Where other engines
 * differ, these two are followed:
 *
 * - Router. The chosen probabilities are not renormalised, in either model. Grok-1 has no soft cap on the router's logits;
 *   converters write `router_logit_softcapping` into its files all the same, so the key counts in a Grok-2 file only.
 * - What makes a file Grok-2: a dense feed-forward block beside the experts (`blk.0.ffn_up.weight`), no other model has it.
 * - Grok-2's attention temperature: capped scores of a query at a position past `attention.temperature_length` L grow by
 *   log2(position) / log2(L).
 * - Grok-2's release says `rope_type: original`, plain rotary embedding with base 208533496, which is already base 10^6
 *   stretched from 8192 to 131072 tokens: 10^6 ^ (ln(131072 / 2π) / ln(8192 / 2π)). Converters write it down as YaRN by
 *   a factor of 16. That would stretch twice; so a `grok` file's base counts and its YaRN keys do not.
 * - Pad. Grok-1's code pads a prompt with token 0 in front and masks those positions out. Here nothing is padded, so there is
 *   nothing to mask: a token 0 that a caller passes is a token like any other.
 */
import { GrokError } from "../errors.ts";
import type { Matrix, Ops, Rope, Weight } from "../kernels/ops.ts";
import { type AttentionWeights, bindAttention, type Pass, project } from "./attention.ts";
import { readConfig, settingsOf } from "./config.ts";
import type { Model, ModelConfig, ModelFile } from "./model.ts";
import { createRope } from "./rope.ts";
import { type Binder, createBinder, fine } from "./weights.ts";

/** What the model does beyond its measures; Grok-1's values where the file is silent. */
interface GrokArguments extends ModelConfig {
  readonly epsilon: number;
  readonly embeddingScale: number;
  readonly logitScale: number;
  readonly attentionScale: number;
  readonly attentionCap: number;
  /** 0: none, as in all below. */
  readonly temperatureLength: number;
  readonly routerCap: number;
  readonly logitCap: number;
  readonly rope: Rope;
}

function readArguments(file: ModelFile): GrokArguments {
  const config = readConfig(file);
  const settings = settingsOf(file);
  const dense = file.tensors.has("blk.0.ffn_up.weight");
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
    epsilon: settings.number("attention.layer_norm_rms_epsilon", 1e-5),
    embeddingScale: settings.number("embedding_scale", 78.38367176906169),
    logitScale: settings.number("logit_scale", 0.5773502691896257),
    attentionScale: settings.number("attention.output_scale", 0.08838834764831845),
    attentionCap: settings.number("attn_logit_softcapping", 30),
    temperatureLength: settings.count("attention.temperature_length", 0, 0),
    routerCap: dense ? settings.number("router_logit_softcapping", 30) : 0,
    logitCap: settings.number("final_logit_softcapping", 0),
    rope: createRope({
      headSize: config.headSize,
      dims: settings.count("rope.dimension_count", 2, config.headSize),
      pairing: "half",
      base: settings.number("rope.freq_base", 10000),
      scaling: { type: "none" },
    }),
  };
}

interface ExpertWeights {
  readonly norm: Weight;
  readonly router: Weight;
  readonly gate: Weight;
  readonly up: Weight;
  readonly down: Weight;
  /** Grok-2's block beside the experts. */
  readonly dense?: { readonly gate: Weight; readonly up: Weight; readonly down: Weight };
  readonly postNorm: Weight;
}

function bindExperts(bind: Binder, block: string, args: GrokArguments): ExpertWeights {
  const { width, hidden, experts, expertHidden } = args;
  const older = `${block}.layer_output_norm.weight`;
  return {
    norm: bind.weight(`${block}.ffn_norm.weight`, [width]),
    router: bind.weight(`${block}.ffn_gate_inp.weight`, [experts, width]),
    gate: bind.stack(block, "ffn_gate", [experts, expertHidden, width]),
    up: bind.stack(block, "ffn_up", [experts, expertHidden, width]),
    down: bind.stack(block, "ffn_down", [experts, width, expertHidden]),
    ...(hidden > 0 && {
      dense: {
        gate: bind.weight(`${block}.ffn_gate.weight`, [hidden, width]),
        up: bind.weight(`${block}.ffn_up.weight`, [hidden, width]),
        down: bind.weight(`${block}.ffn_down.weight`, [width, hidden]),
      },
    }),
    postNorm: bind.weight(bind.has(older) ? older : `${block}.post_ffw_norm.weight`, [width]),
  };
}

/** x [n, width] through its chosen experts, and through the dense block where there is one. */
async function feedForward(ops: Ops, w: ExpertWeights, x: Matrix, args: GrokArguments): Promise<Matrix> {
  let logits = ops.matmul("ffn_moe_logits", x, w.router);
  if (args.routerCap > 0) logits = ops.softcap("ffn_moe_logits", logits, args.routerCap);
  const routing = ops.route("ffn_moe_probs", logits, { used: args.used, renormalize: false });
  const mixed = await ops.experts("ffn_moe_out", x, routing, w, "gelu");
  if (w.dense === undefined) return mixed;
  const gate = ops.matmul("ffn_gate", x, w.dense.gate);
  const up = ops.matmul("ffn_up", x, w.dense.up);
  const dense = ops.matmul("ffn_dense_out", ops.gated("ffn_gate_par", "gelu", gate, up), w.dense.down);
  return ops.scale("ffn_out", ops.add("ffn_out", dense, mixed), Math.SQRT1_2);
}

interface Layer {
  readonly attention: AttentionWeights;
  readonly attentionNorm: Weight;
  readonly experts: ExpertWeights;
}

/** h [n, width] after layer `index`; after the last one, only the rows that the batch wants logits of. */
async function runLayer(
  ops: Ops,
  layer: Layer,
  index: number,
  h: Matrix,
  args: GrokArguments,
  pass: Pass,
): Promise<Matrix> {
  const { attention, experts } = layer;
  const { batch, cache } = pass;
  const q = project(ops, attention, ops.rmsNorm("attn_norm", h, attention.norm, args.epsilon), args.rope, pass, index);
  const gather = index === args.layers - 1 && batch.outputs.length < h.rows;
  if (gather && batch.outputs.length === 0) return ops.matrix("l_out", 0, args.width);
  let values = ops.attention("kqv_out", q, cache, index, batch, {
    heads: args.heads,
    scale: args.attentionScale,
    softcap: args.attentionCap,
    temperatureLength: args.temperatureLength,
  });
  if (gather) {
    values = ops.rows("kqv_out_rows", values, batch.outputs);
    h = ops.rows("inp_rows", h, batch.outputs);
  }
  const attended = ops.matmul("attn_out", values, attention.output);
  h = ops.add("ffn_inp", ops.rmsNorm("attn_out_norm", attended, layer.attentionNorm, args.epsilon), h);
  const x = ops.rmsNorm("ffn_norm", h, experts.norm, args.epsilon);
  const y = await feedForward(ops, experts, x, args);
  return ops.add("l_out", ops.rmsNorm("ffn_post_norm", y, experts.postNorm, args.epsilon), h);
}

/** Binds a `grok` file's weights. @throws GrokError `format`, `shape` or `unsupported` naming the file and the place. */
export function bindGrok(ops: Ops, file: ModelFile): Model {
  const args = readArguments(file);
  const bind = createBinder(ops, file);
  const embedding = bind.weight("token_embd.weight", [args.vocab, args.width], fine);
  const output = bind.optional("output.weight", [args.vocab, args.width], fine) ?? embedding;
  const outputNorm = bind.weight("output_norm.weight", [args.width]);
  const layers = Array.from({ length: args.layers }, (_, index): Layer => {
    const block = `blk.${index}`;
    return {
      attention: bindAttention(bind, block, args),
      attentionNorm: bind.weight(`${block}.attn_output_norm.weight`, [args.width]),
      experts: bindExperts(bind, block, args),
    };
  });

  return {
    config: args,
    kvCache: (options) =>
      ops.kvCache({ layers: args.layers, kvHeads: args.kvHeads, headSize: args.headSize, ...options }),
    async forward(batch, cache) {
      ops.at(-1);
      let h = ops.embed("inp_embd", embedding, batch.tokens, args.embeddingScale);
      for (const [index, layer] of layers.entries()) {
        ops.at(index);
        h = await runLayer(ops, layer, index, h, args, { batch, cache });
      }
      ops.at(-1);
      if (h.rows === 0) return ops.matrix("result_output", 0, args.vocab);
      const x = ops.rmsNorm("result_norm", h, outputNorm, args.epsilon);
      const logits = ops.scale("result_output", ops.matmul("result_output", x, output), args.logitScale);
      return args.logitCap > 0 ? ops.softcap("result_output", logits, args.logitCap) : logits;
    },
  };
}
