import { GrokError } from "../errors.ts";
import type { Matrix, Ops, Weight } from "../kernels/ops.ts";
import { matrixPlaces, type Tensor } from "../tensor/tensor.ts";

/**
 * Told of inputs x [n, columns] before they meet a matrix: of one tensor, or of expert `expert` of a stack. Inputs that several matrices
 * share come under the same name, until the next layer's.
 */
export type InputsSeen = (tensor: Tensor, expert: number, name: string, x: Float32Array | Float64Array) => void;

/**
 * `ops`, with the inputs of every matrix shown to `see`; those within experts, which are one operation, are computed once more for it, by
 * `within`: another backend where that of `ops` has experts in memory only while they are asked for.
 */
export function observeInputs(ops: Ops, see: InputsSeen, within = ops): Ops {
  // What is computed to foretell experts is no input of the model's.
  const { expect: _, ...rest } = ops;
  const bound = new Map<string, Weight>();
  const bind = (tensor: Tensor): Weight => {
    const weight = bound.get(tensor.name) ?? within.weight(tensor);
    bound.set(tensor.name, weight);
    return weight;
  };
  const copyOf = (x: Matrix): Matrix => {
    const copy = within.matrix(x.name, x.rows, x.cols);
    within.write(copy, Float32Array.from(valuesOf(ops, x)));
    return copy;
  };
  const show = ({ tensor }: Weight, expert: number, x: Matrix, name = x.name) => {
    see(tensor, expert, name, valuesOf(ops, x));
  };
  return {
    ...rest,
    matmul(name, x, weight) {
      show(weight, 0, x);
      return ops.matmul(name, x, weight);
    },
    experts(name, x, routing, stacks, activation, terms) {
      const chosen = valuesOf(ops, routing.chosen);
      const rows = Array.from({ length: stacks.gate.tensor.shape[0]! }, () => [] as number[]);
      for (const [i, expert] of chosen.entries()) rows[expert]!.push(Math.floor(i / routing.used));
      for (const [expert, own] of rows.entries()) {
        if (own.length === 0) continue;
        const [gate, up] = [stacks.gate, stacks.up].map((stack) => bind(expertOf(stack.tensor, expert)));
        const chosenRows = ops.rows("inputs.rows", x, Int32Array.from(own));
        show(stacks.gate, expert, chosenRows, `${x.name}.${expert}`);
        show(stacks.up, expert, chosenRows, `${x.name}.${expert}`);
        const part = within === ops ? chosenRows : copyOf(chosenRows);
        const [g, u] = [within.matmul("inputs.gate", part, gate!), within.matmul("inputs.up", part, up!)];
        const inner = within.gated("inputs.inner", activation, g, u);
        see(stacks.down.tensor, expert, `${name}.${expert}`, valuesOf(within, inner));
      }
      return ops.experts(name, x, routing, stacks, activation, terms);
    },
  };
}

function valuesOf(ops: Ops, x: Matrix): Float32Array | Float64Array {
  const values = ops.read(x);
  if (values instanceof Promise) throw new GrokError("unsupported", `${ops.backend}: a backend that waits`, {});
  return values;
}

function expertOf(tensor: Tensor, expert: number): Tensor {
  const { name, shape } = tensor;
  return { ...tensor, name: `${name}.${expert}`, shape: shape.slice(1), places: [matrixPlaces(tensor)[expert]!] };
}
