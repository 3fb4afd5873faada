import { type AddonEncoder, loadAddon } from "../addon.ts";
import { GrokError } from "../errors.ts";
import { coreLimit } from "../machine/limits.ts";
import {
  canEncode,
  decodeRow,
  type EncodedRows,
  encodeNatively,
  encodeRow,
  largestOf,
  nothingKnown,
  refuseEncoding,
  refuseValue,
} from "./decode.ts";
import { encodedBytes, type TensorType, tensorTypes } from "./types.ts";

/** What makes a tensor type's bytes of rows of numbers. */
export interface RowEncoder {
  /** The addon's side, for who decodes on the same threads; absent where there is no addon. */
  readonly addon: AddonEncoder | undefined;
  /**
   * Rows of `columns` values each, one after the other, as bytes of `type`: new ones. The same with any number of threads.
   *
   * @param importance of each column, how much an error in it weighs: for types that are searched for, and those of 4 and 5 bits.
   * @throws GrokError `unsupported` for a type without an encoder here; `argument` for rows that do not fill blocks, and for the first value
   * that the type cannot hold (what is no number, no infinity, and nothing past f16's largest where the type has f16 scales), whose place
   * is `index` in the details.
   */
  encode(type: TensorType, rows: Float32Array | EncodedRows, columns: number, importance?: Float32Array): Uint8Array;
  /** Whether it takes rows as bytes of a type, which its threads decode. */
  reads(type: TensorType): boolean;
  /** Ends the threads. */
  close(): void;
}

/** The addon's encoder on `threads` threads, or where there is no addon the types that round to nearest, on this thread. */
export function createRowEncoder({ threads = coreLimit() }: { readonly threads?: number } = {}): RowEncoder {
  const encoder = loadAddon().addon?.createEncoder(threads, "best");
  return {
    addon: encoder,
    encode(type, rows, columns, importance = nothingKnown) {
      if (!canEncode(type)) refuseEncoding(type);
      const { blockSize, blockBytes } = tensorTypes[type];
      const length = rows instanceof Float32Array ? rows.length : elementsOf(rows);
      if (!(columns > 0 && length % columns === 0 && columns % blockSize === 0)) {
        throw new GrokError(
          "argument",
          `${length} values in rows of ${columns} do not fill blocks of ${blockSize} (type ${type})`,
          { type, columns },
        );
      }
      if (importance.length > 0 && encoder === undefined) {
        throw new GrokError("unsupported", `encoding ${type} by importance needs the native addon`, { type });
      }
      const out = new Uint8Array((length / blockSize) * blockBytes);
      if (encoder !== undefined) encodeNatively(encoder, type, rows, columns, importance, out);
      else encodeHere(type, decoded(rows, length), columns, out);
      return out;
    },
    reads: (type) => loadAddon().addon?.canDecode(tensorTypes[type].ggml) === true,
    close() {
      encoder?.close();
    },
  };
}

const elementsOf = ({ type, bytes }: EncodedRows): number =>
  (bytes.length / tensorTypes[type].blockBytes) * tensorTypes[type].blockSize;

function decoded(rows: Float32Array | EncodedRows, length: number): Float32Array {
  if (rows instanceof Float32Array) return rows;
  const values = new Float32Array(length);
  decodeRow(rows.type, rows.bytes, values);
  return values;
}

function encodeHere(type: TensorType, rows: Float32Array, columns: number, out: Uint8Array): void {
  const bad = rows.findIndex((value) => !(Math.abs(value) <= largestOf(type)));
  if (bad >= 0) refuseValue(type, rows, bad);
  const rowBytes = encodedBytes(type, columns);
  for (let from = 0, at = 0; from < rows.length; from += columns, at += rowBytes) {
    encodeRow(type, rows.subarray(from, from + columns), out.subarray(at, at + rowBytes));
  }
}
