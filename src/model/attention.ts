import type { Batch, KvCache, Matrix, Ops, Rope, Weight } from "../kernels/ops.ts";
import type { ModelConfig } from "./model.ts";
import { type Binder, fine } from "./weights.ts";

/** What every architecture's attention has. */
export interface AttentionWeights {
  readonly norm: Weight;
  readonly q: Weight;
  readonly k: Weight;
  readonly v: Weight;
  readonly output: Weight;
}

/** One forward pass. */
export interface Pass {
  readonly batch: Batch;
  readonly cache: KvCache;
}

export function bindAttention(bind: Binder, block: string, config: ModelConfig): AttentionWeights {
  const { width, heads, kvHeads, headSize } = config;
  return {
    norm: bind.weight(`${block}.attn_norm.weight`, [width]),
    q: bind.weight(`${block}.attn_q.weight`, [heads * headSize, width]),
    k: bind.weight(`${block}.attn_k.weight`, [kvHeads * headSize, width], fine),
    v: bind.weight(`${block}.attn_v.weight`, [kvHeads * headSize, width], fine),
    output: bind.weight(`${block}.attn_output.weight`, [width, heads * headSize]),
  };
}

/** Stores keys and values of x [n, width]; returns q [n, heads * headSize], rotated. */
export function project(ops: Ops, w: AttentionWeights, x: Matrix, rope: Rope, pass: Pass, layer: number): Matrix {
  const q = ops.rope("Qcur_rope", ops.matmul("Qcur", x, w.q), pass.batch.positions, rope);
  const k = ops.rope("Kcur_rope", ops.matmul("Kcur", x, w.k), pass.batch.positions, rope);
  const v = ops.matmul("Vcur", x, w.v);
  ops.store(pass.cache, layer, k, v, pass.batch);
  return q;
}
