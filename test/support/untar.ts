import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";

/** Unpacks a `.tar.gz` of plain files (POSIX ustar) into a folder. */
export function untar(archive: string, folder: string): void {
  const tar = gunzipSync(readFileSync(archive));
  const text = (at: number, length: number) => tar.toString("latin1", at, at + length).replace(/\0.*$/s, "");
  for (let at = 0; tar[at] !== 0; ) {
    const path = join(folder, text(at, 100));
    const size = Number.parseInt(text(at + 124, 12), 8);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
