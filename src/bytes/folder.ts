import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { ioError } from "./io-error.ts";

/**
 * Makes a folder and those above it that are missing; one that is there stays as it is. One after the other: asked for all at once,
 * Node tells a read-only file system as a missing folder, and never returns where the system says so itself (`/proc`).
 * @throws GrokError `io`.
 */
export function makeFolder(path: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let folder = resolve(path); !existsSync(folder) && dirname(folder) !== folder; folder = dirname(folder)) {
    missing.unshift(folder);
  }
  try {
    for (const folder of missing) makeOne(folder, mode);
    if (missing.length === 0 && !statSync(path).isDirectory()) mkdirSync(path);
  } catch (error) {
    throw ioError("create the folder", path, error);
  }
}

function makeOne(folder: string, mode: number): void {
  try {
    mkdirSync(folder, { mode });
  } catch (error) {
    // Another process may have been quicker.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST" || !statSync(folder).isDirectory()) throw error;
  }
}
