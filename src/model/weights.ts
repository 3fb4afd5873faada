import { GrokError } from "../errors.ts";
import type { Ops, Weight, WeightOptions } from "../kernels/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TensorSpec, TensorTable, Weights } from "./architecture.ts";
import type { ModelFile } from "./model.ts";

/**
 * For the products that 8 bits of activations harm most for what they cost: keys and values (a quarter of the harm in a few percent
 * of the arithmetic), logits (a fifth, and a prompt asks for one token's) and, in dense blocks of Llama, the way down (a fifth
 * in a quarter). docs/notes/accuracy.md has the figures.
 */
export const fine: WeightOptions = { fine: true };

/** Turns names into bound weights with checked shapes, once. Shapes are row-major: [out, in]. */
export interface Binder {
  /** @throws GrokError `shape` when the tensor is missing or of another shape. */
  weight(name: string, shape: readonly number[], options?: WeightOptions): Weight;
  /** The tensors of a layer's table. A stack is one tensor `blk.N.NAME_exps.weight`, or, in older files, `blk.N.NAME.E.weight` each. */
  layer<T extends TensorTable>(layer: number, table: T): Weights<T>;
}

export const hasTensor = (file: ModelFile, name: string): boolean =>
  file.tensors.has(name) || file.opaque?.has(name) === true;

export const tensorNames = (file: ModelFile): string[] => [...file.tensors.keys(), ...(file.opaque?.keys() ?? [])];

/** What a file calls a layer's tensor. */
export function layerTensorName(file: ModelFile, layer: number, { name, alias }: TensorSpec): string {
  const known = (each: string) => `blk.${layer}.${each}.weight`;
  return alias !== undefined && hasTensor(file, known(alias)) ? known(alias) : known(name);
}

export function missingTensor({ path }: ModelFile, name: string, shape: readonly number[]): GrokError {
  const message = `${path}: tensor ${name} is missing, expected one of shape [${shape.join(", ")}]`;
  return new GrokError("shape", message, { path, tensor: name, expected: shape });
}

export function wrongShape(
  { path }: ModelFile,
  name: string,
  found: readonly number[],
  expected: readonly number[],
): GrokError {
  const message = `${path}: tensor ${name} has shape [${found.join(", ")}], expected [${expected.join(", ")}]`;
  return new GrokError("shape", message, { path, tensor: name, expected, found });
}

function findTensor(file: ModelFile, name: string, shape: readonly number[]): Tensor {
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
    throw missingTensor(file, name, shape);
  }
  if (tensor.shape.length !== shape.length || tensor.shape.some((n, axis) => n !== shape[axis])) {
    throw wrongShape(file, name, tensor.shape, shape);
  }
  return tensor;
}

/** A layer's experts, by the name that they have as one tensor. @throws GrokError as {@link Binder.weight} */
export function findStack(file: ModelFile, whole: string, shape: readonly number[]): Tensor {
  const part = (e: number) => whole.replace("_exps.", `.${e}.`);
  if (hasTensor(file, whole) || !hasTensor(file, part(0))) return findTensor(file, whole, shape);
  const parts = Array.from({ length: shape[0]! }, (_, e) => findTensor(file, part(e), shape.slice(1)));
  return stackTensors(file.path, whole, parts);
}

export function createBinder(ops: Ops, file: ModelFile): Binder {
  const weight: Binder["weight"] = (name, shape, options) => ops.weight(findTensor(file, name, shape), options);
  return {
    weight,
    layer: <T extends TensorTable>(layer: number, table: T) =>
      mapSpecs(table, (spec) => {
        const name = layerTensorName(file, layer, spec);
        return spec.shape.length === 3
          ? ops.weight(findStack(file, name, spec.shape))
          : weight(name, spec.shape, spec.options);
      }),
  };
}

/** A table with something else in place of each tensor. */
function mapSpecs<T extends TensorTable>(table: T, make: (spec: TensorSpec) => Weight): Weights<T> {
  const made = Object.entries(table).map(([field, entry]) => {
    if (entry === undefined) return [field, undefined];
    return [field, isSpec(entry) ? make(entry) : mapSpecs(entry, make)];
  });
  return Object.fromEntries(made) as Weights<T>;
}

/** The tensors of a table, in its order. */
export function specsOf(table: TensorTable): TensorSpec[] {
  return Object.values(table).flatMap((entry) => (entry === undefined ? [] : isSpec(entry) ? [entry] : specsOf(entry)));
}

const isSpec = (entry: TensorSpec | TensorTable): entry is TensorSpec => typeof entry.name === "string";

/** `blk.N.NAME.E.weight`, as files from before stacks call an expert's matrix. */
const partName = /^(blk\.\d+\.ffn_(?:gate|up|down))\.(\d+)\.weight$/;

/**
 * A file's tensors as files of today have them: experts that lie in a tensor each are one stack, where the first of them was.
 * @throws GrokError `unsupported` for experts of several types; `shape` where one is missing, is there in a stack too or is of another shape.
 */
export function stackExperts(file: ModelFile): Tensor[] {
  const found = new Map<string, Tensor[]>();
  for (const tensor of file.tensors.values()) {
    const stem = partName.exec(tensor.name)?.[1];
    const whole = stem === undefined ? tensor.name : `${stem}_exps.weight`;
    const parts = found.get(whole) ?? [];
    if (parts.length > 0 && (stem === undefined || parts[0]!.name === whole)) {
      throw new GrokError("shape", `${file.path}: tensor ${whole} is there, and ${tensor.name} in another way`, {
        ...{ path: file.path, tensor: tensor.name },
      });
    }
    parts.push(tensor);
    found.set(whole, parts);
  }
  const placeIn = ({ name }: Tensor) => Number(partName.exec(name)?.[2]);
  const experts = file.metadata.get(`${file.metadata.string("general.architecture", "")}.expert_count`);
  return [...found].map(([name, tensors]) => {
    const [first] = tensors as [Tensor];
    if (first.name === name) return first;
    const parts = tensors.toSorted((a, b) => placeIn(a) - placeIn(b));
    const nameOf = (e: number) => name.replace("_exps.", `.${e}.`);
    for (const [e, part] of parts.entries()) {
      const expected = nameOf(e);
      if (part.name !== expected) throw missingTensor(file, expected, first.shape);
      if (part.shape.join() !== first.shape.join()) throw wrongShape(file, part.name, part.shape, first.shape);
    }
    if (Number(experts) > parts.length) throw missingTensor(file, nameOf(parts.length), first.shape);
    return stackTensors(file.path, name, parts);
  });
}

/** Tensors of one shape and type as one tensor with an axis more. */
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
    places: parts.flatMap((part) => part.places),
  };
}
