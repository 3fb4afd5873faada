import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { dirname } from "node:path";
import { makeFolder } from "../bytes/folder.ts";
import { formatBytes, GrokError } from "../errors.ts";
import { freeBytes } from "../machine/free-space.ts";
import { checkNames, checkText, checkTexts, checkWhole, withDefaults } from "../options.ts";
import { cacheDestination, type Destination, folderDestination } from "./cache.ts";
import { download } from "./download.ts";
import { removePartial } from "./journal.ts";
import { lockFile } from "./lock.ts";
import { isWanted } from "./patterns.ts";
import { listRepository, parseRepository, type Repository, type RepositoryFile } from "./repository.ts";
import { type Web, webDefaults } from "./request.ts";

export interface PullOptions extends Partial<Web> {
  /** Where files go: Hugging Face's cache, or a folder that gets the files themselves. */
  readonly into: { readonly cache: string } | { readonly folder: string };
  /** Paths; none: all that the patterns let through. */
  readonly files?: readonly string[] | undefined;
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
  /** Of all files together, from 1 to 64. Default 8. */
  readonly connections?: number | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

export interface PullProgress {
  /** Of this download, what was there before with it. */
  readonly done: number;
  readonly total: number;
  /** Bytes that came over the network since it began. */
  readonly received: number;
  readonly seconds: number;
}

export interface Pulled {
  readonly repository: string;
  readonly revision: string;
  readonly commit: string;
  /** Where the files have their paths. */
  readonly folder: string;
  readonly files: readonly PulledFile[];
}

export interface PulledFile {
  readonly path: string;
  readonly local: string;
  readonly size: number;
  /** `sha256`, or `git-sha1` for a small file that git holds itself. */
  readonly algorithm: string;
  readonly hash: string;
}

/** Files that are downloaded at the same time. */
const parallelFiles = 4;

/**
 * Brings files of a repository of Hugging Face's, each checked against the hash that the listing has of it before it gets its name.
 *
 * @param repository `owner/name`, or `owner/name@revision`; of a dataset `datasets/owner/name`.
 * @throws GrokError `io`, `format`, `cancelled`; `argument` for files that are not there; `capacity` when the disk has too little space.
 */
export async function pull(repository: string, options: PullOptions): Promise<Pulled> {
  checkText("repository", repository);
  checkNames("pull", options, optionNames);
  const { into, connections = 8, onProgress } = options;
  checkNames("into", into, ["cache", "folder"]);
  checkText("into", "cache" in into ? into.cache : into.folder);
  for (const option of ["files", "include", "exclude"] as const) checkTexts(option, options[option] ?? []);
  checkWhole("connections", connections, 1, 64);
  const web: Web = withDefaults(options, webDefaults);
  const { name, revision } = parseRepository(repository);
  const listed = await listRepository(web, name, revision);
  const wanted = chooseFiles(listed, options);
  const to = "cache" in into ? cacheDestination(into.cache, listed) : folderDestination(into.folder);
  makeFolder(to.folder);

  const missing: RepositoryFile[] = [];
  for (const file of wanted) if (!(await isThere(to, file, web.signal))) missing.push(file);
  checkSpace(to, missing);
  const total = wanted.reduce((sum, { size }) => sum + size, 0);
  const before = total - missing.reduce((sum, { size }) => sum + size, 0);
  const began = performance.now();
  let got = 0;
  let kept: number | undefined;
  const onBytes = (count: number) => {
    got += count;
    kept ??= got;
    onProgress?.({
      done: before + got,
      total,
      received: Math.max(0, got - kept),
      seconds: (performance.now() - began) / 1000,
    });
  };

  // The same bytes may be there under several names: one after the other.
  const alike = new Map<string, RepositoryFile[]>();
  for (const file of missing) alike.set(to.partialOf(file), [...(alike.get(to.partialOf(file)) ?? []), file]);
  const queue = [...alike.values()];
  const lanes = Math.max(1, Math.min(parallelFiles, queue.length, connections));
  const stop = new AbortController();
  const signal = web.signal ? AbortSignal.any([web.signal, stop.signal]) : stop.signal;
  const lane = async () => {
    for (let files = queue.shift(); files !== undefined; files = queue.shift()) {
      for (const file of files) {
        await bring({ ...web, signal }, listed, file, to, { connections: Math.floor(connections / lanes), onBytes });
      }
    }
  };
  const running = Array.from({ length: lanes }, lane);
  for (const one of running) one.catch(() => stop.abort());
  const failures = (await Promise.allSettled(running)).flatMap((end) =>
    end.status === "rejected" ? [end.reason] : [],
  );
  const failure = failures.find((error) => !(error instanceof GrokError && error.code === "cancelled")) ?? failures[0];
  if (failure !== undefined) throw failure;
  to.close();
  return {
    ...{ repository: name, revision, commit: listed.commit, folder: to.folder },
    files: wanted.map((file) => ({
      ...{ path: file.path, local: to.pathOf(file), size: file.size },
      ...{ algorithm: file.hash.algorithm, hash: file.hash.hex },
    })),
  };
}

const optionNames = Object.keys({
  ...{ into: true, files: true, include: true, exclude: true, connections: true, onProgress: true },
  ...{ endpoint: true, token: true, signal: true, stallSeconds: true, attempts: true, pauseSeconds: true },
} satisfies Record<keyof PullOptions, true>);

function chooseFiles(
  { name, revision, files }: Repository,
  { files: asked = [], include = [], exclude = [] }: PullOptions,
) {
  const known = new Map(files.map((file) => [file.path, file]));
  const absent = asked.find((path) => !known.has(path));
  if (absent !== undefined) {
    const message = `${name}@${revision} has no file ${absent}; it has ${[...known.keys()].slice(0, 20).join(", ")}`;
    throw new GrokError("argument", message, { path: absent });
  }
  const chosen = asked.length > 0 ? asked.map((path) => known.get(path)!) : files;
  const wanted = chosen.filter(({ path }) => isWanted(path, include, exclude));
  if (wanted.length > 0) return wanted;
  throw new GrokError(
    "argument",
    `${name}@${revision}: no file is asked for: it has ${[...known.keys()].slice(0, 20).join(", ")}`,
  );
}

/** A file that nobody has vouched for is hashed. */
async function isThere(to: Destination, file: RepositoryFile, signal: AbortSignal | undefined): Promise<boolean> {
  const found = to.has(file);
  if (found !== "unsure") return found === "yes";
  const { algorithm, hex } = file.hash;
  const hash = createHash(algorithm === "sha256" ? "sha256" : "sha1");
  if (algorithm === "git-sha1") hash.update(`blob ${file.size}\0`);
  for await (const part of createReadStream(to.pathOf(file), { highWaterMark: 4 << 20 })) {
    if (signal?.aborted) throw new GrokError("cancelled", "the download was cancelled", {}, signal.reason);
    hash.update(part as Uint8Array);
  }
  return hash.digest("hex") === hex;
}

/** Space that stays free, for what else goes on. */
const spareBytes = 64 << 20;

function checkSpace({ folder, partialOf }: Destination, files: readonly RepositoryFile[]): void {
  const held = (file: RepositoryFile) => {
    const stats = statSync(partialOf(file), { throwIfNoEntry: false });
    // Windows has no blocks.
    return Math.min(file.size, stats === undefined ? 0 : stats.blocks * 512 || stats.size);
  };
  const needed = files.reduce((sum, file) => sum + file.size - held(file), 0);
  const free = freeBytes(folder);
  if (needed === 0 || free === undefined || needed + spareBytes <= free) return;
  throw new GrokError(
    "capacity",
    `${folder}: ${formatBytes(needed)} are to come, and ${formatBytes(free)} are free on its disk`,
    {
      ...{ path: folder, needed, free },
    },
  );
}

async function bring(
  web: Web,
  { name, commit }: Repository,
  file: RepositoryFile,
  to: Destination,
  options: { readonly connections: number; readonly onBytes: (count: number) => void },
): Promise<void> {
  const partial = to.partialOf(file);
  makeFolder(dirname(partial));
  const unlock = lockFile(partial);
  try {
    // It may have come under another name, or by another process.
    if (to.has(file) === "yes") return options.onBytes(file.size);
    const path = file.path.split("/").map(encodeURIComponent).join("/");
    const url = `${web.endpoint.replace(/\/+$/, "")}/${name}/resolve/${commit}/${path}`;
    await download(web, { url, size: file.size, hash: file.hash, partial }, options);
    makeFolder(dirname(to.pathOf(file)));
    to.finish(file);
    removePartial(partial);
  } finally {
    unlock();
  }
}
