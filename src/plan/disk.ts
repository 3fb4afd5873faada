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
const blockBytes = 4096;
/** Reads under way at a time, as the engine's reader threads have. */
const lanes = 4;

/** Measures the disk of a folder with a file that is removed again. Both undefined where it cannot be written or has too little space. */
export async function measureDisk(folder: string): Promise<DiskSpeed> {
  const path = join(folder, `.grok1-plan-${randomBytes(6).toString("hex")}`);
  try {
    if ((freeBytes(folder) ?? 0) < 2 * testBytes) return { cached: undefined, direct: undefined };
    await write(path);
    const cached = await withFile(path, constants.O_RDONLY, (file) => readAll(file, false));
    const direct =
      process.platform === "linux"
        ? await withFile(path, constants.O_RDONLY | constants.O_DIRECT, (file) => readAll(file, true))
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
async function findAlignment(file: FileHandle, buffer: Buffer): Promise<number> {
  for (let shift = 0; shift < blockBytes; shift += 16) {
    try {
      await file.read(buffer, shift, blockBytes, 0);
      return shift;
    } catch {
      // Not at this place.
    }
  }
  throw new Error("no place fits");
}

/** Bytes a second; undefined where reading fails. */
async function readAll(file: FileHandle, direct: boolean): Promise<number | undefined> {
  try {
    // Buffers begin at different places in a page, also those of one size.
    const buffers: [Buffer, number][] = [];
    for (let lane = 0; lane < lanes; lane++) {
      const buffer = Buffer.allocUnsafeSlow(partBytes + blockBytes);
      buffers.push([buffer, direct ? await findAlignment(file, buffer) : 0]);
    }
    let next = 0;
    const began = performance.now();
    await Promise.all(
      buffers.map(async ([buffer, shift]) => {
        for (let at = next; at < testBytes; at = next) {
          next += partBytes;
          await file.read(buffer, shift, partBytes, at);
        }
      }),
    );
    return testBytes / ((performance.now() - began) / 1000);
  } catch {
    return undefined;
  }
}
