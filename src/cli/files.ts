import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { ioError } from "../bytes/io-error.ts";

/** A text file's contents. @throws GrokError `io` naming the file. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw ioError("read", path, error);
  }
}

/** All of standard input, as text. */
export async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

/** The first bytes of a file, as many as there are. @throws GrokError `io` naming the file. */
export function readHead(path: string, length: number): Buffer {
  try {
    const file = openSync(path, "r");
    try {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, 0));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw ioError("read", path, error);
  }
}
