import { statfsSync, statSync } from "node:fs";
import { availableMemory, memoryLimit } from "../machine/limits.ts";

/** How full something is. */
export interface Fill {
  readonly name: string;
  /** Of 1. */
  readonly used: number;
}

/** From here on it is told, and again once it was clearly less in between. */
const [full, relieved] = [0.9, 0.85];

/** Tells of what becomes full: each once, until it has been less full. */
export function createShortageWatch(warn: (message: string) => void): (fills: readonly Fill[]) => void {
  const told = new Set<string>();
  return (fills) => {
    for (const { name, used } of fills) {
      if (used < relieved) told.delete(name);
      if (used < full || told.has(name)) continue;
      told.add(name);
      warn(`${name}: ${Math.floor(used * 100)} % in use`);
    }
  };
}

/** The memory that the process may use, and the disks that hold these paths, each once, by the first of its paths. */
export function readFills(paths: readonly string[]): readonly Fill[] {
  const seen = new Set<number>();
  const disks = paths.flatMap((path) => {
    try {
      const { dev } = statSync(path);
      if (seen.has(dev)) return [];
      seen.add(dev);
      const { blocks, bavail, bfree } = statfsSync(path);
      // Of what is not kept for the system's own use, as df counts.
      return [{ name: `the disk of ${path}`, used: 1 - bavail / (blocks - bfree + bavail) }];
    } catch {
      return [];
    }
  });
  return [{ name: "memory", used: 1 - availableMemory() / memoryLimit() }, ...disks];
}
