import { webcrypto } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../../bytes/folder.ts";
import { ioError } from "../../bytes/io-error.ts";

/**
 * A folder of pages, each a file named by its key. Files are never trusted: each has its own key and a hash in it, and one that is not
 * what it should be is removed and was never there. They are not flushed to the disk: what a power cut leaves half-way is found
 * when it is read. A killed process leaves a partial file at most, which has another name and goes in its time.
 *
 * Several processes can share a folder: what one removes is missing to the other when it reads, and what one writes is seen by the
 * other as it looks through the folder again, from time to time.
 */
export interface PageFiles {
  readonly pages: number;
  readonly bytes: number;
  /** Why nothing was written the last time that it was tried. */
  readonly problem: string | undefined;
  has(key: string): boolean;
  /** Undefined: it is not there, or not as it should be, and is not there from now on. Never rejects. */
  read(key: string, length: number): Promise<Uint8Array | undefined>;
  /**
   * Says whether it is there now. Never rejects, unless `contents` throws, which is asked only where there is need.
   * `depth`: how many pages come before it, without which it is of no use.
   */
  write(key: string, depth: number, contents: () => Uint8Array): Promise<boolean>;
  /** It was used: what was not goes before it. */
  touch(key: string, depth: number): void;
}

export interface PageFilesOptions {
  readonly folder: string;
  /** Most bytes of all files. */
  readonly bytes: number;
  /** How long it is not tried again after a failure to write, in milliseconds. Default a minute. */
  readonly pause?: number;
}

interface Entry {
  readonly bytes: number;
  /** When it was last used, in milliseconds; of a beginning, earlier pages count as used later. */
  used: number;
}

const magic = Buffer.from("grok1kv1");
const headBytes = magic.length + 32;
const hashBytes = 32;
const fileName = /^([0-9a-f]{64})\.kv$/;
const partialName = /^\.[0-9a-f]{16}\.\d+\.\d+\.partial$/;
/** What nobody writes to for so long is a killed process's. */
const abandonedMilliseconds = 600_000;
/** Times of use are written to files no more often. */
const touchMilliseconds = 60_000;
/** Writes after which the folder is looked through again. */
const rescanWrites = 256;

/** @throws GrokError `io` for a folder that cannot be made, or read */
export async function openPageFiles({ folder, bytes: most, pause = 60_000 }: PageFilesOptions): Promise<PageFiles> {
  const entries = new Map<string, Entry>();
  let total = 0;
  let temporaries = 0;
  let writes = 0;
  let problem: string | undefined;
  let pausedUntil = 0;
  const pathOf = (key: string) => join(folder, `${key}.kv`);
  const usedAt = (depth: number) => Date.now() - depth * 1000;

  function put(key: string, entry: Entry): void {
    total += entry.bytes - (entries.get(key)?.bytes ?? 0);
    entries.set(key, entry);
  }

  function forget(key: string): void {
    total -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  /** What is there, whoever wrote it. */
  async function scan(): Promise<void> {
    const names = await readdir(folder);
    const found = new Set<string>();
    for (const name of names) {
      const key = fileName.exec(name)?.[1];
      if (key === undefined && !partialName.test(name)) continue;
      const stats = await lstat(join(folder, name)).catch(() => undefined);
      if (stats === undefined || !stats.isFile()) continue;
      if (key === undefined) {
        if (stats.mtimeMs < Date.now() - abandonedMilliseconds) await remove(join(folder, name));
        continue;
      }
      found.add(key);
      put(key, { bytes: stats.size, used: Math.max(stats.mtimeMs, entries.get(key)?.used ?? 0) });
    }
    for (const key of entries.keys()) if (!found.has(key)) forget(key);
  }

  const remove = (path: string) => rm(path, { force: true }).catch(() => undefined);

  async function makeRoom(needed: number): Promise<void> {
    while (total + needed > most) {
      let oldest: string | undefined;
      let used = Number.POSITIVE_INFINITY;
      for (const [key, entry] of entries) if (entry.used < used) [oldest, used] = [key, entry.used];
      if (oldest === undefined) return;
      forget(oldest);
      await remove(pathOf(oldest));
    }
  }

  makeFolder(folder, 0o700);
  try {
    await scan();
    await makeRoom(0);
  } catch (error) {
    throw ioError("keep prompts", folder, error);
  }

  return {
    get pages() {
      return entries.size;
    },
    get bytes() {
      return total;
    },
    get problem() {
      return problem;
    },
    has: (key) => entries.has(key),
    async read(key, length) {
      const contents = await readChecked(pathOf(key), key, length).catch(() => undefined);
      if (contents !== undefined) return contents;
      forget(key);
      await remove(pathOf(key));
      return undefined;
    },
    async write(key, depth, contents) {
      if (entries.has(key)) return true;
      if (Date.now() < pausedUntil) return false;
      const file = fileOf(key, contents());
      const size = file.length;
      if (size > most) return false;
      const temporary = join(folder, `.${key.slice(0, 16)}.${process.pid}.${++temporaries}.partial`);
      try {
        if (++writes % rescanWrites === 0) await scan();
        await makeRoom(size);
        file.set(await hashOf(file.subarray(0, -hashBytes)), size - hashBytes);
        await writeFile(temporary, file, { flag: "wx", mode: 0o600 });
        const used = usedAt(depth);
        await utimes(temporary, used / 1000, used / 1000);
        await rename(temporary, pathOf(key));
        put(key, { bytes: size, used });
        problem = undefined;
        return true;
      } catch (error) {
        await remove(temporary);
        problem = ioError("keep a page", folder, error).message;
        pausedUntil = Date.now() + pause;
        return false;
      }
    },
    touch(key, depth) {
      const entry = entries.get(key);
      const used = usedAt(depth);
      if (entry === undefined || used - entry.used < touchMilliseconds) return;
      entry.used = used;
      // That it is known to other processes only as used before does no harm.
      utimes(pathOf(key), used / 1000, used / 1000).catch(() => undefined);
    },
  };
}

/** Without its hash. */
function fileOf(key: string, contents: Uint8Array): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(headBytes + contents.length + hashBytes);
  file.set(magic);
  file.set(Buffer.from(key, "hex"), magic.length);
  file.set(contents, headBytes);
  return file;
}

/** Computed on another thread. */
async function hashOf(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return new Uint8Array(await webcrypto.subtle.digest("SHA-256", bytes));
}

async function readChecked(path: string, key: string, length: number): Promise<Uint8Array | undefined> {
  // A pipe would be waited for, a link may lead anywhere: Windows has neither flag, and neither of the two by these names.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size !== headBytes + length + hashBytes) return undefined;
    const file = new Uint8Array(stats.size);
    let done = 0;
    while (done < file.length) {
      const { bytesRead } = await handle.read(file, done, file.length - done, done);
      if (bytesRead === 0) return undefined;
      done += bytesRead;
    }
    const head = Buffer.concat([magic, Buffer.from(key, "hex")]);
    const hash = await hashOf(file.subarray(0, -hashBytes));
    const isWhole = head.equals(file.subarray(0, headBytes)) && Buffer.from(hash).equals(file.subarray(-hashBytes));
    return isWhole ? file.subarray(headBytes, -hashBytes) : undefined;
  } finally {
    await handle.close();
  }
}
