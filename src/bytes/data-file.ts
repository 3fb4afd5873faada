import { closeSync, readSync } from "node:fs";
import { GrokError } from "../errors.ts";
import { ioError } from "./io-error.ts";
import { openRegular } from "./regular-file.ts";

/** A regular file opened for reading. What reads its bytes in place maps it by its descriptor. */
export interface DataFile {
  readonly path: string;
  /** Bytes in the file when it was opened. */
  readonly size: number;
  /** The open file's number in this process. @throws GrokError `io` when the file is closed. */
  descriptor(): number;
  /**
   * A fresh copy of the bytes `[offset, offset + length)`.
   *
   * @throws GrokError `argument` when the range leaves the file, `capacity` for more than one ArrayBuffer holds, `io` when
   * reading fails or the file is closed.
   */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  /** Gives back the file; asking for more is an error. Closing twice is not. */
  close(): void;
}

/** What one ArrayBuffer holds on Node 20. */
const maxReadBytes = 2 ** 32 - 1;

/** @throws GrokError `io` when it cannot be opened or is not a regular file. */
export function openDataFile(path: string): DataFile {
  const { fd, stats } = openRegular(path);
  const { size } = stats;
  let open = true;

  const descriptor = () => {
    if (!open) throw new GrokError("io", `${path}: the file is closed`, { path });
    return fd;
  };
  return {
    path,
    size,
    descriptor,
    read(offset, length) {
      const file = descriptor();
      if (!(isCount(offset) && isCount(length) && offset + length <= size)) {
        const message = `${path}: no range of ${length} bytes at ${offset} in a file of ${size} bytes`;
        throw new GrokError("argument", message, { path, offset, length, size });
      }
      return readRange(file, path, offset, length);
    },
    close() {
      if (!open) return;
      open = false;
      closeSync(fd);
    },
  };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function readRange(fd: number, path: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const noMemory = (cause?: unknown) =>
    new GrokError("capacity", `${path}: no memory for ${length} bytes at ${offset}`, { path, offset, length }, cause);
  if (length > maxReadBytes) throw noMemory();
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(length);
  } catch (cause) {
    throw noMemory(cause);
  }
  let done = 0;
  while (done < length) {
    let got: number;
    try {
      // One read call moves at most 2^31 - 1 bytes.
      got = readSync(fd, bytes, done, Math.min(length - done, 2 ** 30), offset + done);
    } catch (error) {
      throw ioError(`read ${length} bytes at ${offset}`, path, error);
    }
    if (got === 0) {
      throw new GrokError("io", `${path}: ends at byte ${offset + done}: the file became shorter after it was opened`, {
        path,
        offset: offset + done,
      });
    }
    done += got;
  }
  return bytes;
}
