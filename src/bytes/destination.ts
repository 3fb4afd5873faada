import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { GrokError } from "../errors.ts";
import { ioError } from "./io-error.ts";

/**
 * Looks, before anything is computed, whether a result can be written: into a folder that is there and may be written to, and over
 * nothing that is read, whatever name, link or second name of the file it is asked for by.
 * @param what what the files are, such as "a file of the source".
 * @param inPlace whether a file that is there is written into, and not replaced by another.
 * @throws GrokError `argument` where it is one of them; `io`.
 */
export function checkDestination(
  out: string,
  files: readonly string[],
  what: string,
  { inPlace = false }: { readonly inPlace?: boolean } = {},
): void {
  if (files.some((file) => holds(() => isSameFile(file, out)))) {
    throw new GrokError("argument", `${out}: is ${what}, which stays as it is`, { path: out });
  }
  try {
    const there = statSync(out, { throwIfNoEntry: false });
    if (there?.isDirectory()) throw new GrokError("io", `${out}: cannot write: it is a folder`, { path: out });
    // What a link leads to is written where it lies; a device is written into.
    const place = there === undefined ? out : realpathSync(out);
    accessSync(there !== undefined && (inPlace || !there.isFile()) ? place : dirname(place), constants.W_OK);
  } catch (error) {
    throw error instanceof GrokError ? error : ioError("create", out, error);
  }
}

/** Whether two paths lead to one file, by whatever name or link. */
export function isSameFile(a: string, b: string): boolean {
  if (resolve(a) === resolve(b)) return true;
  const [one, other] = [statSync(a, { throwIfNoEntry: false }), statSync(b, { throwIfNoEntry: false })];
  return one !== undefined && other !== undefined && one.ino === other.ino && one.dev === other.dev;
}

/** What cannot be looked at is told of by whoever reads or writes it, with its own name. */
function holds(look: () => boolean): boolean {
  try {
    return look();
  } catch {
    return false;
  }
}
