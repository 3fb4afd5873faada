import type { Addon, AddonBackend } from "../../addon.ts";
import { GrokError } from "../../errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { encodedBytes, tensorTypes } from "../../tensor/types.ts";
import type { Weight, WeightOptions } from "../ops.ts";

/** A tensor bound to a native backend: one [rows, cols] matrix, or one for each expert. */
export interface NativeWeight extends Weight {
  readonly id: number;
  readonly native: AddonBackend;
  readonly matrices: number;
  readonly rows: number;
  readonly cols: number;
}

/** One ArrayBuffer's most, on Node 20. */
const mostBytes = 2 ** 32 - 1;

/**
 * Hands a tensor's bytes to the addon, in place.
 * @throws GrokError `unsupported` for a type without kernels, `shape` for no or more than 3 axes, `format` where rows do not fill
 * whole blocks.
 */
export function bindWeight(
  addon: Addon,
  native: AddonBackend,
  tensor: Tensor,
  { fine = false }: WeightOptions = {},
): NativeWeight {
  const { name, type, shape, source } = tensor;
  const { ggml } = tensorTypes[type];
  if (shape.length < 1 || shape.length > 3) {
    throw new GrokError("shape", `${source}: tensor ${name} has ${shape.length} axes, expected 1 to 3`, {
      source,
      tensor: name,
      found: shape,
    });
  }
  if (!addon.canDecode(ggml) || (shape.length > 1 && !addon.canMultiply(ggml))) {
    throw new GrokError("unsupported", `${source}: tensor ${name} is of type ${type}, which has no native kernels`, {
      source,
      tensor: name,
      type,
    });
  }
  const stacked = shape.length === 3;
  const matrices = stacked ? shape[0]! : 1;
  const rows = shape.length === 1 ? 1 : shape.at(-2)!;
  const cols = shape.at(-1)!;
  const bytes = rows * encodedBytes(type, cols);
  if (bytes > mostBytes) {
    throw new GrokError("unsupported", `${source}: tensor ${name} has a matrix of ${bytes} bytes, more than 4 GiB`, {
      source,
      tensor: name,
      bytes,
    });
  }
  const parts = stacked
    ? Array.from({ length: matrices }, (_, expert) => tensor.slice(expert, expert + 1))
    : [tensor.slice(0, shape[0]!)];
  return { tensor, native, matrices, rows, cols, id: native.weight(ggml, rows, cols, parts, fine ? 2 : 1) };
}

/** @throws GrokError `argument` for a weight that another backend bound. */
export function boundWeight(native: AddonBackend, weight: Weight): NativeWeight {
  if ((weight as NativeWeight).native !== native) {
    const { name } = weight.tensor;
    throw new GrokError("argument", `weight ${name} was not bound by this native backend`, { tensor: name });
  }
  return weight as NativeWeight;
}
