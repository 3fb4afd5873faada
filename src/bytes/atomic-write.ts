import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, readlink, realpath, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { GrokError } from "../errors.ts";
import { ioError } from "./io-error.ts";

export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface AtomicWriteOptions {
  /** Stops between two chunks with GrokError `cancelled`; nothing is left behind. */
  readonly signal?: AbortSignal | undefined;
}

/** Chunks smaller than this are gathered, so that a header of many small pieces is not a system call each. */
const gatherBytes = 1 << 20;

/**
 * Writes a file so that its name only ever means a whole file: into a temporary file in the same folder, flushed to the
 * disk and renamed. When anything fails half-way, the source of the chunks included, the temporary file is removed and
 * what stood under the name is untouched. A link is followed: the file that it names is replaced. What a process that was killed
 * left of writing the same file is taken away.
 *
 * @throws GrokError `io` (no space, no permission, not a regular file), `cancelled`; what the chunks' source throws passes unchanged.
 */
export async function writeAtomic(path: string, chunks: Chunks, options: AtomicWriteOptions = {}): Promise<void> {
  const existing = await lookUp(path);
  const target = existing?.path ?? path;
  // Short enough that the whole is a name where the target is one, whatever alphabet it is written in.
  const stem = `.${basename(target).slice(0, 40)}.`;
  await removeLeftovers(dirname(target), stem);
  const mark = `${await describeMachine()}.${process.pid}.${randomBytes(6).toString("hex")}`;
  const temporary = join(dirname(target), `${stem}${mark}.partial`);
  const attempt = async <T>(action: string, result: Promise<T>): Promise<T> => {
    try {
      return await result;
    } catch (error) {
      throw ioError(action, path, error);
    }
  };

  const file = await attempt("create", open(temporary, "wx", existing?.mode));
  try {
    try {
      await writeChunks(file, chunks, (result) => attempt("write", result), options.signal);
      await attempt("flush", file.sync());
    } finally {
      await attempt("close", file.close());
    }
    await attempt("rename the finished file", rename(temporary, target));
  } catch (error) {
    // The first failure is the one to report, whatever the removal says.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
  await syncFolder(dirname(target));
}

async function writeChunks(
  file: FileHandle,
  chunks: Chunks,
  attempt: (result: Promise<{ bytesWritten: number }>) => Promise<{ bytesWritten: number }>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const pending = new Uint8Array(gatherBytes);
  let used = 0;
  const write = async (bytes: Uint8Array) => {
    // One write call moves at most 2^31 - 1 bytes, and may move fewer than asked.
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await attempt(file.write(bytes, done, Math.min(bytes.length - done, 2 ** 30)));
      done += bytesWritten;
    }
  };
  for await (const chunk of chunks) {
    if (signal?.aborted) throw new GrokError("cancelled", "writing was cancelled", {}, signal.reason);
    if (used + chunk.length > pending.length) {
      await write(pending.subarray(0, used));
      used = 0;
    }
    if (chunk.length > pending.length) {
      await write(chunk);
    } else {
      pending.set(chunk, used);
      used += chunk.length;
    }
  }
  await write(pending.subarray(0, used));
}

/**
 * Whom a process number means something to: eight digits that differ between machines, and between containers, that
 * share a folder.
 */
async function describeMachine(): Promise<string> {
  const numbers = await readlink("/proc/self/ns/pid").catch(() => "");
  return createHash("sha256").update(`${hostname()} ${numbers}`).digest("hex").slice(0, 8);
}

/**
 * Removes the temporary files of this machine's processes that are no more, of all files of a folder or of those whose temporary names begin
 * with a stem. That it cannot is no failure.
 */
export async function removeLeftovers(folder: string, stem = "."): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const machine = await describeMachine();
  for (const name of names) {
    const [, start, of, pid] = /^(.+\.)([0-9a-f]{8})\.([1-9]\d*)\.[0-9a-f]{12}\.partial$/.exec(name) ?? [];
    if (!(stem === "." ? start?.startsWith(stem) : start === stem) || of !== machine || isAlive(Number(pid))) continue;
    await rm(join(folder, name), { force: true }).catch(() => undefined);
  }
}

/** Also where nobody can say. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

export async function lookUp(path: string): Promise<{ path: string; mode: number } | undefined> {
  let found: { path: string; mode: number };
  try {
    const stats = await stat(path);
    if (!stats.isFile()) throw new GrokError("io", `${path}: cannot write: not a regular file`, { path });
    found = { path: await realpath(path), mode: stats.mode & 0o777 };
  } catch (error) {
    if (error instanceof GrokError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw ioError("write", path, error);
  }
  return found;
}

/** Makes the rename itself survive a power cut. Not every system lets a folder be opened; the file is whole either way. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // Windows, and some network file systems.
  }
}
