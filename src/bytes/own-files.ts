import { statSync } from "node:fs";
import { resolve } from "node:path";
import { GrokError } from "../errors.ts";

/**
 * What is read stays: a result is not written over it, whatever name, link or second name of the file it is asked for by.
 * @param what what the files are, such as "a file of the source".
 * @throws GrokError `argument`.
 */
export function refuseOwnFiles(out: string, files: readonly string[], what: string): void {
  if (!files.some((file) => isSameFile(file, out))) return;
  throw new GrokError("argument", `${out}: is ${what}, which stays as it is`, { path: out });
}

/** Whether two paths lead to one file, by whatever name or link. */
export function isSameFile(a: string, b: string): boolean {
  if (resolve(a) === resolve(b)) return true;
  const [one, other] = [statSync(a, { throwIfNoEntry: false }), statSync(b, { throwIfNoEntry: false })];
  return one !== undefined && other !== undefined && one.ino === other.ino && one.dev === other.dev;
}
