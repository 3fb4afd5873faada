import { readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ioError } from "../../bytes/io-error.ts";
import { GrokError } from "../../errors.ts";

/** How documents lie in a file. */
export const dataFormats = {
  /** Texts with a separator between them; `<|endoftext|>` unless said otherwise. */
  text: "texts with a separator between them",
  /** A file is one text. */
  book: "one text a file",
  /** A text is what stands between blank lines. */
  paragraphs: "texts with blank lines between them",
  /** A line is an object with a text. */
  jsonl: "one JSON object with a text a line",
  /** A line is an object with a prompt and its answer; only the answer is learned. */
  pairs: "one JSON object with a prompt and an answer a line",
  /** A line is an object with the messages of a conversation; only the assistant's are learned. */
  chat: "one JSON object with messages a line",
} as const;

export type DataFormat = keyof typeof dataFormats;

/** Names of a JSON line's entries. */
export interface DataKeys {
  readonly text: string;
  readonly prompt: string;
  /** Where a prompt may have a second part, as in Alpaca's data: used when there and not empty. */
  readonly input: string;
  readonly answer: string;
  readonly messages: string;
  readonly role: string;
  readonly content: string;
}

export const defaultDataKeys: DataKeys = {
  text: "text",
  prompt: "prompt",
  input: "input",
  answer: "answer",
  messages: "messages",
  role: "role",
  content: "content",
};

/** What to do with a prompt and answer, or a conversation, that is longer than the context. Texts are cut into windows. */
export type OverlongPolicy = "error" | "truncate" | "skip";

export interface DataSource {
  /** For reports. */
  readonly name: string;
  /** Files; `*` and `?` stand for any characters of a name. */
  readonly path: string;
  readonly format: DataFormat;
  /** Share of the training tokens, relative to the other sources'. */
  readonly weight: number;
  readonly separator: string;
  readonly keys: DataKeys;
  readonly overlong: OverlongPolicy;
  /** Share of the documents that are held out, chosen by their content alone; or files that are held out as a whole. */
  readonly heldOut: number | string;
}

export const defaultDataSource = {
  weight: 1,
  separator: "<|endoftext|>",
  keys: defaultDataKeys,
  overlong: "error",
  heldOut: 0,
} as const satisfies Partial<DataSource>;

/**
 * The files that a path with `*` and `?` names, sorted. Wildcards count in every part of the path.
 * @throws GrokError `io` when nothing is there.
 */
export function findFiles(path: string): string[] {
  if (!/[*?]/.test(path)) return [path];
  const found = expand(path).filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
  if (found.length === 0) throw new GrokError("io", `${path}: no file has such a name`, { path });
  return found.sort();
}

function expand(path: string): string[] {
  const parent = dirname(path);
  const name = basename(path);
  const folders = /[*?]/.test(parent) ? expand(parent) : [parent];
  const pattern = new RegExp(
    `^${name
      .replace(/[\\^$.+()[\]{}|]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
    "s",
  );
  return folders.flatMap((folder) => {
    try {
      return readdirSync(folder)
        .filter((entry) => pattern.test(entry) && (!entry.startsWith(".") || name.startsWith(".")))
        .map((entry) => join(folder, entry));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return [];
      throw ioError("read", folder, error);
    }
  });
}
