import type { AddonBackend } from "../../addon-backend.ts";
import type { Batch } from "../ops.ts";

/** Hands lists of whole numbers to the addon through memory that both see. */
export interface Control {
  /** Writes one list. */
  list(values: Int32Array): void;
  /** Begins a batch, in a block of its own that other lists leave alone. */
  batch(batch: Batch): void;
  /** Writes a factor, as float64, and a target for each row. */
  targets(factors: Float64Array, targets: Int32Array): void;
}

export function createControl(native: AddonBackend): Control {
  let lists = new Int32Array(native.control(1));
  let rows = new Int32Array(native.batch(1));
  const reserve = (length: number) => {
    if (length > lists.length) lists = new Int32Array(native.control(length));
  };
  return {
    list(values) {
      reserve(values.length);
      lists.set(values);
    },
    batch({ tokens, positions, sequences }) {
      const n = tokens.length;
      let length = 2 * n + 3 * sequences.length;
      for (const { pages } of sequences) length += pages.length;
      if (length > rows.length) rows = new Int32Array(native.batch(length));
      rows.set(tokens);
      rows.set(positions, n);
      let at = 2 * n;
      for (const { start, count, pages } of sequences) {
        rows[at++] = start;
        rows[at++] = count;
        rows[at++] = pages.length;
      }
      for (const { pages } of sequences) {
        rows.set(pages, at);
        at += pages.length;
      }
      native.begin(n, sequences.length);
    },
    targets(factors, targets) {
      reserve(3 * targets.length);
      new Float64Array(lists.buffer, 0, factors.length).set(factors);
      lists.set(targets, 2 * targets.length);
    },
  };
}
