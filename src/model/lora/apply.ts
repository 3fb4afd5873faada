import { GrokError } from "../../errors.ts";
import type { Batch, ExpertStacks, LowRank, Matrix, Ops, Weight } from "../../kernels/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Model } from "../model.ts";
import type { LoraAdapter, LowRankTerm } from "./adapter.ts";

/** A bound adapter, and how strongly a sequence uses it. */
export interface AppliedAdapter {
  readonly adapter: BoundAdapter;
  /** Multiplies the adapter's own scale; 1 is as trained. */
  readonly scale: number;
}

/** An adapter whose matrices a backend holds. Opaque. */
export interface BoundAdapter {
  readonly path: string;
  /** By tensor; of experts, stacks of all of them. */
  readonly terms: ReadonlyMap<string, Omit<LowRank, "scales">>;
}

/**
 * Operations that add low-rank terms beside their products, row by row as each sequence of a batch wants it, and read the base in
 * place.
 */
export interface AdaptedOps {
  /** Bind models to these. */
  readonly ops: Ops;
  bind(adapter: LoraAdapter): BoundAdapter;
  /** The model, bound to {@link AdaptedOps.ops}, so that its passes follow `adaptersOf(batch)`: for each sequence what it uses. */
  follow(model: Model, adaptersOf: (batch: Batch) => readonly (readonly AppliedAdapter[])[]): Model;
}

/** One adapter in a pass: how strongly each row uses it, 0 where it does not. */
interface RowScales {
  readonly adapter: BoundAdapter;
  readonly scales: Float64Array;
  /** The same where the backend reads it; made when it is first needed. */
  matrix?: Matrix;
}

/**
 * y = x Wᵀ + Σ (scale x Aᵀ) Bᵀ over the adapters of a row, and the same inside each expert. Rows are scaled one by one, by 0 where
 * a row does not use the adapter, so a row's result does not depend on what others use. A pass without adapters
 * makes exactly the base's calls.
 */
export function adaptOps(base: Ops): AdaptedOps {
  /** Of the pass under way: empty when no row uses an adapter. */
  let used: RowScales[] = [];

  const termsOf = (tensor: string, rows: number): LowRank[] =>
    used.flatMap((each, i) => {
      const term = each.adapter.terms.get(tensor);
      if (term === undefined) return [];
      if (each.scales.length !== rows) {
        throw new GrokError("internal", `adapters: ${rows} rows for ${tensor} in a pass of ${each.scales.length}`);
      }
      if (each.matrix === undefined) {
        each.matrix = base.matrix(`lora.scales ${i}`, rows, 1);
        base.write(each.matrix, each.scales);
      }
      return [{ ...term, scales: each.matrix }];
    });

  const termsOfExperts = ({ gate, up, down }: ExpertStacks, rows: number) => {
    const of = ({ tensor }: Weight) => termsOf(tensor.name, rows);
    return { gate: of(gate), up: of(up), down: of(down) };
  };

  const ops: Ops = {
    ...base,
    rows(name, x, indices) {
      // After the models' one gathering of rows, the pass goes on with those alone.
      if (used[0]?.scales.length === x.rows) {
        used = used.map(({ adapter, scales }) => ({
          adapter,
          scales: Float64Array.from(indices, (row) => scales[row]!),
        }));
      }
      return base.rows(name, x, indices);
    },
    matmul(name, x, weight) {
      const y = base.matmul(name, x, weight);
      for (const term of termsOf(weight.tensor.name, x.rows)) base.addLowRank(y, x, term);
      return y;
    },
    experts: (name, x, routing, stacks, activation) =>
      used.length === 0
        ? base.experts(name, x, routing, stacks, activation)
        : base.experts(name, x, routing, stacks, activation, termsOfExperts(stacks, x.rows)),
  };

  return {
    ops,
    bind({ path, terms }) {
      const byTensor = new Map<string, LowRankTerm[]>();
      for (const term of terms) {
        const known = byTensor.get(term.target.tensor);
        if (known === undefined) byTensor.set(term.target.tensor, [term]);
        else known.push(term);
      }
      const bound = [...byTensor].map(([tensor, of]) => [tensor, bindTerm(base, path, tensor, of)] as const);
      return { path, terms: new Map(bound) };
    },
    follow: (model, adaptersOf) => ({
      ...model,
      async forward(batch, cache) {
        used = scaleRows(batch, adaptersOf(batch));
        try {
          return await model.forward(batch, cache);
        } finally {
          used = [];
        }
      },
    }),
  };
}

/**
 * The factors of a tensor, its scale taken into B. Experts' are stacks with room for the largest rank; those that the adapter leaves
 * alone are zeros.
 */
function bindTerm(base: Ops, path: string, tensor: string, terms: readonly LowRankTerm[]): Omit<LowRank, "scales"> {
  const { target } = terms[0]!;
  const rank = Math.max(...terms.map((term) => term.rank));
  const experts = target.experts === undefined ? [] : [target.experts];
  const count = target.experts ?? 1;
  const as = new Float32Array(count * rank * target.in);
  const bs = new Float32Array(count * target.out * rank);
  for (const { target: own, rank: ownRank, scale, a, b } of terms) {
    const place = own.expert ?? 0;
    as.set(a, place * rank * own.in);
    for (let row = 0; row < own.out; row++) {
      const to = (place * own.out + row) * rank;
      for (let r = 0; r < ownRank; r++) bs[to + r] = scale * b[row * ownRank + r]!;
    }
  }
  const weight = (part: string, sides: readonly number[], values: Float32Array) =>
    base.weight(memoryTensor(`${tensor}.${part}`, path, [...experts, ...sides], values));
  return { a: weight("lora_A", [rank, target.in], as), b: weight("lora_B", [target.out, rank], bs) };
}

function scaleRows(batch: Batch, adapters: readonly (readonly AppliedAdapter[])[]): RowScales[] {
  const all = new Map<BoundAdapter, Float64Array>();
  for (const [index, { start, count }] of batch.sequences.entries()) {
    for (const { adapter, scale } of adapters[index] ?? []) {
      const scales = all.get(adapter) ?? new Float64Array(batch.tokens.length);
      for (let row = start; row < start + count; row++) scales[row] = scales[row]! + scale;
      all.set(adapter, scales);
    }
  }
  return [...all].map(([adapter, scales]) => ({ adapter, scales }));
}

function memoryTensor(name: string, source: string, shape: readonly number[], values: Float32Array): Tensor {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const step = bytes.length / shape[0]!;
  return { name, type: "f32", shape, source, slice: (start, end) => bytes.subarray(start * step, end * step) };
}
