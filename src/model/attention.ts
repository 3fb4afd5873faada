import type { Matrix, Rope, Weight } from "../kernels/ops.ts";
import type { LayerPass, TensorSpec } from "./architecture.ts";
import type { ModelConfig } from "./model.ts";
import { fine } from "./weights.ts";

/** The projections that every architecture's attention has, in its module `module`. */
export function attentionTensors(
  { width, heads, kvHeads, headSize }: ModelConfig,
  module: string,
  options: { readonly permuted?: boolean } = {},
) {
  const projection = (name: string, part: string, shape: readonly number[]): TensorSpec => ({
    ...{ name, module: `${module}.${part}`, shape },
  });
  const permuted = (count: number) => (options.permuted ? { permutedHeads: count } : {});
  return {
    q: { ...projection("attn_q", "q_proj", [heads * headSize, width]), ...permuted(heads) },
    k: { ...projection("attn_k", "k_proj", [kvHeads * headSize, width]), ...permuted(kvHeads), options: fine },
    v: { ...projection("attn_v", "v_proj", [kvHeads * headSize, width]), options: fine },
    output: projection("attn_output", "o_proj", [width, heads * headSize]),
  };
}

interface Projections {
  readonly q: Weight;
  readonly k: Weight;
  readonly v: Weight;
}

/** Queries, keys and values of x [n, width], the former two rotated. */
export function rotatedProjections({ ops }: LayerPass, x: Matrix, w: Projections, rope: Rope) {
  const q = ops.rope("Qcur_rope", ops.matmul("Qcur", x, w.q), rope);
  const k = ops.rope("Kcur_rope", ops.matmul("Kcur", x, w.k), rope);
  return [q, k, ops.matmul("Vcur", x, w.v)] as const;
}
