import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { writeAtomic } from "./atomic-write.ts";
import { ioError } from "./io-error.ts";

/** Which sections of a file are finished. One JSON document a line: what the file is made of, then a section each. (Of
 * downloads, whose parts come in any order: `hub/journal.ts`.) */
export interface Journal {
  /** Of earlier runs of the same content, in order. */
  readonly noted: readonly Note[];
  /** Takes nothing over. */
  forget(): void;
  /** Keeps the first `kept` notes, and begins to write. */
  begin(kept: number): Promise<void>;
  note(sections: readonly Note[]): Promise<void>;
  readonly close: () => Promise<void>;
  remove(): Promise<void>;
}

export interface Note {
  readonly name: string;
  readonly sha256: string;
}

/** Reads a journal, if there is one of this content. @throws GrokError `io`. */
export async function openJournal(path: string, key: string): Promise<Journal> {
  let noted = await readNotes(path, key);
  let file: FileHandle | undefined;
  const line = (value: object) => `${JSON.stringify(value)}\n`;
  const noteOf = ({ name, sha256 }: Note) => line({ name, sha256 });
  return {
    get noted() {
      return noted;
    },
    forget() {
      noted = [];
    },
    async begin(kept) {
      const head = line({ format: "grok1 journal", version: 1, content: key });
      await writeAtomic(path, [Buffer.from(head + noted.slice(0, kept).map(noteOf).join(""))]);
      file = await attempt(open(path, "a"));
    },
    async note(sections) {
      if (file === undefined || sections.length === 0) return;
      await attempt(file.appendFile(sections.map(noteOf).join("")));
      await attempt(file.datasync());
    },
    async close() {
      await file?.close();
      file = undefined;
    },
    remove: () => rm(path, { force: true }),
  };

  async function attempt<T>(result: Promise<T>): Promise<T> {
    try {
      return await result;
    } catch (error) {
      throw ioError("write", path, error);
    }
  }
}

async function readNotes(path: string, key: string): Promise<Note[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  const [head, ...lines] = text.split("\n").map(parse);
  const { format, version, content } = (head ?? {}) as Record<string, unknown>;
  if (format !== "grok1 journal" || version !== 1 || content !== key) return [];
  // The last line may have been cut off half-way: it and what is behind it do not count.
  const end = lines.findIndex((note) => typeof note?.name !== "string" || typeof note.sha256 !== "string");
  return (end < 0 ? lines : lines.slice(0, end)) as unknown as Note[];
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
