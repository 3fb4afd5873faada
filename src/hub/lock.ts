import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { ioError } from "../bytes/io-error.ts";
import { GrokError } from "../errors.ts";

/**
 * Holds a file's name for this process while it is being downloaded: two that write the same partial file would undo each other's
 * checks. What a process left that is no more counts for nothing.
 * @returns gives the name back.
 * @throws GrokError `io` where another process holds it.
 */
export function lockFile(path: string): () => void {
  const lock = `${path}.lock`;
  const take = () => writeFileSync(lock, String(process.pid), { flag: "wx" });
  try {
    take();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw ioError("write", lock, error);
    const holder = Number(readFileSync(lock, "utf8"));
    if (isAlive(holder)) {
      throw new GrokError("io", `${path}: process ${holder} is downloading it (or remove ${lock})`, { path, holder });
    }
    rmSync(lock, { force: true });
    take();
  }
  return () => rmSync(lock, { force: true });
}

function isAlive(pid: number): boolean {
  if (!(pid > 0) || pid === process.pid) return pid === process.pid;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
