import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { GrokError } from "../errors.ts";
import { freeBytes } from "../machine/free-space.ts";
import { type Chunks, lookUp, syncFolder } from "./atomic-write.ts";
import { ioError } from "./io-error.ts";
import { openJournal } from "./journal.ts";

/** A part of a file, written from first to last. */
export interface Section {
  readonly name: string;
  readonly bytes: number;
  /** Chunks of together `bytes` bytes, asked for when this section's turn comes; each belongs to who asked. */
  readonly data: () => Chunks;
  /** Zero bytes behind it, which are no part of its hash. */
  readonly padding: Uint8Array;
}

export interface ResumableFile {
  /** The bytes before the first section. */
  readonly head: Uint8Array;
  readonly sections: readonly Section[];
  /** Whatever the sections' bytes depend on beside the head. Where one of both is another, nothing of an earlier run is taken over. */
  readonly madeFrom: string;
}

export interface ResumableWriteOptions {
  /** Stops between two chunks with GrokError `cancelled`; what is finished is kept for the next run. */
  readonly signal?: AbortSignal | undefined;
  /** Told with each chunk how many bytes of a section are done. */
  readonly onProgress?: ((progress: SectionProgress) => void) | undefined;
  /** Called when all is on the disk, before the file gets its name. */
  readonly beforeNaming?: ((written: WrittenFile) => Promise<void>) | undefined;
}

export interface SectionProgress {
  readonly section: number;
  readonly done: number;
  /** Whether an earlier run wrote it, and this one only checks it. */
  readonly kept: boolean;
}

export interface WrittenFile {
  readonly bytes: number;
  /** Of the whole file, in hexadecimal. */
  readonly sha256: string;
  /** In the file's order. Hashes are without padding. */
  readonly sections: readonly WrittenSection[];
  /** How many sections an earlier run had written. */
  readonly kept: number;
}

export interface WrittenSection {
  readonly name: string;
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** What stands beside a file that is not whole yet. */
export const partialName = (path: string): string => `${path}.partial`;
export const journalName = (path: string): string => `${path}.journal`;

/** Written bytes, and milliseconds, after which what is written is brought to the disk and noted. */
const flushBytes = 2 ** 28;
const flushTime = 5000;
const readBytes = 2 ** 24;

/**
 * Writes a large file so that its name only ever means a whole one, and so that a run that was stopped, by whatever, is continued by
 * the next: into `PATH.partial`, with finished sections noted in `PATH.journal` once they are on the disk. The next run of the same
 * content holds what is noted against its hash and goes on behind it; another content begins anew. A link is followed.
 *
 * @throws GrokError `io` (no space for all of it, no permission, not a regular file), `cancelled`; what the sections' data throws
 * passes unchanged. What is finished stays for the next run; where nothing is, nothing stays.
 */
export async function writeResumable(
  path: string,
  content: ResumableFile,
  options: ResumableWriteOptions = {},
): Promise<WrittenFile> {
  const existing = await lookUp(path);
  const target = existing?.path ?? path;
  const partial = partialName(target);
  const journal = await openJournal(journalName(target), contentKey(content));
  const file = await openPartial(path, partial, journal.noted.length > 0, existing?.mode);
  if (file.fresh) journal.forget();
  const run = createRun(path, file.handle, content, options);
  try {
    try {
      for (const { name, sha256 } of journal.noted) if (!(await run.keep(name, sha256))) break;
      const kept = run.sections.length;
      await checkSpace(path, partial, sizeOf(content));
      await journal.begin(kept);
      try {
        while (run.sections.length < content.sections.length) {
          await run.write();
          if (run.isDue()) await journal.note(await run.flush());
        }
      } finally {
        // Also what was finished before something failed.
        await journal.note(await run.flush()).finally(journal.close);
      }
      await attempt("write", path, file.handle.truncate(sizeOf(content)));
      await attempt("flush", path, file.handle.sync());
      const written = { bytes: sizeOf(content), sha256: run.digest(), sections: run.sections, kept };
      await options.beforeNaming?.(written);
      await checkOwn(path, partial, file.handle);
      await attempt("rename the finished file", path, rename(partial, target));
      await journal.remove();
      await syncFolder(dirname(target));
      return written;
    } finally {
      await file.handle.close();
    }
  } catch (error) {
    // The first failure is the one to report, whatever the removal says.
    if (run.sections.length === 0) await Promise.allSettled([rm(partial, { force: true }), journal.remove()]);
    throw error;
  }
}

function sizeOf({ head, sections }: ResumableFile): number {
  return sections.reduce((sum, { bytes, padding }) => sum + bytes + padding.length, head.length);
}

/** Two contents of the same key are the same bytes. */
function contentKey({ head, sections, madeFrom }: ResumableFile): string {
  const hash = createHash("sha256").update(head);
  hash.update(JSON.stringify([madeFrom, sections.map(({ name, bytes, padding }) => [name, bytes, padding.length])]));
  return hash.digest("hex");
}

/** What is done of a file. */
interface Run {
  readonly sections: readonly WrittenSection[];
  /** Takes the next section over from an earlier run if its bytes are those that were noted. */
  keep(name: string, sha256: string): Promise<boolean>;
  /** Writes the next section. */
  write(): Promise<void>;
  /** Whether what was written is worth bringing to the disk. */
  isDue(): boolean;
  /** Brings it there; gives the sections that were not there before. */
  flush(): Promise<readonly WrittenSection[]>;
  digest(): string;
}

function createRun(path: string, file: FileHandle, content: ResumableFile, options: ResumableWriteOptions): Run {
  const { signal, onProgress } = options;
  const sections: WrittenSection[] = [];
  let hash = createHash("sha256").update(content.head);
  let offset = content.head.length;
  let flushed = 0;
  let flushedAt = { offset: 0, time: performance.now() };
  let headWritten = false;

  const checkCancelled = () => {
    if (signal?.aborted) throw new GrokError("cancelled", "writing was cancelled", {}, signal.reason);
  };
  const put = async (bytes: Uint8Array, at: number) => {
    // One write call moves at most 2^31 - 1 bytes, and may move fewer than asked.
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(bytes.length - done, 2 ** 30);
      done += (await attempt("write", path, file.write(bytes, done, length, at + done))).bytesWritten;
    }
  };
  const finish = (whole: Hash, own: Hash) => {
    const { name, bytes, padding } = content.sections[sections.length]!;
    sections.push({ name, offset, bytes, sha256: own.digest("hex") });
    hash = whole.update(padding);
    offset += bytes + padding.length;
  };

