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

/**
 * Opens a file of records, new or of an earlier run. A line that an interruption cut off is dropped.
 * @param model what tells the model, and how it computes, from others.
 * @throws GrokError `io`; `format` naming the line; `argument` for records of another model.
 */
export function openRecords(path: string, model: string): Records {
  const fd = attempt("open", () => openSync(path, "a+"));
  try {
    const bytes = attempt("read", () => readFileSync(path));
    const whole = bytes.subarray(0, bytes.lastIndexOf(10) + 1);
    const lines = decodeText(whole, path).split("\n").slice(0, -1);
    // Nothing of somebody else's file is cut off: only of one that begins as ours do.
    const head = { format, version: 1, model };
    const keys = new Map<string, string>();
    const kept = new Map<string, Map<number, BaseRecord>>();
    const fail = (line: number, what: string): never => {
      throw new GrokError("format", `${path}: line ${line}: ${what}`, { path, line });
    };
    const write = (value: object) => attempt("write", () => writeSync(fd, `${JSON.stringify(value)}\n`));
    if (bytes.length === 0) write(head);
    else if (lines.length === 0) fail(1, `expected the head of ${format}`);
    for (const [index, text] of lines.entries()) {
      const line = index + 1;
      const entry = readObject(text, path, line);
      if (index === 0) {
        if (entry.format !== format || entry.version !== 1) fail(1, `expected the head of ${format}, version 1`);
        if (entry.model !== model) refuse("the records are of another model, or it computed in another way");
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
    if (whole.length < bytes.length) attempt("write", () => ftruncateSync(fd, whole.length));
    return {
      begin<R extends BaseRecord>(task: string, key: string, isWhole: (record: R) => boolean) {
        const of = kept.get(task) as ReadonlyMap<number, R> | undefined;
        if (of === undefined) {
          write({ task, key });
          return new Map();
        }
        if (keys.get(task) !== key)
          refuse(`the records of ${task} are of other questions: its file, its data or the shots differ`);
        for (const record of of.values()) {
          if (Number.isFinite(record.line) && typeof record.truncated === "boolean" && isWhole(record)) continue;
          throw new GrokError("format", `${path}: ${task}: question ${record.question}: the record is not whole`, {
            path,
          });
        }
        return of;
      },
      add: write,
      close: () => closeSync(fd),
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }

  function refuse(why: string): never {
    throw new GrokError("argument", `${path}: ${why}; name a new file`, { path });
  }

  function attempt<T>(action: string, act: () => T): T {
    try {
      return act();
    } catch (error) {
      throw ioError(action, path, error);
    }
  }
}
