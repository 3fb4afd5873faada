/**
 * The `llama` architecture: Llama (Touvron et al. 2023), Llama 2 and 3, Mistral, SmolLM2, and Mixtral (Jiang et al. 2024),
 * which has experts in place of the feed-forward block. In GGUF files of this architecture the rows of the query and key
 * projections are permuted so that rotary pairs lie side by side.
 *
 * Mixtral renormalises the probabilities of the chosen experts. Where a file names a sliding window, sequences are kept to it:
 * within a window the model is the same with and without.
 */
import { GrokError } from "../errors.ts";
import type { Matrix, Ops, Rope, Weight } from "../kernels/ops.ts";
import { f32 } from "../tensor/types/f32.ts";
import { type AttentionWeights, bindAttention, type Pass, project } from "./attention.ts";
import { readConfig, settingsOf } from "./config.ts";
import type { Model, ModelConfig, ModelFile } from "./model.ts";
import { createRope, readRopeScaling } from "./rope.ts";
import { type Binder, createBinder, fine } from "./weights.ts";

interface LlamaArguments extends ModelConfig {
  readonly epsilon: number;
  readonly attentionScale: number;
  readonly rope: Rope;
}

function readArguments(file: ModelFile): LlamaArguments {
  const config = readConfig(file);
  const settings = settingsOf(file);
  for (const name of file.tensors.keys()) {
    if (!name.endsWith(".bias")) continue;
    throw new GrokError("unsupported", `${file.path}: tensor ${name}: llama models with biases do not run`, {
      path: file.path,
      tensor: name,
    });
  }
  const dims = settings.count("rope.dimension_count", 2, config.headSize);
  return {
    ...config,
    hidden: config.experts > 0 ? 0 : config.hidden,
    epsilon: settings.number("attention.layer_norm_rms_epsilon"),
    attentionScale: settings.number("attention.scale", 1 / Math.sqrt(config.headSize)),
    rope: createRope({
      headSize: config.headSize,
      dims,
      pairing: "adjacent",
      base: settings.number("rope.freq_base", 10000),
      scaling: readRopeScaling(settings, file.path, config.contextLength),
      ...readRopeFactors(file, dims),
    }),
  };
}

/** Llama 3's divisors of the frequencies, `rope_freqs.weight` [dims / 2], where the file has them. */
function readRopeFactors(file: ModelFile, dims: number): { factors?: Float32Array } {
  const tensor = file.tensors.get("rope_freqs.weight");
  if (tensor === undefined) return {};
  if (tensor.shape.length !== 1 || tensor.shape[0] !== dims / 2) {
    throw new GrokError(
      "shape",
      `${file.path}: tensor rope_freqs.weight has shape [${tensor.shape.join(", ")}], expected [${dims / 2}]`,
      { path: file.path, tensor: tensor.name, expected: [dims / 2], found: tensor.shape },
    );
  }
  // As ggml has it: what divides frequencies is never quantized.
  if (tensor.type !== "f32") {
    throw new GrokError(
      "unsupported",
      `${file.path}: tensor rope_freqs.weight is of type ${tensor.type}, expected f32`,
      {
        ...{ path: file.path, tensor: tensor.name, type: tensor.type },
      },
    );
  }
  const factors = new Float32Array(dims / 2);
  f32.decode(tensor.slice(0, dims / 2), factors);
  return { factors };
}

interface FeedForwardWeights {
  readonly norm: Weight;
  readonly gate: Weight;
  readonly up: Weight;
  readonly down: Weight;
  /** Mixtral's router, where gate, up and down are stacks of experts. */
  readonly router?: Weight;
}

