import { GrokError } from "../errors.ts";

const meanings: Readonly<Record<string, string>> = {
  ENOENT: "no such file or folder",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EEXIST: "a file has this name",
  EISDIR: "it is a folder",
  ENOTDIR: "part of its path is not a folder",
  ENOSPC: "no space left on the disk",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file would be larger than the file system allows",
  EMFILE: "too many open files",
  EADDRINUSE: "another program listens there",
  ENOTFOUND: "no computer of this name is known",
  EADDRNOTAVAIL: "this computer does not have the address",
  EROFS: "the file system is read-only",
};

/** A failure of the operating system as a GrokError `io`: what was tried, on which file, and why it failed, in words. */
export function ioError(action: string, path: string, cause: unknown): GrokError {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  const reason = (code && meanings[code]) ?? (cause instanceof Error ? cause.message : String(cause));
  return new GrokError("io", `${path}: cannot ${action}: ${reason}`, { path, ...(code ? { code } : {}) }, cause);
}
