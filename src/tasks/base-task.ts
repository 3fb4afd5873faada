import type { Fields } from "../bytes/json-fields.ts";
import { type Parts, readParts } from "./parts.ts";
import { type RowFormat, readRowFormat } from "./rows.ts";

/** What every task has: its name, and where its questions are. */
export interface BaseTask {
  readonly name: string;
  /** In a few words, what is measured. */
  readonly about: string;
  /** Whose prompts these are. */
  readonly like: string | undefined;
  /** File of the questions in the folder of data, and where it is to be had; `{{part}}` in its name is each of the parts in turn. */
  readonly data: string;
  readonly source: string;
  /** What to know of the data. */
  readonly note: string | undefined;
  readonly format: RowFormat;
  readonly parts: Parts | undefined;
  /** The task's file as it was read: all that its questions follow from beside the data. */
  readonly text: string;
}

/** @throws GrokError `argument` naming the entry. */
export function readBaseTask(fields: Fields, text: string): BaseTask {
  return {
    name: fields.text("name"),
    about: fields.text("about"),
    like: fields.text("like", null),
    data: fields.text("data"),
    source: fields.text("source"),
    note: fields.text("note", null),
    format: readRowFormat(fields),
    parts: readParts(fields),
    text,
  };
}
