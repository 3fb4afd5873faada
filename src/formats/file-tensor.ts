import { type MappedFile, maxViewBytes } from "../bytes/mapped-file.ts";
import { GrokError } from "../errors.ts";
import { elementCount, type Tensor } from "../tensor/tensor.ts";
import { encodedBytes, type TensorType, tensorTypes } from "../tensor/types.ts";

/** A tensor as it lies in a file. */
export interface FileTensor extends Tensor {
  /** Where its bytes begin in `source`, in bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** Longest range that a tensor too large for one view is mapped by. */
const windowBytes = 2 ** 30;

/**
 * A tensor over `[offset, offset + encoded size)` of a file. The caller has checked that the range lies in the file and
 * that rows fill whole blocks.
 */
export function fileTensor(
  file: MappedFile,
  name: string,
  type: TensorType,
  shape: readonly number[],
  offset: number,
): FileTensor {
  const byteLength = encodedBytes(type, elementCount(shape));
  const entries = shape[0] ?? 1;
  // Along a one-dimensional tensor the outermost axis is also the one that blocks run along.
  const step = shape.length <= 1 ? tensorTypes[type].blockSize : 1;
  const entryBytes = entries === 0 ? 0 : byteLength / entries;
  const windowEntries = Math.max(step, Math.floor(windowBytes / Math.max(1, entryBytes * step)) * step);

  return {
    name,
    type,
    shape,
    source: file.path,
    offset,
    byteLength,
    slice(start, end) {
      if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= entries)) {
        throw new GrokError(
          "argument",
          `${file.path}: tensor ${name}: no entries [${start}, ${end}) along an axis of ${entries}`,
          {
            tensor: name,
            start,
            end,
            entries,
          },
        );
      }
      if (start % step !== 0 || end % step !== 0) {
        throw new GrokError(
          "argument",
          `${file.path}: tensor ${name}: [${start}, ${end}) does not fall on blocks of ${step}`,
          {
            tensor: name,
            start,
            end,
            blockSize: step,
          },
        );
      }
      const from = start * entryBytes;
      const length = (end - start) * entryBytes;
      if (length > maxViewBytes) {
        throw new GrokError(
          "argument",
          `${file.path}: tensor ${name}: entries [${start}, ${end}) take ${length} bytes, more than one view holds`,
          {
            tensor: name,
            bytes: length,
            limit: maxViewBytes,
          },
        );
      }
      if (!file.mapped) return file.view(offset + from, length);

      // Mapped, a wide range costs no more than a narrow one, and every slice inside it is then a view of one buffer.
      if (byteLength <= maxViewBytes) return file.view(offset, byteLength).subarray(from, from + length);
      const first = Math.floor(start / windowEntries) * windowEntries;
      const last = Math.min(first + windowEntries, entries);
      if (end > last) return file.view(offset + from, length);
      const base = first * entryBytes;
      return file.view(offset + base, (last - first) * entryBytes).subarray(from - base, from - base + length);
    },
  };
}
