import { read } from "node:fs";
import { GrokError } from "../errors.ts";
import type { DataFile } from "./data-file.ts";
import { ioError } from "./io-error.ts";

/**
 * Bytes `[offset, offset + length)` of a file, read while this thread does other work. The file stays open until they are there.
 * @throws GrokError `io`, `capacity` as `DataFile.read` throws.
 */
export async function readLater(file: DataFile, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const { path } = file;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(length);
  } catch (cause) {
    throw new GrokError(
      "capacity",
      `${path}: no memory for ${length} bytes at ${offset}`,
      { path, offset, length },
      cause,
    );
  }
  for (let done = 0; done < length; ) {
    // One read call moves at most 2^31 - 1 bytes.
    const got = await readOnce(file, bytes, done, Math.min(length - done, 2 ** 30), offset + done);
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

function readOnce(file: DataFile, into: Uint8Array, at: number, length: number, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(file.descriptor(), into, at, length, offset, (error, got) => {
      if (error === null) resolve(got);
      else reject(ioError(`read ${length} bytes at ${offset}`, file.path, error));
    });
  });
}
