import type { AddonEncoder } from "../addon.ts";
import { GrokError } from "../errors.ts";
import type { XaiTensor } from "../formats/xai/checkpoint.ts";
import { readTyped } from "../formats/xai/elements.ts";
import { readPanels, readScales } from "../formats/xai/panels.ts";
import type { PickledArray } from "../formats/xai/pickle-values.ts";
import { type PanelElements, turnColumns, turnToQ8 } from "../formats/xai/turn.ts";
import { decodeRow, encodeRow } from "../tensor/decode.ts";
import { f16Values, toF16 } from "../tensor/f16.ts";
import { pieceElements } from "./source.ts";

/** Columns that are turned at a time are a multiple of this, where there are so many. */
const columnStep = 64;

/**
 * A tensor's rows as GGUF has them: of a matrix [in, out] its columns, of the embedding, where `isEmbedding`, its rows. By the addon
 * where it is given.
 */
export async function* rowsOf(
  tensor: XaiTensor,
  isEmbedding: boolean,
  addon: AddonEncoder | undefined,
): AsyncGenerator<Float32Array> {
  const file = tensor.open();
  try {
    const { weight, scales } = tensor;
    if (weight.shape.length < 2) {
      yield readTyped(weight.type, file.read(weight.offset, weight.bytes));
      return;
    }
    const array = isEmbedding ? turned(weight) : weight;
    const elements = elementsOf(array, readScales(file, scales), scales);
    let into: Float32Array | undefined;
    for await (const panel of readPanels(file, array)) {
      for (const [from, to] of pieces(panel.count, elements.rows)) {
        // No piece is larger than the first.
        into ??= new Float32Array((to - from) * elements.rows);
        yield turnColumns(panel, elements, from, to, { addon, into });
      }
    }
  } finally {
    file.close();
  }
}

/** [K, N] in one order of elements is [N, K] in the other. */
function turned({ shape, fortran, ...rest }: PickledArray): PickledArray {
  return { ...rest, shape: [...shape].reverse(), fortran: !fortran };
}

function elementsOf(
  { type, shape }: PickledArray,
  values: Float32Array,
  scales: PickledArray | undefined,
): PanelElements {
  return { type, rows: shape.at(-2)!, columns: shape.at(-1)!, scales: values, groups: scales?.shape.at(-2) ?? 1 };
}

function* pieces(count: number, rows: number): Generator<[number, number]> {
  const fit = Math.floor(pieceElements / rows);
  const step = fit >= columnStep ? fit - (fit % columnStep) : Math.max(1, fit);
  for (let from = 0; from < count; from += step) yield [from, Math.min(count, from + step)];
}

/**
 * An int8 tensor as Q8_0. A row of GGUF's is a column of the checkpoint's, whose elements share one scale, or one for each group of
 * rows; so a block of Q8_0 takes the int8 as they are and the scale as f16, and is exact where f16 holds the scale: every bfloat16 from
 * 2^-17 (7.6e-6) to 65504, and some below. Elsewhere each block takes the nearer of two: these int8 with the scale's nearest f16, or Q8_0's own
 * rounding.
 * @throws GrokError `argument` for a scale that f16 cannot hold.
 */
export async function* q8Rows(tensor: XaiTensor, addon: AddonEncoder | undefined): AsyncGenerator<Uint8Array> {
  const file = tensor.open();
  try {
    const { weight, scales } = tensor;
    const values = readScales(file, scales);
    const far = values.findIndex((scale) => !(Math.abs(scale) <= 65504));
    if (far >= 0) {
      const message = `${tensor.path}: ${tensor.name} has a scale of ${values[far]}, and q8_0 holds up to 65504`;
      throw new GrokError("argument", message, { path: tensor.path, tensor: tensor.name });
    }
    const elements = elementsOf(weight, values, scales);
    const halves = Uint16Array.from(values, toF16);
    const isExact = values.every((scale, i) => f16Values[halves[i]!] === scale);
    for await (const panel of readPanels(file, weight)) {
      for (const [from, to] of pieces(panel.count, elements.rows)) {
        const bytes = turnToQ8(panel, elements, halves, from, to, addon);
        if (!isExact) mendBlocks(bytes, turnColumns(panel, elements, from, to, { addon }));
        yield bytes;
      }
    }
  } finally {
    file.close();
  }
}

/** Puts Q8_0's own rounding of the values in place of blocks where it is nearer. */
function mendBlocks(blocks: Uint8Array, values: Float32Array): void {
  const [found, own] = [new Float32Array(32), new Uint8Array(34)];
  for (let at = 0, from = 0; from < values.length; at += 34, from += 32) {
    const block = blocks.subarray(at, at + 34);
    const exact = values.subarray(from, from + 32);
    const kept = errorOf(block, exact, found);
    if (kept > 0 && errorOf(encodeRow("q8_0", exact, own), exact, found) < kept) block.set(own);
  }
}

function errorOf(block: Uint8Array, exact: Float32Array, found: Float32Array): number {
  decodeRow("q8_0", block, found);
  return found.reduce((sum, value, i) => sum + (value - exact[i]!) ** 2, 0);
}
