import { GrokError } from "../../errors.ts";
import type { Activation, Batch, ExpertStacks, Matrix, Ops, Routing, Weight } from "../../kernels/ops.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { encodedBytes } from "../../tensor/types.ts";
import type { Model } from "../model.ts";
import type { LoraAdapter } from "./adapter.ts";

/** A bound adapter, and how strongly a sequence uses it. */
export interface AppliedAdapter {
  readonly adapter: BoundAdapter;
  /** Multiplies the adapter's own scale; 1 is as trained. */
  readonly scale: number;
}

/** An adapter whose matrices a backend holds. Opaque. */
export interface BoundAdapter {
  readonly path: string;
  readonly terms: ReadonlyMap<string, BoundTerm>;
}

interface BoundTerm {
  readonly a: Weight;
  readonly b: Weight;
  readonly scale: number;
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
}

const keyOf = (tensor: string, expert?: number) => (expert === undefined ? tensor : `${tensor} ${expert}`);

/**
 * y = x Wᵀ + Σ scale ((x Aᵀ) Bᵀ) over the adapters of a row: x Aᵀ is scaled a row at a time, by 0 where a row does not use
 * the adapter, so a row's result does not depend on what others use. Rows whose sequence adapts experts go through
 * their experts one at a time, since the terms lie inside the gate. A pass without adapters makes exactly the base's calls.
 *
 * The backend's reads must not wait, as is so of both backends.
 */
