import { createHash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import { ioError } from "./io-error.ts";
import { openRegular } from "./regular-file.ts";

const samples = 64;
const sampleBytes = 4096;

/**
 * What tells these files from others and from what they may become, found in milliseconds: a hash of their sizes, the times of their last
 * change and pieces from all over them. Hexadecimal. @throws GrokError `io`
 */
export function identify(paths: readonly string[]): string {
  const hash = createHash("sha256");
  const piece = Buffer.alloc(sampleBytes);
  for (const path of paths) {
    const { fd, stats } = openRegular(path);
    try {
      hash.update(`${stats.size} ${stats.mtimeMs}\n`);
      const last = Math.max(0, stats.size - sampleBytes);
      for (let i = 0; i < samples; i++) {
        const at = Math.floor((last * i) / (samples - 1));
        hash.update(piece.subarray(0, readSync(fd, piece, 0, sampleBytes, at)));
      }
    } catch (error) {
      throw ioError("read", path, error);
    } finally {
      closeSync(fd);
    }
  }
  return hash.digest("hex");
}
