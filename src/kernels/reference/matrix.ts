import { GrokError } from "../../errors.ts";
import type { Matrix, Weight } from "../ops.ts";

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

/** Throws GrokError `shape` unless `found` is `expected`. */
export function checkSize(operation: string, what: string, expected: number, found: number): void {
  if (expected !== found) {
    throw new GrokError("shape", `${operation}: ${what} is ${found}, expected ${expected}`, {
      operation,
      what,
      expected,
      found,
    });
  }
}

/** Throws GrokError `argument` when an operation that reads while it writes is asked to write over its operand. */
export function checkApart(operation: string, name: string, ...operands: readonly Matrix[]): void {
  for (const operand of operands) {
    if (operand.name === name) {
      throw new GrokError("argument", `${operation} cannot write over its operand ${name}`, {
        operation,
        matrix: name,
      });
    }
  }
}

/** @throws GrokError `shape` for factors [rank, in] and [out, rank] that do not fit a matrix [out, in], or each matrix of a stack. */
export function checkLowRank(operation: string, a: Weight & Sides, b: Weight & Sides, base: Sides): void {
  for (const factor of [a, b]) {
    checkSize(operation, `matrices of ${factor.tensor.name}`, base.matrices, factor.matrices);
  }
  checkSize(operation, `columns of ${a.tensor.name}`, base.cols, a.cols);
  checkSize(operation, `rows of ${b.tensor.name}`, base.rows, b.rows);
  checkSize(operation, `columns of ${b.tensor.name}`, a.rows, b.cols);
}

interface Sides {
  readonly matrices: number;
  readonly rows: number;
  readonly cols: number;
}
