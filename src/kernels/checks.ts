/** What every backend holds its operands to. */

import { type ErrorDetails, GrokError } from "../errors.ts";
import type { Matrix, Places, Rope, Weight } from "./ops.ts";

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

/** @throws GrokError `shape` unless columns are whole heads that have room for the turned dimensions. */
export function checkRope(x: Matrix, { headSize, frequencies }: Rope): void {
  checkSize("rope", `columns of ${x.name} beyond whole heads`, 0, x.cols % headSize);
  if (2 * frequencies.length <= headSize) return;
  throw new GrokError("shape", `rope: ${2 * frequencies.length} dimensions in heads of ${headSize}`);
}

/** @throws GrokError `argument` unless each row of logits [n, experts] has `used` experts to choose. */
export function checkRoute({ cols }: Matrix, used: number): void {
  if (used >= 1 && used <= cols) return;
  throw new GrokError("argument", `route: cannot choose ${used} of ${cols} experts`, { used, experts: cols });
}

/** @throws GrokError `shape` unless a tensor is a vector, a matrix or a stack of matrices. */
export function checkAxes(what: string, shape: readonly number[], details: ErrorDetails = {}): void {
  if (shape.length >= 1 && shape.length <= 3) return;
  throw new GrokError("shape", `${what} has ${shape.length} axes, expected 1 to 3`, { ...details, found: shape });
}

/** Columns are named by numbers that a float32 holds exactly. */
const mostColumns = 2 ** 24;

/** @throws GrokError `argument` unless k values of each row can be chosen. */
export function checkTopK({ name, cols }: Matrix, k: number): void {
  if (Number.isInteger(k) && k >= 1 && k <= cols && cols <= mostColumns) return;
  throw new GrokError("argument", `topK: cannot choose ${k} of ${cols} columns of ${name} (at most ${mostColumns})`, {
    ...{ k, cols },
  });
}

/** @throws GrokError `argument` unless all places are in the matrix. */
export function checkPlaces({ name, rows: n, cols }: Matrix, { rows, columns }: Places): void {
  const isIn = (index: number | undefined, count: number) => Number.isInteger(index) && index! >= 0 && index! < count;
  for (let i = 0; i < Math.max(rows.length, columns.length); i++) {
    if (isIn(rows[i], n) && isIn(columns[i], cols)) continue;
    const message = `logprobs: there is no row ${rows[i]}, column ${columns[i]} in ${name} [${n}, ${cols}]`;
    throw new GrokError("argument", message, { row: rows[i], column: columns[i] });
  }
}

/** @throws GrokError `argument` unless `step` counts a step of AdamW, from 1. */
export function checkStep(step: number): void {
  if (Number.isInteger(step) && step >= 1) return;
  throw new GrokError("argument", `adamw: step ${step} is not a whole number from 1`, { step });
}

interface Sides {
  readonly matrices: number;
  readonly rows: number;
  readonly cols: number;
}
