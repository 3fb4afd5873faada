import type { GgufValue } from "../formats/gguf/encode.ts";
import type { RowEncoder } from "../tensor/row-encoder.ts";
import type { TensorType } from "../tensor/types.ts";

export type Metadata = readonly (readonly [key: string, value: GgufValue])[];

/** A model to be converted: what a GGUF file will say of it, and its tensors by the names that they will have there. */
export interface ModelSource {
  /** The file or folder, for messages. */
  readonly path: string;
  /** What it is, in words: "a GGUF file". */
  readonly kind: string;
  /**
   * As they will stand in the file: `general.*`, the architecture's keys, `tokenizer.*` with the chat template. Without
   * `general.file_type` and `general.quantization_version`, which say what is written. The same for the same files, wherever they lie.
   */
  readonly metadata: Metadata;
  /** As they will stand in the file. */
  readonly tensors: readonly SourceTensor[];
  /** Every file that is read. One that has changed makes a conversion that was interrupted begin anew. */
  readonly files: readonly string[];
  close(): void;
}

/** A tensor that is read once, from first to last, in pieces of bounded size. */
export interface SourceTensor {
  /** As GGUF files name it. */
  readonly name: string;
  /** Row-major, outermost axis first, as a GGUF tensor's: [width], [out, in], [experts, out, in]. */
  readonly shape: readonly number[];
  /** The file that it lies in, where the source has one for each tensor. */
  readonly from?: string;
  /** What it is stored as, in words: "bf16", "int8, bf16 scales [8, 1, 32768]". */
  readonly stored: string;
  /** Bytes that are read for it. */
  readonly storedBytes: number;
  /** The smallest type that holds what is stored without loss, or the nearest where none does. */
  readonly exact: TensorType;
  /**
   * Whole rows of float32 values, in order, some MB at a time: matrix after matrix of a stack, row after row of a matrix. What is
   * handed over holds until the next is asked for. `encoder` has the threads that decode, where the source uses any.
   * @throws GrokError `io`, `format`, `unsupported` for what cannot be decoded.
   */
  rows(encoder: RowEncoder): AsyncIterable<Float32Array> | Iterable<Float32Array>;
  /** The same rows as bytes of {@link SourceTensor.exact}, where they lie so: for who decodes on many threads. */
  exactRows?(): Iterable<Uint8Array>;
  /** The tensor's bytes in a type that need not go through float32; undefined for other types. What is handed over belongs to who asked. */
  encoded?(type: TensorType, encoder: RowEncoder): AsyncIterable<Uint8Array> | Iterable<Uint8Array> | undefined;
}

/** Float32 values that {@link SourceTensor.rows} hands over at a time, about: large enough to occupy many threads. */
export const pieceElements = 2 ** 22;
