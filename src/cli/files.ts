import { closeSync, readSync } from "node:fs";
import { ioError } from "../bytes/io-error.ts";
import { openRegular } from "../bytes/regular-file.ts";
import { readTextStream } from "../bytes/text-file.ts";

/** What standard input is called in messages. */
export const standardInput = "standard input";

/** All of standard input, as text. @throws GrokError as `readTextStream`. */
export function readStandardInput(): Promise<string> {
  return readTextStream(process.stdin, standardInput);
}

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
