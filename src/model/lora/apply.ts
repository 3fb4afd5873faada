import { GrokError } from "../../errors.ts";
import type { Batch, ExpertStacks, LowRank, Matrix, Ops, Weight } from "../../kernels/ops.ts";
import type { MemoryPlace } from "../../tensor/tensor.ts";
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
  /** By tensor; of experts, a stack of all of them for each rank that any has. */
  readonly terms: ReadonlyMap<string, readonly Omit<LowRank, "scales">[]>;
}

/** What each sequence of a batch uses. */
export type AdapterChoices = readonly (readonly AppliedAdapter[])[];

/**
 * Operations that add low-rank terms beside their products, row by row as each sequence of a batch wants it, and read the base in
 * place.
 */
export interface AdaptedOps {
  /** Bind models to these. */
  readonly ops: Ops;
  bind(adapter: LoraAdapter): BoundAdapter;
  /** From the next batch on, each uses `choicesOf(batch)`; before that none. */
  follow(choicesOf: (batch: Batch) => AdapterChoices): void;
}

/** One adapter in a pass: how strongly each row uses it, 0 where it does not. */
interface RowScales {
  readonly adapter: BoundAdapter;
  readonly all: Scales;
  /** Of the rows that go on after the last layer's attention. */
  readonly outputs: Scales;
}

interface Scales {
  readonly values: Float64Array;
  /** The same where the backend reads it; made when it is first needed. */
  matrix?: Matrix;
}

/**
 * y = x Wᵀ + Σ (scale x Aᵀ) Bᵀ over the adapters of a row, and the same inside each expert. Rows are scaled one by one, by 0 where
 * a row does not use the adapter, so a row's result does not depend on what others use. A pass without adapters
 * makes exactly the base's calls.
 */
export function adaptOps(base: Ops): AdaptedOps {
  let choicesOf = (_batch: Batch): AdapterChoices => [];
  /** Of the batch under way: empty when no row uses an adapter. */
  let used: RowScales[] = [];

  const termsOf = (tensor: string, rows: number): LowRank[] =>
    used.flatMap(({ adapter, all, outputs }, i) => {
      const terms = adapter.terms.get(tensor);
      if (terms === undefined) return [];
      const of = [all, outputs].find(({ values }) => values.length === rows);
      if (of === undefined) {
        throw new GrokError("internal", `adapters: ${rows} rows for ${tensor} in a batch of ${all.values.length}`);
      }
      if (of.matrix === undefined) {
        of.matrix = base.matrix(`lora.scales ${i} ${of === all ? "of all" : "of outputs"}`, rows, 1);
        base.write(of.matrix, of.values);
      }
      const scales = of.matrix;
      return terms.map((term) => ({ ...term, scales }));
    });

  const termsOfExperts = ({ gate, up, down }: ExpertStacks, rows: number) => {
    const of = ({ tensor }: Weight) => termsOf(tensor.name, rows);
    return { gate: of(gate), up: of(up), down: of(down) };
  };

  const ops: Ops = {
    ...base,
    begin(batch) {
      base.begin(batch);
      used = scaleRows(batch, choicesOf(batch));
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
      const bound = [...groupBy(terms, ({ target }) => target.tensor)].map(
        ([tensor, of]) =>
          [tensor, [...groupBy(of, ({ rank }) => rank).values()].map((same) => bindTerms(base, path, same))] as const,
      );
      return { path, terms: new Map(bound) };
    },
    follow(choices) {
      choicesOf = choices;
    },
  };
}

/**
 * The factors of a tensor's terms of one rank, the scales taken into B. Experts without such a term share one matrix of zeros, so
 * that what is held is never more than twice what the adapter has, whatever the ranks of single experts.
 */
function bindTerms(base: Ops, path: string, terms: readonly LowRankTerm[]): Omit<LowRank, "scales"> {
  const { target, rank } = terms[0]!;
  const weight = (part: string, rows: number, cols: number, valuesOf: (term: LowRankTerm) => Float32Array) => {
    const count = target.experts ?? 1;
    const zeros = { memory: new Uint8Array(terms.length < count ? 4 * rows * cols : 0) };
    const places = new Array<MemoryPlace>(count).fill(zeros);
    for (const term of terms) {
      const { buffer, byteOffset, byteLength } = valuesOf(term);
      places[term.target.expert ?? 0] = { memory: new Uint8Array(buffer, byteOffset, byteLength) };
    }
    const shape = target.experts === undefined ? [rows, cols] : [target.experts, rows, cols];
    return base.weight({ name: `${target.tensor}.${part}`, type: "f32", shape, source: path, places });
  };
  return {
    a: weight("lora_A", rank, target.in, ({ a }) => a),
    b: weight("lora_B", target.out, rank, ({ b, scale }) => b.map((value) => scale * value)),
  };
}

function groupBy<K, T>(all: readonly T[], keyOf: (one: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const one of all) {
    const key = keyOf(one);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [one]);
    else known.push(one);
  }
  return groups;
}

function scaleRows(batch: Batch, choices: AdapterChoices): RowScales[] {
  const all = new Map<BoundAdapter, Float64Array>();
  for (const [index, { start, count }] of batch.sequences.entries()) {
    for (const { adapter, scale } of choices[index] ?? []) {
      const scales = all.get(adapter) ?? new Float64Array(batch.tokens.length);
      for (let row = start; row < start + count; row++) scales[row] = scales[row]! + scale;
      all.set(adapter, scales);
    }
  }
  return [...all].map(([adapter, values]) => ({
    ...{ adapter, all: { values }, outputs: { values: Float64Array.from(batch.outputs, (row) => values[row]!) } },
  }));
}
