import {
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { makeFolder } from "../bytes/folder.ts";
import { ioError } from "../bytes/io-error.ts";
import type { Repository, RepositoryFile } from "./repository.ts";

/**
 * Where files of a repository go, and how they get their names once they are right. Partial files lie where finished ones will, so that
 * a name is given by renaming.
 */
export interface Destination {
  /** What to tell people: the folder in which the files have their paths. */
  readonly folder: string;
  /** Where a file is found by its path. */
  pathOf(file: RepositoryFile): string;
  /** Where it gathers. */
  partialOf(file: RepositoryFile): string;
  /** Whether a file is there. `unsure`: one of its size is, which nobody has vouched for. */
  has(file: RepositoryFile): "yes" | "no" | "unsure";
  /** Gives a file that is whole and right its name. @throws GrokError `io`. */
  finish(file: RepositoryFile): void;
  /** After all files. @throws GrokError `io`. */
  close(): void;
}

/**
 * The cache that Hugging Face's own tools share: `blobs/HASH` have the bytes, `snapshots/COMMIT/PATH` are links to them, and
 * `refs/REVISION` says which commit a branch stood for. Where links cannot be made, files lie in the snapshot themselves.
 */
export function cacheDestination(cache: string, { name, revision, commit }: Repository): Destination {
  const whole = name.startsWith("datasets/") ? name : `models/${name}`;
  const root = join(cache, whole.replaceAll("/", "--"));
  const folder = join(root, "snapshots", commit);
  const blob = (file: RepositoryFile) => join(root, "blobs", file.hash.hex);
  const pathOf = (file: RepositoryFile) => join(folder, file.path);
  const link = (file: RepositoryFile): void => {
    const path = pathOf(file);
    const target = relative(dirname(path), blob(file));
    makeFolder(dirname(path));
    if (isLink(path) && readlinkSync(path) === target) return;
    attempt("write", path, () => {
      rmSync(path, { force: true });
      try {
        symlinkSync(target, path);
      } catch {
        // Windows without developer mode, and file systems that have no links.
        renameSync(blob(file), path);
      }
    });
  };
  makeFolder(join(root, "blobs"));
  return {
    folder,
    pathOf,
    partialOf: (file) => `${blob(file)}.grok1-partial`,
    has(file) {
      if (sizeOf(blob(file)) === file.size) {
        link(file);
        return "yes";
      }
      return sizeOf(pathOf(file)) === file.size ? "unsure" : "no";
    },
    finish(file) {
      attempt("rename the finished file", blob(file), () => renameSync(this.partialOf(file), blob(file)));
      link(file);
    },
    close() {
      if (revision === commit) return;
      const path = join(root, "refs", revision);
      makeFolder(dirname(path));
      attempt("write", path, () => {
        if (!existsSync(path) || readFileSync(path, "utf8") !== commit) writeFileSync(path, commit);
      });
    },
  };
}

/** A folder with the files themselves. */
export function folderDestination(folder: string): Destination {
  const pathOf = ({ path }: RepositoryFile) => join(folder, path);
  return {
    folder,
    pathOf,
    partialOf: (file) => `${pathOf(file)}.${file.hash.hex.slice(0, 12)}.grok1-partial`,
    has: (file) => (sizeOf(pathOf(file)) === file.size ? "unsure" : "no"),
    finish(file) {
      attempt("rename the finished file", pathOf(file), () => renameSync(this.partialOf(file), pathOf(file)));
    },
    close() {
      makeFolder(folder);
    },
  };
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function attempt<T>(action: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw ioError(action, path, error);
  }
}
