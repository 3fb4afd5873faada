import { GrokError } from "../errors.ts";
import type { Matrix, Ops, Weight } from "../kernels/ops.ts";
import { matrixPlaces, type Tensor } from "../tensor/tensor.ts";

/**
 * Told of inputs x [n, columns] before they meet a matrix: of one tensor, or of expert `expert` of a stack. Inputs that several matrices
 * share come under the same name, until the next layer's.
 */
export type InputsSeen = (tensor: string, expert: number, name: string, x: Float32Array) => void;

/** `ops`, with the inputs of every matrix shown to `see`; those within experts, which are one operation, are computed once more for it. */
export function observeInputs(ops: Ops, see: InputsSeen): Ops {
  const show = ({ tensor }: Weight, expert: number, x: Matrix, name = x.name) => {
    see(tensor.name, expert, name, valuesOf(ops, x));
  };
  return {
    ...ops,
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
        const [gate, up] = [stacks.gate, stacks.up].map((stack) => ops.weight(expertOf(stack.tensor, expert)));
        const part = ops.rows("inputs.rows", x, Int32Array.from(own));
        show(stacks.gate, expert, part, `${x.name}.${expert}`);
        show(stacks.up, expert, part, `${x.name}.${expert}`);
        const [g, u] = [ops.matmul("inputs.gate", part, gate!), ops.matmul("inputs.up", part, up!)];
        show(stacks.down, expert, ops.gated("inputs.inner", activation, g, u), `${name}.${expert}`);
      }
      return ops.experts(name, x, routing, stacks, activation, terms);
    },
  };
}

function valuesOf(ops: Ops, x: Matrix): Float32Array {
  const values = ops.read(x);
  if (values instanceof Float32Array) return values;
  throw new GrokError("unsupported", `${ops.backend}: inputs are observed on the native backend only`, {});
}

function expertOf(tensor: Tensor, expert: number): Tensor {
  const { name, shape } = tensor;
  return { ...tensor, name: `${name}.${expert}`, shape: shape.slice(1), places: [matrixPlaces(tensor)[expert]!] };
}
