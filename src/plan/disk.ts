import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { freeBytes } from "../machine/free-space.ts";

export interface DiskSpeed {
  /** Bytes a second from the system's page cache. */
  readonly cached: number | undefined;
  /** Past it, from the disk itself; undefined where the system has no way to (only Linux has, here). */
  readonly direct: number | undefined;
}

const testBytes = 256 << 20;
const partBytes = 4 << 20;
/** Reads under way at a time, as the engine's reader threads have. */
const lanes = 4;

/** Measures the disk of a folder with a file that is removed again. Both undefined where it cannot be written or has too little space. */
export async function measureDisk(folder: string): Promise<DiskSpeed> {
  const path = join(folder, `.grok1-plan-${randomBytes(6).toString("hex")}`);
  try {
    if ((freeBytes(folder) ?? 0) < 2 * testBytes) return { cached: undefined, direct: undefined };
    await write(path);
    const cached = await withFile(path, constants.O_RDONLY, (file) => readAll(file, 0));
    const direct =
      process.platform === "linux"
        ? await withFile(path, constants.O_RDONLY | constants.O_DIRECT, async (file) => {
            const shift = await findAlignment(file);
            return shift === undefined ? undefined : readAll(file, shift);
          })
        : undefined;
    return { cached, direct };
  } catch {
    return { cached: undefined, direct: undefined };
  } finally {
    await rm(path, { force: true }).catch(() => undefined);
  }
}

async function withFile<T>(path: string, flags: number, use: (file: FileHandle) => Promise<T>): Promise<T | undefined> {
  // A file system in memory refuses to go past itself.
  const file = await open(path, flags).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Bytes that no disk or hypervisor can leave out. */
async function write(path: string): Promise<void> {
  const part = randomBytes(partBytes);
  const file = await open(path, "wx");
  try {
    for (let at = 0; at < testBytes; at += partBytes) {
      part.writeUInt32LE(at, 0);
      await file.write(part, 0, partBytes, at);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Direct reads need memory that begins at a multiple of the disk's block. Where a buffer begins is not told: one place in it fits. */
async function findAlignment(file: FileHandle): Promise<number | undefined> {
  const probe = Buffer.allocUnsafeSlow(partBytes + 4096);
  for (let shift = 0; shift < 4096; shift += 16) {
    if (
      await file.read(probe, shift, 4096, 0).then(
        () => true,
        () => false,
      )
    )
      return shift;
  }
  return undefined;
}

/** Bytes a second. Buffers of one size begin at the same place in a page: `shift` fits all, or the read fails. */
async function readAll(file: FileHandle, shift: number): Promise<number | undefined> {
  let next = 0;
  const lane = async () => {
    const buffer = Buffer.allocUnsafeSlow(partBytes + 4096);
    for (let at = next; at < testBytes; at = next) {
      next += partBytes;
      await file.read(buffer, shift, partBytes, at);
    }
  };
  const began = performance.now();
  try {
    await Promise.all(Array.from({ length: lanes }, lane));
  } catch {
    return undefined;
  }
  return testBytes / ((performance.now() - began) / 1000);
}
