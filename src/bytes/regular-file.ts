import { fstatSync, openSync, type Stats, statSync } from "node:fs";
import { GrokError } from "../errors.ts";
import { ioError } from "./io-error.ts";

export interface OpenFile {
  /** To be closed by the caller. */
  readonly fd: number;
  readonly stats: Stats;
}

/**
 * Opens a regular file for reading: what a pipe, a device or a socket would give has no size, may never come, and never end.
 * @throws GrokError `io`.
 */
export function openRegular(path: string): OpenFile {
  try {
    // Asked before opening: opening a named pipe would wait for its writer.
    const found = statSync(path);
    if (!found.isFile()) {
      const what = found.isDirectory() ? "it is a folder" : "not a regular file";
      throw new GrokError("io", `${path}: cannot open: ${what}`, { path });
    }
    const fd = openSync(path, "r");
    return { fd, stats: fstatSync(fd) };
  } catch (error) {
    throw error instanceof GrokError ? error : ioError("open", path, error);
  }
}
