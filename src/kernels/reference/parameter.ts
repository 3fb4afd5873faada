import { GrokError } from "../../errors.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { checkAxes, checkSize } from "../checks.ts";
import type { Parameter, ParameterPart } from "../grad-ops.ts";
import type { Weight } from "../ops.ts";
import type { ReferenceWeight } from "./weight.ts";

/** A parameter of the reference backend: float64 values, gradient and moments, each of the whole shape. */
export interface ReferenceParameter extends Parameter, ReferenceWeight {
  readonly parts: Record<ParameterPart, Float64Array>;
}

export function createParameter(
  name: string,
  shape: readonly number[],
  values: Float32Array | Float64Array,
): ReferenceParameter {
  const size = elementCount(shape);
  checkAxes(`parameter ${name}`, shape, { name, shape });
  checkSize("parameter", `values of ${name}`, size, values.length);
  const parts = {
    values: Float64Array.from(values),
    gradient: new Float64Array(size),
    mean: new Float64Array(size),
    variance: new Float64Array(size),
  };
  const matrices = shape.length === 3 ? shape[0]! : 1;
  const rows = shape.length === 1 ? 1 : shape.at(-2)!;
  const cols = shape.at(-1)!;
  const live = (): Float64Array => {
    if (parts.values.length !== size) throw new GrokError("argument", `parameter ${name} was freed`, { name });
    return parts.values;
  };
  return {
    name,
    shape,
    trainable: true,
    tensor: { name, type: "f32", shape, source: "memory", places: [] },
    parts,
    matrices,
    rows,
    cols,
    eachBlock(index, use) {
      use(live().subarray(index * rows * cols, (index + 1) * rows * cols), 0, rows);
    },
    row: (row) => live().subarray(row * cols, (row + 1) * cols),
  };
}

/** The parameter that a weight is, or undefined for a frozen one. @throws GrokError `argument` for one that was freed. */
export function parameterOf(weight: Weight): ReferenceParameter | undefined {
  const { parts, name, shape } = weight as Partial<ReferenceParameter>;
  if (parts === undefined) return undefined;
  if (parts.values.length !== elementCount(shape!)) {
    throw new GrokError("argument", `parameter ${name} was freed`, { name: name! });
  }
  return weight as ReferenceParameter;
}

/** @throws GrokError `argument` for a parameter of another backend, or a freed one. */
export function boundParameter(parameter: Parameter): ReferenceParameter {
  const found = parameterOf(parameter);
  if (found !== undefined) return found;
  throw new GrokError("argument", `parameter ${parameter.name} was not made by the reference backend`);
}