export function adaptOps(base: Ops): AdaptedOps {
  /** Of the pass under way: empty when no row uses an adapter. */
  let used: readonly RowScales[] = [];
  const slices = new WeakMap<Weight, Map<number, Weight>>();

  const termsOf = (key: string): { term: BoundTerm; scales: Float64Array }[] =>
    used.flatMap(({ adapter, scales }) => {
      const term = adapter.terms.get(key);
      return term === undefined ? [] : [{ term, scales }];
    });

  /** Adds the terms of a matrix to its product y. `rows` are the pass's rows that x holds; absent: all, in order. */
  const addTerms = (name: string, y: Matrix, x: Matrix, key: string, rows?: Int32Array): Matrix => {
    let sum = y;
    for (const { term, scales } of termsOf(key)) {
      if (rows === undefined && scales.length !== x.rows) {
        throw new GrokError("internal", `adapters: ${x.name} has ${x.rows} rows in a pass of ${scales.length}`);
      }
      const inner = base.matmul(`${name}.lora_a`, x, term.a);
      const values = valuesOf(base, inner);
      for (let row = 0; row < inner.rows; row++) {
        const scale = term.scale * scales[rows === undefined ? row : rows[row]!]!;
        for (let i = row * inner.cols; i < (row + 1) * inner.cols; i++) values[i] = values[i]! * scale;
      }
      base.write(inner, values);
      sum = base.add(name, sum, base.matmul(`${name}.lora_b`, inner, term.b));
    }
    return sum;
  };

  const sliceOf = (stack: Weight, expert: number): Weight => {
    const known = slices.get(stack) ?? new Map<number, Weight>();
    slices.set(stack, known);
    const weight = known.get(expert) ?? base.weight(expertTensor(stack.tensor, expert));
    known.set(expert, weight);
    return weight;
  };

  /** Rows that use an adapter of a stack's experts. */
  const adaptedRows = (stacks: ExpertStacks, routing: Routing): Int32Array => {
    const names = [stacks.gate, stacks.up, stacks.down].map(({ tensor }) => `${tensor.name} `);
    const with_ = used.filter(({ adapter }) =>
      [...adapter.terms.keys()].some((key) => names.some((name) => key.startsWith(name))),
    );
    const rows: number[] = [];
    for (let row = 0; row < routing.rows; row++) if (with_.some(({ scales }) => scales[row] !== 0)) rows.push(row);
    return Int32Array.from(rows);
  };

  /** Writes the sums over the chosen experts, with their adapters, into `rows` of `out`. */
  const adaptExperts = (
    name: string,
    out: Matrix,
    rows: Int32Array,
    x: Matrix,
    routing: Routing,
    stacks: ExpertStacks,
    activation: Activation,
  ) => {
    const sums = valuesOf(base, out);
    for (const row of rows) sums.fill(0, row * out.cols, (row + 1) * out.cols);
    const chosen = valuesOf(base, routing.chosen);
    const weights = valuesOf(base, routing.weights);
    const experts = routing.probabilities.cols;
    for (let expert = 0; expert < experts; expert++) {
      const places: number[] = [];
      for (const row of rows) {
        for (let i = row * routing.used; i < (row + 1) * routing.used; i++) if (chosen[i] === expert) places.push(i);
      }
      if (places.length === 0) continue;
      const mine = Int32Array.from(places, (place) => Math.floor(place / routing.used));
      const product = (part: string, input: Matrix, stack: Weight) => {
        const y = base.matmul(`${name}.${part}`, input, sliceOf(stack, expert));
        return addTerms(`${name}.${part}`, y, input, keyOf(stack.tensor.name, expert), mine);
      };
      const input = base.rows(`${name}.in`, x, mine);
      const gate = product("gate", input, stacks.gate);
      const up = product("up", input, stacks.up);
      const down = valuesOf(base, product("down", base.gated(`${name}.par`, activation, gate, up), stacks.down));
      for (const [i, place] of places.entries()) {
        const at = mine[i]! * out.cols;
        for (let col = 0; col < out.cols; col++) {
          sums[at + col] = sums[at + col]! + weights[place]! * down[i * out.cols + col]!;
        }
      }
    }
    base.write(out, sums);
    return out;
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
    matmul: (name, x, weight) => addTerms(name, base.matmul(name, x, weight), x, weight.tensor.name),
    experts(name, x, routing, stacks, activation) {
      const rows = adaptedRows(stacks, routing);
      if (rows.length === 0) return base.experts(name, x, routing, stacks, activation);
      const adapt = (out: Matrix) => adaptExperts(name, out, rows, x, routing, stacks, activation);
      if (rows.length === x.rows) return adapt(base.matrix(name, x.rows, x.cols));
      const out = base.experts(name, x, routing, stacks, activation);
      return out instanceof Promise ? out.then(adapt) : adapt(out);
    },
  };

  return {
    ops,
    bind({ path, terms }) {
      const bound = terms.map(({ target, rank, scale, a, b }): [string, BoundTerm] => {
        const weight = (part: string, shape: readonly number[], values: Float32Array) =>
          base.weight(memoryTensor(`${target.module}.${part}`, path, shape, values));
        const term = {
          a: weight("lora_A", [rank, target.in], a),
          b: weight("lora_B", [target.out, rank], b),
          scale,
        };
        return [keyOf(target.tensor, target.expert), term];
      });
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

/** A copy of a matrix's values. */
function valuesOf(ops: Ops, matrix: Matrix): Float32Array | Float64Array {
  const values = ops.read(matrix);
  if (values instanceof Promise) {
    throw new GrokError("unsupported", "adapters do not run on a backend whose results have to be waited for");
  }
  return values.slice();
}

function memoryTensor(name: string, source: string, shape: readonly number[], values: Float32Array): Tensor {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const step = bytes.length / shape[0]!;
  return { name, type: "f32", shape, source, slice: (start, end) => bytes.subarray(start * step, end * step) };
}

/** One matrix of a stack [experts, out, in]. */
function expertTensor({ name, type, shape, source, slice }: Tensor, expert: number): Tensor {
  const rowBytes = encodedBytes(type, shape[2]!);
  return {
    ...{ name: `${name} ${expert}`, type, shape: shape.slice(1), source },
    slice: (start, end) => slice(expert, expert + 1).subarray(start * rowBytes, end * rowBytes),
  };
}
