/** What a pickle of a checkpoint can hold: descriptions of values, none of which is ever called. */
export type PickleValue =
  | { readonly kind: "none" }
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "text"; readonly value: string }
  /** Where they lie in the file. */
  | { readonly kind: "bytes"; readonly offset: number; readonly length: number }
  | { readonly kind: "tuple"; readonly items: readonly PickleValue[] }
  | { readonly kind: "dict"; readonly entries: Map<string, PickleValue> }
  | { readonly kind: "global"; readonly name: AllowedGlobal }
  | DtypeValue
  | ArrayValue
  | QuantizedValue;

/** The only names that a checkpoint may refer to. */
export const allowedGlobals = [
  "numpy.core.multiarray._reconstruct",
  "numpy.ndarray",
  "numpy.dtype",
  "ml_dtypes.bfloat16",
  "__main__.QuantizedWeight8bit",
] as const;

export type AllowedGlobal = (typeof allowedGlobals)[number];

/** Types of elements, as numpy names them. */
export const elementBytes = { i1: 1, f2: 2, f4: 4, bfloat16: 2 } as const;

export type ElementType = keyof typeof elementBytes;

export interface DtypeValue {
  readonly kind: "dtype";
  readonly type: ElementType;
  /** Whether its state, with the byte order, was there. */
  built: boolean;
}

/** An array of numpy's: its elements lie in the file. */
export interface ArrayValue {
  readonly kind: "array";
  /** Undefined until its state was there. */
  built?: PickledArray;
}

export interface PickledArray {
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Elements in Fortran's order: the first axis is the contiguous one. */
  readonly fortran: boolean;
  /** Where the elements lie, in bytes from the start of the file; as many as the shape says. */
  readonly offset: number;
  readonly bytes: number;
}

/** xAI's `QuantizedWeight8bit`. */
export interface QuantizedValue {
  readonly kind: "quantized";
  built?: { readonly weight: PickledArray; readonly scales: PickledArray };
}
