import type { DataFile } from "../bytes/data-file.ts";
import { elementCount, type Tensor } from "../tensor/tensor.ts";
import { encodedBytes, type TensorType } from "../tensor/types.ts";

/** A tensor as it lies in a file. */
export interface FileTensor extends Tensor {
  /** Where its bytes begin in `source`, in bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * A tensor over `[offset, offset + encoded size)` of a file. The caller has checked that the range lies in the file and
 * that rows fill whole blocks.
 */
export function fileTensor(
  file: DataFile,
  name: string,
  type: TensorType,
  shape: readonly number[],
  offset: number,
): FileTensor {
  const byteLength = encodedBytes(type, elementCount(shape));
  const places = [{ file, offset, bytes: byteLength }];
  return { name, type, shape, source: file.path, places, offset, byteLength };
}
