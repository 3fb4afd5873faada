/**
 * The `llama` architecture: Llama (Touvron et al. 2023), Llama 2 and 3, Mistral, SmolLM2, and Mixtral (Jiang et al. 2024),
 * which has experts in place of the feed-forward block. In GGUF files of this architecture the rows of the query and key
 * projections are permuted so that rotary pairs lie side by side.
 *
 * Mixtral renormalises the probabilities of the chosen experts. Where a file names a sliding window, sequences are kept to it:
 * within a window the model is the same with and without.
 */
import { GrokError } from "../errors.ts";
import type { AttentionOptions, Matrix, Ops, Rope, Routing, Weight } from "../kernels/ops.ts";
import { readTensor } from "../tensor/tensor.ts";
import { f32 } from "../tensor/types/f32.ts";
import type { DecoderArguments, Expect, LayerPass, Weights } from "./architecture.ts";
import { attentionTensors, rotatedProjections } from "./attention.ts";
import { readConfig, readRotaryDims, type Settings, settingsOf } from "./config.ts";
import { createDecoder } from "./decoder.ts";
import { denseTensors, expertTensors } from "./feed-forward.ts";
import type { ModelFile } from "./model.ts";
import { createRope, readRopeScaling } from "./rope.ts";
import { fine } from "./weights.ts";

interface LlamaArguments extends DecoderArguments {
  readonly attention: AttentionOptions;
  readonly rope: Rope;
}

function readArguments(file: ModelFile): LlamaArguments {
  const config = readConfig(file);
  const settings = settingsOf(file);
  const dims = readRotaryDims(file, config.headSize);
  return {
    ...config,
    hidden: config.experts > 0 ? 0 : config.hidden,
    epsilon: settings.number("attention.layer_norm_rms_epsilon", "above 0"),
    attention: {
      heads: config.heads,
      scale: readScale(settings, config.headSize),
    },
    rope: createRope({
      source: file.path,
      headSize: config.headSize,
      dims,
      pairing: "adjacent",
      base: settings.number("rope.freq_base", "above 0", 10000),
      scaling: readRopeScaling(settings, file.path, config.contextLength),
      ...readRopeFactors(file, dims),
    }),
  };
}

/** Some files have 0 for the usual one. */
function readScale(settings: Settings, headSize: number): number {
  return settings.number("attention.scale", "any", 0) || 1 / Math.sqrt(headSize);
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
  f32.decode(readTensor(tensor, 0, dims / 2), factors);
  const bad = factors.findIndex((factor) => !(factor > 0 && Number.isFinite(factor)));
  if (bad < 0) return { factors };
  throw new GrokError(
    "format",
    `${file.path}: tensor rope_freqs.weight: value ${bad} is ${factors[bad]}, expected above 0`,
    {
      ...{ path: file.path, tensor: tensor.name, index: bad },
    },
  );
}

/** A layer's tensors; modules by the names of transformers' Llama and Mixtral. */
function tensors(args: LlamaArguments) {
  const { width, experts } = args;
  return {
    norm: { name: "attn_norm", module: "input_layernorm", shape: [width] },
    ...attentionTensors(args, "self_attn", { permuted: true }),
    ffnNorm: { name: "ffn_norm", module: "post_attention_layernorm", shape: [width] },
    dense: experts === 0 ? denseTensors(args, fine) : undefined,
    sparse: experts > 0 ? expertTensors(args, "block_sparse_moe", { gate: "w1", up: "w3", down: "w2" }) : undefined,
  };
}

type LayerWeights = Weights<ReturnType<typeof tensors>>;

async function layer(pass: LayerPass, h: Matrix, w: LayerWeights, args: LlamaArguments): Promise<Matrix> {
  const { ops, attend, keep } = pass;
  const { epsilon, rope, attention } = args;
  const [q, k, v] = rotatedProjections(pass, ops.rmsNorm("attn_norm", h, w.norm, epsilon), w, rope);
  h = ops.add("ffn_inp", ops.matmul("attn_out", attend(q, k, v, attention), w.output), keep(h));
  pass.foresee(h);
  const y = await feedForward(ops, ops.rmsNorm("ffn_norm", h, w.ffnNorm, epsilon), w, args);
  return ops.add("l_out", y, h);
}

/** The experts that x [n, width] goes to. */
function route(ops: Ops, name: string, x: Matrix, router: Weight, { used }: LlamaArguments): Routing {
  return ops.route(`${name}_probs`, ops.matmul(`${name}_logits`, x, router), { used, renormalize: true });
}

function foresee(ops: Expect, h: Matrix, { sparse, ffnNorm }: LayerWeights, args: LlamaArguments): void {
  if (sparse === undefined) return;
  const x = ops.rmsNorm("next_norm", h, ffnNorm, args.epsilon);
  ops.expect(route(ops, "next_moe", x, sparse.router, args), sparse.experts);
}

/** down(silu(gate x) * (up x)), or the chosen experts' weighted sum of the same. */
function feedForward(ops: Ops, x: Matrix, { dense, sparse }: LayerWeights, args: LlamaArguments) {
  if (sparse !== undefined) {
    return ops.experts("ffn_moe_out", x, route(ops, "ffn_moe", x, sparse.router, args), sparse.experts, "silu");
  }
  const gate = ops.matmul("ffn_gate", x, dense!.gate);
  const up = ops.matmul("ffn_up", x, dense!.up);
  return ops.matmul("ffn_out", ops.gated("ffn_gate_par", "silu", gate, up), dense!.down);
}

export const llama = createDecoder({
  name: "llama",
  readArguments,
  tensors,
  otherTensors: ["rope_freqs.weight"],
  foresee,
  layer,
});
