import { GrokError } from "../errors.ts";
import type { Batch, Matrix } from "./ops.ts";

const wrong = (what: string, details: Record<string, number>) => new GrokError("argument", `batch: ${what}`, details);

/** What {@link Ops.begin} promises of a batch. @throws GrokError `argument`. */
export function checkBatch({ tokens, positions, sequences, outputs }: Batch): void {
  const rows = tokens.length;
  if (positions.length !== rows) {
    throw wrong(`${positions.length} positions of ${rows} tokens`, { rows, positions: positions.length });
  }
  let covered = 0;
  for (const { start, count } of sequences) {
    if (start !== covered || !(count >= 0)) {
      throw wrong(`a sequence of ${count} rows begins at row ${start}, expected at ${covered}`, { start, count });
    }
    covered += count;
  }
  if (covered !== rows) throw wrong(`its sequences have ${covered} of ${rows} rows`, { rows, covered });
  for (let row = 0; row < rows; row++) {
    if (positions[row]! < 0) throw wrong(`row ${row} is at position ${positions[row]}`, { row });
  }
  for (let i = 0; i < outputs.length; i++) {
    const row = outputs[i]!;
    if (row >= rows || row <= (i === 0 ? -1 : outputs[i - 1]!)) {
      throw wrong(`its outputs are not rows from 0 to ${rows - 1} in ascending order: ${row} is at ${i}`, { row });
    }
  }
}

/** The batch under way, for an operation on `x`. @throws GrokError `argument` without one, `shape` for a matrix of other rows. */
export function batchOf(operation: string, batch: Batch | undefined, x?: Matrix): Batch {
  if (batch === undefined) throw new GrokError("argument", `${operation}: no batch has begun`, { operation });
  if (x !== undefined && x.rows !== batch.tokens.length) {
    throw new GrokError("shape", `${operation}: rows of ${x.name} is ${x.rows}, expected ${batch.tokens.length}`, {
      ...{ operation, expected: batch.tokens.length, found: x.rows },
    });
  }
  return batch;
}
