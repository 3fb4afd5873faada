import { createHash } from "node:crypto";
import { fstatSync, readSync } from "node:fs";
import { GrokError } from "../errors.ts";
import type { DataFile } from "./data-file.ts";

/** Places of a file that are compared, evenly spaced from its beginning to its end, and bytes of each. */
const places = 256;
const placeBytes = 4096;

/**
 * Tells of files that are read for as long as a model runs whether they still are what they were when they were first asked about: what was
 * read of a file that somebody writes to is neither the old model nor the new one. A time that changed is no proof, as backups and copies
 * touch files: then its size counts, and what stands at some places of it.
 */
export function createChangeCheck(): (file: DataFile, what: string) => void {
  const known = new Map<DataFile, { modified: number; readonly sample: FileSample }>();
  return (file, what) => {
    const { mtimeMs: modified, size } = fstatSync(file.descriptor());
    const refuse = (problem: string) =>
      new GrokError("io", `${file.path}: ${problem}: ${what} may be another`, { path: file.path, size: file.size });
    if (size < file.size) throw refuse(`became shorter while it was in use, ${size} of ${file.size} bytes are left`);
    const first = known.get(file);
    if (first?.modified === modified) return;
    const sample = sampleOf(file);
    if (first === undefined) {
      known.set(file, { modified, sample });
      return;
    }
    if (!isSameSample(first.sample, sample)) throw refuse("was written to while it was in use");
    first.modified = modified;
  };
}

/** What stands at some places of a file, undefined where it cannot be read: whoever needs that place is told. */
export type FileSample = readonly (string | undefined)[];

export function sampleOf({ size, descriptor }: DataFile): FileSample {
  const block = new Uint8Array(placeBytes);
  return Array.from({ length: places }, (_, i) => {
    const at = Math.floor((Math.max(0, size - placeBytes) * i) / (places - 1));
    try {
      const got = readSync(descriptor(), block, 0, placeBytes, at);
      return createHash("sha256").update(block.subarray(0, got)).digest("base64");
    } catch {
      return undefined;
    }
  });
}

/** Whether nothing is known to differ. */
export const isSameSample = (a: FileSample, b: FileSample) =>
  a.every((each, i) => each === undefined || b[i] === undefined || each === b[i]);
