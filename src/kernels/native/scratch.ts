import type { AddonBackend } from "../../addon-backend.ts";
import { GrokError } from "../../errors.ts";
import type { Matrix } from "../ops.ts";

/** A matrix of a native backend: a place in the addon's memory. */
export interface NativeMatrix extends Matrix {
  readonly id: number;
  readonly scratch: Scratch;
}

/** Scratch memory by name: asking again for a name gives the same memory, grown when it has to be. */
export interface Scratch {
  matrix(name: string, rows: number, cols: number): NativeMatrix;
  /** The id of a matrix of this backend. @throws GrokError `argument` for another's. */
  id(matrix: Matrix): number;
  /** A view of a matrix's values, row-major. */
  values(matrix: Matrix): Float32Array;
  /** Gives all memory back, also what is still looked at. Matrices that were had before are none any more. */
  release(): void;
  /** There are no matrices any more. */
  clear(): void;
}

interface Slot {
  readonly id: number;
  elements: number;
  /** All of the slot's memory, made when first looked at. */
  view: Float32Array | undefined;
}

export function createScratch(native: AddonBackend): Scratch {
  const slots = new Map<string, Slot>();
  const scratch: Scratch = {
    matrix(name, rows, cols) {
      const elements = rows * cols;
      let slot = slots.get(name);
      if (slot === undefined) {
        slot = { id: native.resize(-1, elements), elements, view: undefined };
        slots.set(name, slot);
      } else if (slot.elements < elements) {
        native.resize(slot.id, elements);
        slot.elements = elements;
        // Growing leaves room, so the next growth may stay in place; the same memory must not be handed to V8 twice.
        if (slot.view !== undefined && slot.view.length < elements) slot.view = undefined;
      }
      return { name, rows, cols, id: slot.id, scratch };
    },
    id(matrix) {
      const { id, scratch: owner } = matrix as NativeMatrix;
      if (owner !== scratch) {
        throw new GrokError("argument", `matrix ${matrix.name} was not made by this native backend`, {
          matrix: matrix.name,
        });
      }
      return id;
    },
    values(matrix) {
      const id = scratch.id(matrix);
      const slot = slots.get(matrix.name);
      if (slot === undefined) throw new GrokError("argument", `the memory of ${matrix.name} was given back`);
      slot.view ??= new Float32Array(native.view(id));
      return slot.view.subarray(0, matrix.rows * matrix.cols);
    },
    clear() {
      slots.clear();
    },
    release() {
      for (const { id } of slots.values()) native.freeMatrix(id);
      slots.clear();
      native.freeScratch();
    },
  };
  return scratch;
}
