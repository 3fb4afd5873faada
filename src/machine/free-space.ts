import { statfsSync } from "node:fs";

/** Bytes that this user can still write into a folder; undefined where there is none, or its file system does not say. */
export function freeBytes(folder: string): number | undefined {
  try {
    const { bavail, bsize, blocks } = statfsSync(folder);
    return blocks === 0 ? undefined : bavail * bsize;
  } catch {
    return undefined;
  }
}
