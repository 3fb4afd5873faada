import type { DataFile } from "../../bytes/data-file.ts";
import type { GrokError } from "../../errors.ts";
import { shown } from "../../errors.ts";
import {
  type ArrayValue,
  type DtypeValue,
  type ElementType,
  elementBytes,
  type PickledArray,
  type PickleValue,
  type QuantizedValue,
} from "./pickle-values.ts";

type Refuse = (code: "format" | "unsupported", problem: string) => GrokError;

/** No published array has more than three. */
const mostAxes = 4;

/** What stands for `callee(*given)`: numpy's two ways to begin an array and its element type. Nothing else may be called. */
export function callValue(callee: PickleValue, given: PickleValue, refuse: Refuse): PickleValue {
  if (callee.kind !== "global")
    throw refuse("unsupported", `calls a value of kind ${callee.kind}; nothing of it was executed`);
  const items = given.kind === "tuple" ? given.items : [];
  if (callee.name === "numpy.core.multiarray._reconstruct") {
    const [type, shape, code] = items;
    const right =
      items.length === 3 &&
      type?.kind === "global" &&
      type.name === "numpy.ndarray" &&
      shape?.kind === "tuple" &&
      shape.items.length === 1 &&
      code?.kind === "bytes" &&
      code.length === 1;
    if (right) return { kind: "array" };
  } else if (callee.name === "numpy.dtype") {
    const [type, align, copy] = items;
    if (items.length === 3 && align?.kind === "bool" && copy?.kind === "bool") {
      if (type?.kind === "global" && type.name === "ml_dtypes.bfloat16") return dtype("bfloat16");
      if (type?.kind === "text") return dtype(elementType(type.value, refuse));
    }
  } else {
    throw refuse("unsupported", `calls ${callee.name}; nothing of it was executed`);
  }
  throw refuse("format", `calls ${callee.name} with other arguments than numpy writes; nothing of it was executed`);
}

function dtype(type: ElementType): DtypeValue {
  return { kind: "dtype", type, built: false };
}

function elementType(name: string, refuse: Refuse): ElementType {
  if (name !== "bfloat16" && Object.hasOwn(elementBytes, name)) return name as ElementType;
  throw refuse("unsupported", `an array of ${shown(name)}, expected ${Object.keys(elementBytes).join(", ")}`);
}

/** What stands for `callee.__new__(callee, *given)`: a quantized weight, and nothing else. */
export function newValue(callee: PickleValue, given: PickleValue, refuse: Refuse): PickleValue {
  const what = callee.kind === "global" ? callee.name : `a value of kind ${callee.kind}`;
  if (what !== "__main__.QuantizedWeight8bit") {
    throw refuse("unsupported", `makes an object of ${what}; nothing of it was executed`);
  }
  if (given.kind === "tuple" && given.items.length === 0) return { kind: "quantized" };
  throw refuse("format", `makes an object of ${what} with arguments, expected none`);
}

/** What stands for setting an object's state: once, and only what numpy and xAI's code write. */
export function buildValue(target: PickleValue, state: PickleValue, file: DataFile, refuse: Refuse): void {
  if (target.kind === "array") buildArray(target, state, refuse);
  else if (target.kind === "dtype") buildDtype(target, state, refuse);
  else if (target.kind === "quantized") buildQuantized(target, state, refuse);
  else throw refuse("unsupported", `sets the state of a value of kind ${target.kind}; nothing of it was executed`);
  if (target.kind === "array" && target.built!.offset + target.built!.bytes > file.size) {
    throw refuse("format", "an array's elements lie past the end of the file");
  }
}

/** (version, shape, dtype, whether in Fortran's order, elements) */
function buildArray(target: ArrayValue, state: PickleValue, refuse: Refuse): void {
  if (target.built !== undefined) throw refuse("format", "an array's state is set twice");
  const [version, shape, type, fortran, elements] = state.kind === "tuple" ? state.items : [];
  if (
    state.kind !== "tuple" ||
    state.items.length !== 5 ||
    version?.kind !== "int" ||
    shape?.kind !== "tuple" ||
    type?.kind !== "dtype" ||
    !type.built ||
    fortran?.kind !== "bool" ||
    elements?.kind !== "bytes"
  ) {
    throw refuse("format", "an array's state is not what numpy writes");
  }
  if (shape.items.length > mostAxes) throw refuse("format", `an array of ${shape.items.length} axes`);
  const lengths = shape.items.map((length) => {
    if (length.kind === "int" && length.value >= 0) return length.value;
    throw refuse(
      "format",
      `an array's axis is ${length.kind === "int" ? length.value : `a value of kind ${length.kind}`} long`,
    );
  });
  const bytes = lengths.reduce((product, length) => product * length, elementBytes[type.type]);
  if (bytes !== elements.length) {
    throw refuse(
      "format",
      `an array of shape [${lengths.join(", ")}] and type ${type.type} has ${elements.length} bytes, expected ${bytes}`,
    );
  }
  target.built = { type: type.type, shape: lengths, fortran: fortran.value, offset: elements.offset, bytes };
}

/** (version, byte order, None, None, None, element size or -1, alignment or -1, flags) */
function buildDtype(target: DtypeValue, state: PickleValue, refuse: Refuse): void {
  if (target.built) throw refuse("format", "an element type's state is set twice");
  const [version, order, ...rest] = state.kind === "tuple" ? state.items : [];
  const plain = rest.length === 6 && rest.slice(0, 3).every(({ kind }) => kind === "none");
  if (version?.kind !== "int" || version.value !== 3 || order?.kind !== "text" || !plain) {
    throw refuse("format", "an element type's state is not what numpy writes");
  }
  const expected = target.type === "i1" ? "|" : "<";
  if (order.value !== expected) {
    throw refuse("unsupported", `elements in byte order ${shown(order.value)}, expected ${shown(expected)}`);
  }
  target.built = true;
}

function buildQuantized(target: QuantizedValue, state: PickleValue, refuse: Refuse): void {
  if (target.built !== undefined) throw refuse("format", "a quantized weight's state is set twice");
  const entries = state.kind === "dict" ? state.entries : new Map<string, PickleValue>();
  const array = (name: string): PickledArray => {
    const value = entries.get(name);
    if (value?.kind === "array" && value.built !== undefined) return value.built;
    throw refuse(
      "format",
      `a quantized weight's ${name} is ${value === undefined ? "missing" : `a value of kind ${value.kind}`}, expected an array`,
    );
  };
  if (entries.size !== 2)
    throw refuse("format", `a quantized weight has ${entries.size} members, expected weight and scales`);
  target.built = { weight: array("weight"), scales: array("scales") };
}
