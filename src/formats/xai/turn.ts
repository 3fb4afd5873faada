import type { AddonEncoder } from "../../addon.ts";
import { type TensorType, tensorTypes } from "../../tensor/types.ts";
import { readTyped } from "./elements.ts";
import type { Panel } from "./panels.ts";
import { type ElementType, elementBytes } from "./pickle-values.ts";

/** What a panel's elements are, and what scales them. */
export interface PanelElements {
  readonly type: ElementType;
  /** Rows of the panel's matrix, and its columns, of which a panel has some. */
  readonly rows: number;
  readonly columns: number;
  /** Of matrix m, group g and column n at (m groups + g) columns + n; none where it is empty. A group is rows / groups rows. */
  readonly scales: Float32Array;
  readonly groups: number;
}

const ggmlTypes: Readonly<Record<ElementType, TensorType>> = { i1: "i8", f2: "f16", f4: "f32", bfloat16: "bf16" };

/** Elements along both axes that are turned at a time: rows and columns that lie far apart share few lines of the cache. */
const tile = 64;

export interface TurnOptions {
  /** Turns in place of this thread. */
  readonly addon?: AddonEncoder | undefined;
  /** Room for the result, which is new memory without it: the system hands that out page by page, which takes as long as turning. */
  readonly into?: Float32Array;
}

/**
 * Columns [from, to) of a panel as rows of float32, each element times its scale, rounded once (int8 times bfloat16 is exact).
 */
export function turnColumns(
  panel: Panel,
  elements: PanelElements,
  from: number,
  to: number,
  { addon, into }: TurnOptions = {},
): Float32Array {
  const { type, rows, columns, groups } = elements;
  const { bytes, count } = panel;
  if (panel.columnMajor) {
    const size = elementBytes[type];
    const out = readTyped(type, bytes.subarray(from * rows * size, to * rows * size));
    scaleRows(panel, elements, from, out);
    return out;
  }
  const length = (to - from) * rows;
  const out = into === undefined ? new Float32Array(length) : into.subarray(0, length);
  if (addon !== undefined) {
    const scales = panelScales(panel, elements, elements.scales);
    addon.turn(tensorTypes[ggmlTypes[type]].ggml, bytes, rows, count, from, to, groups, columns, scales, out);
    return out;
  }
  const values = type === "i1" ? new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length) : readTyped(type, bytes);
  const square = new Float32Array(tile * tile);
  for (let k = 0; k < rows; k += tile) {
    const height = Math.min(tile, rows - k);
    for (let c = from; c < to; c += tile) {
      const width = Math.min(tile, to - c);
      for (let i = 0; i < height; i++) {
        for (let j = 0, at = (k + i) * count + c; j < width; j++) square[j * tile + i] = values[at + j]!;
      }
      for (let j = 0; j < width; j++) {
        out.set(square.subarray(j * tile, j * tile + height), (c - from + j) * rows + k);
      }
    }
  }
  scaleRows(panel, elements, from, out);
  return out;
}

/** Scales from a panel's first column on, or what stands in their place. */
function panelScales<T extends Float32Array | Uint16Array>(
  { matrix, first }: Panel,
  { groups, columns }: PanelElements,
  scales: T,
): T {
  const start = matrix * groups * columns;
  return (scales.length === 0 ? scales : scales.subarray(start + first, start + groups * columns)) as T;
}

function scaleRows(panel: Panel, elements: PanelElements, from: number, out: Float32Array): void {
  const { groups, rows, columns } = elements;
  if (elements.scales.length === 0) return;
  const scales = panelScales(panel, elements, elements.scales);
  const length = rows / groups;
  for (let start = 0, at = 0; start < out.length; start += length, at++) {
    const scale = scales[(at % groups) * columns + from + Math.floor(at / groups)]!;
    for (let i = start; i < start + length; i++) out[i] = out[i]! * scale;
  }
}

/** A Q8_0 block has 32 elements: its scale in f16, then int8. */
const [blockSize, blockBytes] = [tensorTypes.q8_0.blockSize, tensorTypes.q8_0.blockBytes];

/**
 * Columns [from, to) of a panel of scaled int8 as rows of Q8_0: the int8 as they are, with scales in f16, `halves`. Rows of one group are
 * whole blocks (the caller has seen to it). By the addon where it is given.
 */
export function turnToQ8(
  panel: Panel,
  elements: PanelElements,
  halves: Uint16Array,
  from: number,
  to: number,
  addon?: AddonEncoder,
): Uint8Array {
  const { rows, columns, groups } = elements;
  const { count, columnMajor, bytes } = panel;
  const rowBytes = (rows / blockSize) * blockBytes;
  const out = new Uint8Array((to - from) * rowBytes);
  const scales = panelScales(panel, elements, halves);
  if (addon !== undefined && !columnMajor) {
    addon.turnToQ8(bytes, rows, count, from, to, groups, columns, scales, out);
    return out;
  }
  for (let c = from, at = 0; c < to; c++) {
    for (let k = 0; k < rows; k += blockSize, at += blockBytes) {
      const half = scales[Math.floor((k * groups) / rows) * columns + c]!;
      out[at] = half;
      out[at + 1] = half >>> 8;
      if (columnMajor) out.set(bytes.subarray(c * rows + k, c * rows + k + blockSize), at + 2);
      else for (let i = 0; i < blockSize; i++) out[at + 2 + i] = bytes[(k + i) * count + c]!;
    }
  }
  return out;
}
