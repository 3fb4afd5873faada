import { closeSync, readSync } from "node:fs";
import { ioError } from "./io-error.ts";
import { openRegular } from "./regular-file.ts";

/** The first bytes of a file, as many as there are. @throws GrokError `io` naming the file. */
export function readHead(path: string, length: number): Buffer {
  const { fd } = openRegular(path);
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, 0));
  } catch (error) {
    throw ioError("read", path, error);
  } finally {
    closeSync(fd);
  }
}
