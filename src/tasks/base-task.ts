import type { Fields } from "../bytes/json-fields.ts";
import { type Download, readDownloads } from "./data/download.ts";
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
  /** File that is read where `data` is not there, such as some of its questions. */
  readonly otherwise: string | undefined;
  /** How files are made of datasets of Hugging Face's, where `pullData` can. */
  readonly downloads: readonly Download[];
  /** What to know of the data. */
  readonly note: string | undefined;
  readonly format: RowFormat;
  readonly parts: Parts | undefined;
  /** The task's file as it was read: all that its questions follow from beside the data. */
  readonly text: string;
}

/** @throws GrokError `argument` naming the entry. */
export function readBaseTask(fields: Fields, text: string): BaseTask {
  const data = fields.text("data");
  return {
    name: fields.text("name"),
    about: fields.text("about"),
    like: fields.text("like", null),
    data,
    source: fields.text("source"),
    otherwise: fields.text("otherwise", null),
    downloads: readDownloads(fields, data),
    note: fields.text("note", null),
    format: readRowFormat(fields),
    parts: readParts(fields),
    text,
  };
}
