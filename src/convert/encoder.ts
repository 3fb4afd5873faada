import { GrokError } from "../errors.ts";
import { encodeRow } from "../tensor/decode.ts";
import { encodedBytes, type TensorType } from "../tensor/types.ts";
import { largestOf } from "./merged-rows.ts";

/** What makes a type's bytes of numbers. */
export interface RowEncoder {
  /**
   * Whole rows of `columns` values each as bytes of `type`. What comes back belongs to who asked.
   * @throws GrokError `argument` for a value that the type cannot hold, `unsupported` for a type that is only read.
   */
  encode(type: TensorType, rows: Float32Array, columns: number): Uint8Array | Promise<Uint8Array>;
  close(): void;
}

/** Every value of a row in its own bits, on this thread. */
export function createRowEncoder(): RowEncoder {
  return {
    encode(type, rows, columns) {
      checkRange(type, rows, columns);
      const rowBytes = encodedBytes(type, columns);
      const bytes = new Uint8Array((rows.length / columns) * rowBytes);
      for (let from = 0, at = 0; from < rows.length; from += columns, at += rowBytes) {
        encodeRow(type, rows.subarray(from, from + columns), bytes.subarray(at, at + rowBytes));
      }
      return bytes;
    },
    close() {},
  };
}

/** f16 would make an infinity of a number past its range. Block types are held to it by their encoder, with what is no number. */
function checkRange(type: TensorType, rows: Float32Array, columns: number): void {
  if (type !== "f16") return;
  const largest = largestOf(type);
  for (let i = 0; i < rows.length; i++) {
    if (!(Math.abs(rows[i]!) > largest && Number.isFinite(rows[i]))) continue;
    throw new GrokError(
      "argument",
      `value ${i % columns} of a row is ${rows[i]}: type ${type} holds numbers up to ${largest}`,
      { type, value: rows[i]! },
    );
  }
}
