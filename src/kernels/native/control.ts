import type { AddonBackend } from "../../addon.ts";
import type { Batch } from "../ops.ts";

/** Hands lists of whole numbers to the addon through memory that both see. */
export interface Control {
  /** Writes one list. */
  list(values: Int32Array): void;
  /** Writes a batch: number of sequences; positions; start, count, page table length of each; the page tables. */
  batch(batch: Batch): void;
  /** Writes a factor, as float64, and a target for each row. */
  targets(factors: Float64Array, targets: Int32Array): void;
}

export function createControl(native: AddonBackend): Control {
  let block = new Int32Array(native.control(1));
  const reserve = (length: number) => {
    if (length > block.length) block = new Int32Array(native.control(length));
  };
  return {
    list(values) {
      reserve(values.length);
      block.set(values);
    },
    batch({ positions, sequences }) {
      let length = 1 + positions.length + 3 * sequences.length;
      for (const { pages } of sequences) length += pages.length;
      reserve(length);
      block[0] = sequences.length;
      block.set(positions, 1);
      let at = 1 + positions.length;
      for (const { start, count, pages } of sequences) {
        block[at++] = start;
        block[at++] = count;
        block[at++] = pages.length;
      }
      for (const { pages } of sequences) {
        block.set(pages, at);
        at += pages.length;
      }
    },
    targets(factors, targets) {
      reserve(3 * targets.length);
      new Float64Array(block.buffer, 0, factors.length).set(factors);
      block.set(targets, 2 * targets.length);
    },
  };
}
