import type { AddonBackend } from "../../addon-backend.ts";
import { GrokError } from "../../errors.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { checkAxes, checkSize } from "../checks.ts";
import type { Parameter, ParameterPart, TrainableWeight } from "../grad-ops.ts";
import type { Weight } from "../ops.ts";
import type { NativeWeight } from "./weight.ts";

/** A parameter in the addon's memory: a weight with a gradient and moments. */
export interface NativeParameter extends Parameter, NativeWeight {
  /** The values of a part; a view. @throws GrokError `argument` when the parameter was freed. */
  values(part: ParameterPart): Float32Array;
  free(): void;
}

/** A weight that is adapted by parameters. */
export interface AdaptedWeight extends TrainableWeight, NativeWeight {
  readonly base: NativeWeight;
}

const names: readonly ParameterPart[] = ["values", "gradient", "mean", "variance"];

/** @throws GrokError `shape` for no or more than 3 axes, or values that do not fill the shape. */
export function createParameter(
  native: AddonBackend,
  name: string,
  shape: readonly number[],
  values: Float32Array | Float64Array,
): NativeParameter {
  checkAxes(`parameter ${name}`, shape, { name, shape });
  const size = elementCount(shape);
  checkSize("parameter", `values of ${name}`, size, values.length);
  const matrices = shape.length === 3 ? shape[0]! : 1;
  const rows = shape.length === 1 ? 1 : shape.at(-2)!;
  const cols = shape.at(-1)!;
  const id = native.parameter(matrices, rows, cols);
  const views = new Map<ParameterPart, Float32Array>();
  let live = true;
  const valuesOf = (part: ParameterPart): Float32Array => {
    if (!live) throw new GrokError("argument", `parameter ${name} was freed`, { name });
    const known = views.get(part) ?? new Float32Array(native.part(id, names.indexOf(part)), 0, size);
    views.set(part, known);
    return known;
  };
  valuesOf("values").set(values);
  return {
    name,
    shape,
    trainable: true,
    tensor: { name, type: "f32", shape, source: "memory", places: [] },
    native,
    id,
    matrices,
    rows,
    cols,
    values: valuesOf,
    free() {
      if (!live) return;
      live = false;
      views.clear();
      native.freeWeight(id);
    },
  };
}

/** The parameter that a weight is, or undefined. */
export function parameterOf(weight: Weight): NativeParameter | undefined {
  return (weight as Partial<NativeParameter>).values === undefined ? undefined : (weight as NativeParameter);
}

/** @throws GrokError `argument` for a parameter of another backend, or a freed one. */
export function boundParameter(native: AddonBackend, parameter: Parameter): NativeParameter {
  const found = parameterOf(parameter);
  if (found?.native !== native) {
    throw new GrokError("argument", `parameter ${parameter.name} was not made by this native backend`);
  }
  found.values("values");
  return found;
}

/** The base of an adapted weight, or undefined. */
function baseOf(weight: Weight): NativeWeight | undefined {
  return (weight as Partial<AdaptedWeight>).base;
}

/** @throws GrokError `shape` when the shapes do not fit, `argument` for a base that is adapted already. */
export function adaptWeight(base: NativeWeight, a: NativeParameter, b: NativeParameter, scale: number): AdaptedWeight {
  const { tensor, native, matrices, rows, cols } = base;
  if (baseOf(base) !== undefined) throw new GrokError("argument", `weight ${tensor.name} is adapted already`);
  for (const part of [a, b]) {
    checkSize("lowRank", `axes of ${part.name}`, tensor.shape.length, part.shape.length);
    checkSize("lowRank", `matrices of ${part.name}`, matrices, part.matrices);
  }
  checkSize("lowRank", `columns of ${a.name}`, cols, a.cols);
  checkSize("lowRank", `rows of ${b.name}`, rows, b.rows);
  checkSize("lowRank", `columns of ${b.name}`, a.rows, b.cols);
  return {
    tensor,
    trainable: true,
    native,
    matrices,
    rows,
    cols,
    base,
    id: native.adapted(base.id, a.id, b.id, scale),
  };
}