function bindFeedForward(bind: Binder, block: string, args: LlamaArguments): FeedForwardWeights {
  const { width, hidden, experts, expertHidden } = args;
  const norm = bind.weight(`${block}.ffn_norm.weight`, [width]);
  if (experts > 0) {
    return {
      norm,
      router: bind.weight(`${block}.ffn_gate_inp.weight`, [experts, width]),
      gate: bind.stack(block, "ffn_gate", [experts, expertHidden, width]),
      up: bind.stack(block, "ffn_up", [experts, expertHidden, width]),
      down: bind.stack(block, "ffn_down", [experts, width, expertHidden]),
    };
  }
  return {
    norm,
    gate: bind.weight(`${block}.ffn_gate.weight`, [hidden, width]),
    up: bind.weight(`${block}.ffn_up.weight`, [hidden, width]),
    down: bind.weight(`${block}.ffn_down.weight`, [width, hidden], fine),
  };
}

/** down(silu(gate x) * (up x)), or the chosen experts' weighted sum of the same. */
function feedForward(ops: Ops, w: FeedForwardWeights, x: Matrix, args: LlamaArguments): Matrix | Promise<Matrix> {
  if (w.router !== undefined) {
    const logits = ops.matmul("ffn_moe_logits", x, w.router);
    const routing = ops.route("ffn_moe_probs", logits, { used: args.used, renormalize: true });
    return ops.experts("ffn_moe_out", x, routing, w, "silu");
  }
  const gate = ops.matmul("ffn_gate", x, w.gate);
  const up = ops.matmul("ffn_up", x, w.up);
  return ops.matmul("ffn_out", ops.gated("ffn_gate_par", "silu", gate, up), w.down);
}

interface Layer {
  readonly attention: AttentionWeights;
  readonly feedForward: FeedForwardWeights;
}

/** h [n, width] after layer `index`; after the last one, only the rows that the batch wants logits of. */
async function runLayer(
  ops: Ops,
  layer: Layer,
  index: number,
  h: Matrix,
  args: LlamaArguments,
  pass: Pass,
): Promise<Matrix> {
  const { batch, cache } = pass;
  const normed = ops.rmsNorm("attn_norm", h, layer.attention.norm, args.epsilon);
  const q = project(ops, layer.attention, normed, args.rope, pass, index);
  const gather = index === args.layers - 1 && batch.outputs.length < h.rows;
  if (gather && batch.outputs.length === 0) return ops.matrix("l_out", 0, args.width);
  let values = ops.attention("kqv_out", q, cache, index, batch, { heads: args.heads, scale: args.attentionScale });
  if (gather) {
    values = ops.rows("kqv_out_rows", values, batch.outputs);
    h = ops.rows("inp_rows", h, batch.outputs);
  }
  h = ops.add("ffn_inp", ops.matmul("attn_out", values, layer.attention.output), h);
  const x = ops.rmsNorm("ffn_norm", h, layer.feedForward.norm, args.epsilon);
  return ops.add("l_out", await feedForward(ops, layer.feedForward, x, args), h);
}

/** Binds a `llama` file's weights. @throws GrokError `format`, `shape` or `unsupported` naming the file and the place. */
export function bindLlama(ops: Ops, file: ModelFile): Model {
  const args = readArguments(file);
  const bind = createBinder(ops, file);
  const embedding = bind.weight("token_embd.weight", [args.vocab, args.width], fine);
  const output = bind.optional("output.weight", [args.vocab, args.width], fine) ?? embedding;
  const outputNorm = bind.weight("output_norm.weight", [args.width]);
  const layers = Array.from({ length: args.layers }, (_, index): Layer => {
    const block = `blk.${index}`;
    return { attention: bindAttention(bind, block, args), feedForward: bindFeedForward(bind, block, args) };
  });

  return {
    config: args,
    kvCache: (options) =>
      ops.kvCache({ layers: args.layers, kvHeads: args.kvHeads, headSize: args.headSize, ...options }),
    async forward(batch, cache) {
      ops.at(-1);
      let h = ops.embed("inp_embd", embedding, batch.tokens, 1);
      for (const [index, layer] of layers.entries()) {
        ops.at(index);
        h = await runLayer(ops, layer, index, h, args, { batch, cache });
      }
      ops.at(-1);
      if (h.rows === 0) return ops.matrix("result_output", 0, args.vocab);
      const x = ops.rmsNorm("result_norm", h, outputNorm, args.epsilon);
      return ops.matmul("result_output", x, output);
    },
  };
}