  return {
    sections,
    async keep(name, sha256) {
      const section = sections.length;
      const { bytes, name: wanted } = content.sections[section] ?? { bytes: 0 };
      if (name !== wanted) return false;
      const [whole, own] = [hash.copy(), createHash("sha256")];
      const buffer = new Uint8Array(Math.min(bytes, readBytes));
      for (let done = 0; done < bytes; ) {
        checkCancelled();
        const length = Math.min(buffer.length, bytes - done);
        const { bytesRead } = await attempt("read", path, file.read(buffer, 0, length, offset + done));
        if (bytesRead === 0) return false;
        const piece = buffer.subarray(0, bytesRead);
        whole.update(piece);
        own.update(piece);
        done += bytesRead;
        onProgress?.({ section, done, kept: true });
      }
      if (own.copy().digest("hex") !== sha256) return false;
      finish(whole, own);
      flushed = sections.length;
      return true;
    },
    async write() {
      if (!headWritten) await put(content.head, 0);
      headWritten = true;
      const section = sections.length;
      const { bytes, data, padding, name } = content.sections[section]!;
      const [whole, own] = [hash.copy(), createHash("sha256")];
      let done = 0;
      // While one chunk is on its way, the next is made.
      let writing: Promise<void> = Promise.resolve();
      try {
        for await (const chunk of data()) {
          checkCancelled();
          if (done + chunk.length > bytes) throw wrongLength(name, bytes, `at least ${done + chunk.length}`);
          whole.update(chunk);
          own.update(chunk);
          await writing;
          writing = put(chunk, offset + done);
          // Waited for above or below; until then its failure is nobody's.
          writing.catch(() => undefined);
          done += chunk.length;
          onProgress?.({ section, done, kept: false });
        }
      } finally {
        await writing;
      }
      if (done !== bytes) throw wrongLength(name, bytes, String(done));
      await put(padding, offset + bytes);
      finish(whole, own);
    },
    isDue: () => offset - flushedAt.offset >= flushBytes || performance.now() - flushedAt.time >= flushTime,
    async flush() {
      const fresh = sections.slice(flushed);
      if (fresh.length > 0) await attempt("flush", path, file.datasync());
      flushed = sections.length;
      flushedAt = { offset, time: performance.now() };
      return fresh;
    },
    digest: () => hash.copy().digest("hex"),
  };
}

function wrongLength(name: string, expected: number, found: string): GrokError {
  return new GrokError("argument", `tensor ${name}: its data is ${found} bytes, expected ${expected}`, {
    tensor: name,
    expected,
  });
}

async function openPartial(
  path: string,
  partial: string,
  resume: boolean,
  mode: number | undefined,
): Promise<{ handle: FileHandle; fresh: boolean }> {
  if (resume) {
    try {
      return { handle: await open(partial, "r+"), fresh: false };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw ioError("open", partial, error);
    }
  }
  // A new file, and not the old one emptied: another process that writes to that finds at the end that it is its own no more.
  await attempt("create", path, rm(partial, { force: true }));
  return { handle: await attempt("create", path, open(partial, "wx+", mode)), fresh: true };
}

/** @throws GrokError `io` where another process has begun the same file anew: under the partial name is that one's. */
async function checkOwn(path: string, partial: string, file: FileHandle): Promise<void> {
  const [own, there] = await Promise.all([file.stat(), stat(partial).catch(() => undefined)]);
  if (there?.ino === own.ino && there.dev === own.dev) return;
  throw new GrokError("io", `${path}: another process has begun to write this file meanwhile`, { path });
}

/** Where the system tells. What lies there already of the file is not needed once more. */
async function checkSpace(path: string, partial: string, size: number): Promise<void> {
  const { blocks } = await attempt("read", path, stat(partial));
  const needed = size - 512 * (blocks ?? 0);
  const free = freeBytes(dirname(partial));
  if (free === undefined || free >= needed) return;
  throw new GrokError("io", `${path}: cannot write: ${needed} bytes are needed, and the disk has ${free} left`, {
    ...{ path, needed, free },
  });
}

async function attempt<T>(action: string, path: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    throw ioError(action, path, error);
  }
}
