import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { ioError } from "../bytes/io-error.ts";
import { GrokError } from "../errors.ts";
import { tensorTypes } from "../tensor/types.ts";
import { canScan, createScan, type ScanOptions, type ScanResult } from "./scan.ts";

/** Bytes of one file to go through once. */
export interface Work {
  readonly path: string;
  /** From the start of the file, in bytes. */
  readonly offset: number;
  /** Absent: up to the end of the file, wherever that is. */
  readonly bytes?: number;
  readonly hash?: "sha256" | "blake2b512";
  /** They are a tensor: look at it as well. */
  readonly scan?: ScanOptions;
}

export interface WorkResult {
  readonly bytes: number;
  /** Lower-case hexadecimal; empty where no hash was asked for. */
  readonly hash: string;
  readonly scan: ScanResult | undefined;
}

/** Held twice: one part is read while the other is hashed. */
const partBytes = 4 << 20;

/** @param onBytes told how many more bytes are done. @throws GrokError `io`. */
export async function doWork(work: Work, onBytes: (count: number) => void): Promise<WorkResult> {
  const { path, offset, hash: algorithm, scan: wanted } = work;
  const hash = algorithm && createHash(algorithm);
  const scan = wanted && canScan(wanted.type) ? createScan(wanted) : undefined;
  // A part is whole blocks of the type.
  const blockBytes = wanted ? tensorTypes[wanted.type].blockBytes : 1;
  const part = partBytes - (partBytes % blockBytes);
  const buffers = [Buffer.allocUnsafeSlow(part), Buffer.allocUnsafeSlow(part)];
  const file = await open(path, "r").catch((error) => {
    throw ioError("open", path, error);
  });
  try {
    const end = work.bytes === undefined ? Number.POSITIVE_INFINITY : offset + work.bytes;
    const read = (at: number, turn: number) => readPart(file, path, buffers[turn]!, at, Math.min(part, end - at));
    let at = offset;
    let next = read(at, 0);
    for (let turn = 0; ; turn = 1 - turn) {
      const bytes = await next;
      at += bytes.length;
      const last = bytes.length < part || at >= end;
      if (!last) {
        next = read(at, 1 - turn);
        // Should it fail, it is heard in the next turn.
        next.catch(() => undefined);
      }
      hash?.update(bytes);
      scan?.add(bytes);
      onBytes(bytes.length);
      if (last) break;
    }
    if (at < end && end !== Number.POSITIVE_INFINITY) {
      throw new GrokError("io", `${path}: ends at byte ${at}, expected ${end}`, { path, offset: at });
    }
    return { bytes: at - offset, hash: hash?.digest("hex") ?? "", scan: scan?.result() };
  } finally {
    await file.close();
  }
}

/** As many of `length` bytes as there are before the end. */
async function readPart(file: FileHandle, path: string, buffer: Buffer, at: number, length: number): Promise<Buffer> {
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, length - done, at + done).catch((error) => {
      throw ioError(`read at ${at + done}`, path, error);
    });
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}
