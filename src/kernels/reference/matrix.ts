import { GrokError } from "../../errors.ts";
import type { Matrix } from "../ops.ts";

/** A matrix of the reference backend: row-major float64 values. */
export interface ReferenceMatrix extends Matrix {
  /** [rows * cols], a view of the named scratch slot. */
  readonly data: Float64Array;
}

/** Scratch memory by name: asking again for a name gives the same memory, grown when it has to be. */
export interface Scratch {
  matrix(name: string, rows: number, cols: number): ReferenceMatrix;
  clear(): void;
}

export function createScratch(): Scratch {
  const slots = new Map<string, Float64Array>();
  return {
    matrix(name, rows, cols) {
      const size = rows * cols;
      let slot = slots.get(name);
      if (slot === undefined || slot.length < size) {
        slot = new Float64Array(size);
        slots.set(name, slot);
      }
      return { name, rows, cols, data: slot.subarray(0, size) };
    },
    clear() {
      slots.clear();
    },
  };
}

/** The values of a matrix that this backend made. */
export function valuesOf(matrix: Matrix): Float64Array {
  const data = (matrix as Partial<ReferenceMatrix>).data;
  if (!(data instanceof Float64Array)) {
    throw new GrokError("argument", `matrix ${matrix.name} was not made by the reference backend`, {
      matrix: matrix.name,
    });
  }
  return data;
}
