import { writeF16 } from "../../tensor/f16.ts";
import { readTyped } from "./elements.ts";
import type { Panel } from "./panels.ts";
import { type ElementType, elementBytes } from "./pickle-values.ts";

/** Elements along both axes that are turned at a time: rows and columns that lie far apart share few lines of the cache. */
const tile = 64;

/** What a panel's elements are, and what scales them. */
export interface PanelElements {
  readonly type: ElementType;
  /** Rows of the panel's matrix. */
  readonly rows: number;
  /** Columns of the panel's matrix. */
  readonly columns: number;
  /** See `readScales`; a group is rows / groups rows. */
  readonly scales: Float32Array | undefined;
  readonly groups: number;
}

/**
 * Columns [from, to) of a panel as rows of float32, each element times its scale, rounded once (int8 times bfloat16 is exact). Row c - from
 * of the result is column c.
 */
export function turnColumns(panel: Panel, elements: PanelElements, from: number, to: number): Float32Array {
  const { rows } = elements;
  const out = new Float32Array((to - from) * rows);
  if (panel.columnMajor) {
    const size = elementBytes[elements.type];
    out.set(readTyped(elements.type, panel.bytes.subarray(from * rows * size, to * rows * size)));
  } else if (elements.type === "i1") turnInt8(panel, rows, from, to, out);
  else turnFloats(panel, elements, from, to, out);
  scaleRows(panel, elements, from, out);
  return out;
}

function turnInt8({ bytes, count }: Panel, rows: number, from: number, to: number, out: Float32Array): void {
  const source = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  const turned = new Int8Array(tile * tile);
  for (let k = 0; k < rows; k += tile) {
    const height = Math.min(tile, rows - k);
    for (let c = from; c < to; c += tile) {
      const width = Math.min(tile, to - c);
      for (let i = 0; i < height; i++) {
        for (let j = 0, at = (k + i) * count + c; j < width; j++) turned[j * tile + i] = source[at + j]!;
      }
      for (let j = 0; j < width; j++) {
        for (let i = 0, at = (c - from + j) * rows + k; i < height; i++) out[at + i] = turned[j * tile + i]!;
      }
    }
  }
}

function turnFloats(
  { bytes, count }: Panel,
  { type, rows }: PanelElements,
  from: number,
  to: number,
  out: Float32Array,
) {
  const size = elementBytes[type];
  for (let k = 0; k < rows; k++) {
    const values = readTyped(type, bytes.subarray((k * count + from) * size, (k * count + to) * size));
    for (let c = 0; c < values.length; c++) out[c * rows + k] = values[c]!;
  }
}

function scaleRows({ matrix, first }: Panel, elements: PanelElements, from: number, out: Float32Array): void {
  const { scales, groups, rows, columns } = elements;
  if (scales === undefined) return;
  const length = rows / groups;
  for (let start = 0, at = 0; start < out.length; start += length, at++) {
    const [column, group] = [first + from + Math.floor(at / groups), at % groups];
    const scale = scales[(matrix * groups + group) * columns + column]!;
    for (let i = start; i < start + length; i++) out[i] = out[i]! * scale;
  }
}

/** Bytes of a Q8_0 block of 32 elements: its scale in f16, then int8. */
const blockBytes = 34;
const blockSize = 32;

/**
 * Columns [from, to) of a panel of scaled int8 as rows of Q8_0: the int8 as they are, the scales in f16. Rows of one group are whole blocks
 * (the caller has seen to it).
 */
export function turnToQ8(panel: Panel, elements: PanelElements, from: number, to: number): Uint8Array {
  const { rows, columns, scales, groups } = elements;
  const { matrix, first, count, columnMajor, bytes } = panel;
  const rowBytes = (rows / blockSize) * blockBytes;
  const out = new Uint8Array((to - from) * rowBytes);
  for (let c = from; c < to; c++) {
    for (let k = 0, at = (c - from) * rowBytes; k < rows; k += blockSize, at += blockBytes) {
      const group = Math.floor((k * groups) / rows);
      writeF16(out, at, scales![(matrix * groups + group) * columns + first + c]!);
    }
  }
  if (columnMajor) {
    for (let c = from, at = 0; c < to; c++) {
      for (let k = 0; k < rows; k += blockSize, at += blockBytes) {
        out.set(bytes.subarray(c * rows + k, c * rows + k + blockSize), at + 2);
      }
    }
    return out;
  }
  for (let k = 0; k < rows; k += blockSize) {
    for (let c = from; c < to; c += tile) {
      const width = Math.min(tile, to - c);
      const at = (c - from) * rowBytes + (k / blockSize) * blockBytes + 2;
      for (let i = 0; i < blockSize; i++) {
        for (let j = 0, source = (k + i) * count + c; j < width; j++) out[at + j * rowBytes + i] = bytes[source + j]!;
      }
    }
  }
  return out;
}
