import { GrokError } from "../errors.ts";
import type { Ops, Weight, WeightOptions } from "../kernels/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ModelFile } from "./model.ts";

/**
 * For the products that 8 bits of activations harm most for what they cost: keys and values (a quarter of the harm in a few percent
 * of the arithmetic), logits (a fifth, and a prompt asks for one token's) and, in dense blocks of Llama, the way down (a fifth
 * in a quarter). docs/performance.md has the figures.
 */
export const fine: WeightOptions = { fine: true };

/** Turns names into bound weights with checked shapes, once. Shapes are row-major: [out, in]. */
export interface Binder {
  has(name: string): boolean;
  /** @throws GrokError `shape` when the tensor is missing or of another shape. */
  weight(name: string, shape: readonly number[], options?: WeightOptions): Weight;
  /** The weight, or undefined when the file has no tensor of that name. */
  optional(name: string, shape: readonly number[], options?: WeightOptions): Weight | undefined;
  /** A stack [experts, out, in]: one tensor `blk.N.NAME_exps.weight`, or, in older files, one a expert. */
  stack(block: string, name: string, shape: readonly number[]): Weight;
}

export function createBinder(ops: Ops, file: ModelFile): Binder {
  const find = (name: string, shape: readonly number[]): Tensor => {
    const tensor = file.tensors.get(name);
    const opaque = file.opaque?.get(name);
    if (opaque !== undefined) {
      throw new GrokError(
        "unsupported",
        `${file.path}: tensor ${name} is of ${opaque.typeName}, which grok1 cannot read`,
        {
          path: file.path,
          tensor: name,
          type: opaque.typeName,
        },
      );
    }
    if (tensor === undefined) {
      throw new GrokError(
        "shape",
        `${file.path}: tensor ${name} is missing, expected one of shape [${shape.join(", ")}]`,
        {
          path: file.path,
          tensor: name,
          expected: shape,
        },
      );
    }
    if (tensor.shape.length !== shape.length || tensor.shape.some((n, axis) => n !== shape[axis])) {
      throw new GrokError(
        "shape",
        `${file.path}: tensor ${name} has shape [${tensor.shape.join(", ")}], expected [${shape.join(", ")}]`,
        { path: file.path, tensor: name, expected: shape, found: tensor.shape },
      );
    }
    return tensor;
  };
  const has = (name: string) => file.tensors.has(name) || file.opaque?.has(name) === true;
  return {
    has,
    weight: (name, shape, options) => ops.weight(find(name, shape), options),
    optional: (name, shape, options) => (has(name) ? ops.weight(find(name, shape), options) : undefined),
    stack(block, name, shape) {
      const whole = `${block}.${name}_exps.weight`;
      if (has(whole) || !has(`${block}.${name}.0.weight`)) return ops.weight(find(whole, shape));
      const parts = Array.from({ length: shape[0]! }, (_, e) => find(`${block}.${name}.${e}.weight`, shape.slice(1)));
      return ops.weight(stackTensors(file.path, whole, parts));
    },
  };
}

/** Tensors of one shape and type as one tensor with an axis more; a slice of one entry is a view, not a copy. */
function stackTensors(path: string, name: string, parts: readonly Tensor[]): Tensor {
  const first = parts[0]!;
  for (const part of parts) {
    if (part.type === first.type) continue;
    throw new GrokError(
      "unsupported",
      `${path}: tensor ${part.name} is of type ${part.type}, expected ${first.type} like ${first.name}`,
      { path, tensor: part.name, expected: first.type, found: part.type },
    );
  }
  return {
    name,
    type: first.type,
    shape: [parts.length, ...first.shape],
    source: first.source,
    slice(start, end) {
      if (!(start >= 0 && start <= end && end <= parts.length)) {
        throw new GrokError("argument", `${path}: experts ${start} to ${end} of ${parts.length} in ${name}`, {
          start,
          end,
        });
      }
      const bytes = parts.slice(start, end).map((part) => part.slice(0, part.shape[0]!));
      if (bytes.length === 1) return bytes[0]!;
      const all = new Uint8Array(bytes.reduce((sum, part) => sum + part.length, 0));
      let at = 0;
      for (const part of bytes) {
        all.set(part, at);
        at += part.length;
      }
      return all;
    },
  };
}
