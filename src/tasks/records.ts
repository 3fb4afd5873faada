import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { ioError } from "../bytes/io-error.ts";
import { decodeText } from "../bytes/text.ts";
import { GrokError } from "../errors.ts";
import { readObject } from "./rows.ts";

/** What is kept of every question, a JSON line each. */
export interface BaseRecord {
  readonly task: string;
  /** Of the task, where it has parts. */
  readonly part?: string | undefined;
  /** Index among the task's questions; line of its file. */
  readonly question: number;
  readonly line: number;
  /** Whether the beginning was left out, as all of it did not fit the model's context. */
  readonly truncated: boolean;
}

/** A file of records: it can be gone on with by the same model, tasks and data. */
export interface Records {
  /** Those of a task that are there, by question. @throws GrokError `argument` when they are of other questions than `key` says. */
  begin<R extends BaseRecord>(task: string, key: string, isWhole: (record: R) => boolean): ReadonlyMap<number, R>;
  add(record: BaseRecord): void;
  close(): void;
}

const format = "grok1 eval records";

/** Records that nobody keeps. */
export const noRecords: Records = { begin: () => new Map(), add() {}, close() {} };

/** The records of a run, to compare with: {@link Records.begin} of what is there, and nothing is written. */
export type OtherRecords = Pick<Records, "begin">;

interface Content {
  readonly keys: ReadonlyMap<string, string>;
  readonly kept: ReadonlyMap<string, ReadonlyMap<number, BaseRecord>>;
}

/**
 * Reads the records of another run, of whatever model.
 * @throws GrokError `io`; `format` naming the line
 */
export function readRecords(path: string): OtherRecords {
  const { text } = wholeLines(
    attempt("read", path, () => readFileSync(path)),
    path,
  );
  const content = readContent(text, path, () => {});
  return {
    begin<R extends BaseRecord>(task: string, key: string, isWhole: (record: R) => boolean) {
      return recordsOf(content, path, task, key, isWhole) ?? refuse(path, `there are no records of ${task}`);
    },
  };
}

/**
 * A task's records in a file; none where it has none of it.
 * @param model what tells the model, and how it computes, from others.
 * @throws GrokError `io`; `format` naming the line; `argument` for records of another model.
 */
export function readRecordsOf(path: string, model: string, task: string): readonly BaseRecord[] {
  const { text } = wholeLines(
    attempt("read", path, () => readFileSync(path)),
    path,
  );
  return [...(readContent(text, path, checkModel(path, model)).kept.get(task)?.values() ?? [])];
}

/**
 * Opens a file of records, new or of an earlier run. A line that an interruption cut off is dropped.
 * @param model what tells the model, and how it computes, from others.
 * @throws GrokError `io`; `format` naming the line; `argument` for records of another model.
 */
export function openRecords(path: string, model: string): Records {
  const fd = attempt("open", path, () => openSync(path, "a+"));
  const write = (value: object) => attempt("write", path, () => writeSync(fd, `${JSON.stringify(value)}\n`));
  try {
    const bytes = attempt("read", path, () => readFileSync(path));
    const { text, length } = wholeLines(bytes, path);
    // Nothing of somebody else's file is cut off: only of one that begins as ours do.
    if (bytes.length === 0) write({ format, version: 1, model });
    const content =
      bytes.length === 0
        ? { keys: new Map<string, string>(), kept: new Map() }
        : readContent(text, path, checkModel(path, model));
    if (length < bytes.length) attempt("write", path, () => ftruncateSync(fd, length));
    return {
      begin<R extends BaseRecord>(task: string, key: string, isWhole: (record: R) => boolean) {
        const of = recordsOf(content, path, task, key, isWhole);
        if (of === undefined) write({ task, key });
        return of ?? new Map();
      },
      add: write,
      close: () => closeSync(fd),
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

const checkModel = (path: string, model: string) => (of: unknown) => {
  if (of !== model) refuse(path, "the records are of another model, or it computed in another way");
};

/** Without a last line that an interruption cut off. */
function wholeLines(bytes: Buffer, path: string) {
  const length = bytes.lastIndexOf(10) + 1;
  return { text: decodeText(bytes.subarray(0, length), path), length };
}

function readContent(text: string, path: string, checkModel: (model: unknown) => void): Content {
  const keys = new Map<string, string>();
  const kept = new Map<string, Map<number, BaseRecord>>();
  const fail = (line: number, what: string): never => {
    throw new GrokError("format", `${path}: line ${line}: ${what}`, { path, line });
  };
  const lines = text.split("\n").slice(0, -1);
  if (lines.length === 0) fail(1, `expected the head of ${format}`);
  for (const [index, content] of lines.entries()) {
    const line = index + 1;
    const entry = readObject(content, path, line);
    if (index === 0) {
      if (entry.format !== format || entry.version !== 1) fail(1, `expected the head of ${format}, version 1`);
      checkModel(entry.model);
    } else if (typeof entry.key === "string") {
      const task = String(entry.task);
      keys.set(task, entry.key);
      kept.set(task, new Map());
    } else {
      const of = kept.get(String(entry.task));
      if (of === undefined || !Number.isSafeInteger(entry.question)) fail(line, "expected a question's record");
      of!.set(entry.question as number, entry as unknown as BaseRecord);
    }
  }
  return { keys, kept };
}

/** A task's records, undefined where there are none. */
function recordsOf<R extends BaseRecord>(
  { keys, kept }: Content,
  path: string,
  task: string,
  key: string,
  isWhole: (record: R) => boolean,
): ReadonlyMap<number, R> | undefined {
  const of = kept.get(task) as ReadonlyMap<number, R> | undefined;
  if (of === undefined) return undefined;
  if (keys.get(task) !== key) {
    refuse(path, `the records of ${task} are of other questions: its file, its data or the shots differ`);
  }
  for (const record of of.values()) {
    if (Number.isFinite(record.line) && typeof record.truncated === "boolean" && isWhole(record)) continue;
    throw new GrokError("format", `${path}: ${task}: question ${record.question}: the record is not whole`, { path });
  }
  return of;
}

function refuse(path: string, why: string): never {
  throw new GrokError("argument", `${path}: ${why}; name another file`, { path });
}

function attempt<T>(action: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw ioError(action, path, error);
  }
}
