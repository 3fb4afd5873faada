import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { makeFolder } from "../../bytes/folder.ts";
import { ioError } from "../../bytes/io-error.ts";
import { parseJson } from "../../bytes/json.ts";
import { show } from "../../bytes/json-fields.ts";
import { readTextFile } from "../../bytes/text-file.ts";
import { GrokError } from "../../errors.ts";
import { matchesPattern } from "../../hub/patterns.ts";
import { type Pulled, type PulledFile, type PullOptions, type PullProgress, pull } from "../../hub/pull.ts";
import { checkList, checkNames, checkText, checkTexts } from "../../options.ts";
import { fileOf, partsOf } from "../parts.ts";
import { type RowFormat, readRows } from "../rows.ts";
import { filesOf, openTask } from "../task.ts";
import { failRow, type Row, type Template } from "../template.ts";
import { type Origin, recordOrigin } from "./manifest.ts";
import { type Fields, readParquetRows } from "./parquet.ts";
import { writeRows } from "./write-rows.ts";

export interface PullDataOptions
  extends Pick<
    PullOptions,
    "endpoint" | "token" | "signal" | "stallSeconds" | "attempts" | "pauseSeconds" | "connections"
  > {
  /** Folder of the tasks' data. */
  readonly data: string;
  /** Hugging Face's cache, where a dataset's own files go. */
  readonly cache: string;
  /** Told of each dataset's download. */
  readonly onProgress?: ((dataset: string, progress: PullProgress) => void) | undefined;
}

/** One file of a task's data. */
export interface TaskDataFile {
  readonly task: string;
  /** Its name in the folder of data. */
  readonly file: string;
  /** `there`: it was, and was left as it is. `missing`: no dataset has it; `source` says where it is to be had. */
  readonly status: "downloaded" | "there" | "missing";
  readonly source: string;
  readonly origin?: Origin;
}

/** A file that is to be made of a dataset's. */
interface Wanted {
  readonly task: string;
  readonly file: string;
  readonly dataset: string;
  readonly from: readonly string[];
  readonly row: Template | undefined;
  readonly format: RowFormat;
}

const optionNames = Object.keys({
  ...{ data: true, cache: true, onProgress: true, connections: true },
  ...{ endpoint: true, token: true, signal: true, stallSeconds: true, attempts: true, pauseSeconds: true },
} satisfies Record<keyof PullDataOptions, true>);

/**
 * Brings the data of tasks that are missing in a folder: a dataset's files as {@link pull} brings them, made into what the tasks read.
 * `grok1-data.json` in the folder keeps of what each file was made, with SHA-256; a file that is there is left as it is.
 * @throws GrokError `argument`; `io`, `cancelled`; `format` for files that are not what they should be, naming them.
 */
export async function pullData(tasks: readonly string[], options: PullDataOptions): Promise<readonly TaskDataFile[]> {
  checkList("tasks", tasks);
  checkTexts("tasks", tasks);
  checkNames("pullData", options, optionNames);
  const { data, cache, onProgress, ...web } = options;
  checkText("data", data);
  checkText("cache", cache);
  const files = new Map<string, TaskDataFile>();
  const wanted = new Map<string, Wanted>();
  for (const task of tasks.map(openTask)) {
    const { name, source, format } = task;
    const downloads = task.downloads.flatMap((download) =>
      partsOf(task).map((part) => ({
        ...download,
        ...{ task: name, format, file: fileOf(download.file, part) },
        from: download.from.map((pattern) => fileOf(pattern, part)),
      })),
    );
    for (const file of filesOf(task)) {
      if (files.has(file)) continue;
      const there = existsSync(join(data, file));
      files.set(file, { task: name, file, status: there ? "there" : "missing", source });
      const download = there ? undefined : downloads.find((each) => each.file === file);
      if (download !== undefined) wanted.set(file, download);
    }
  }
  for (const each of wanted.values()) checkInside(each);
  for (const dataset of new Set([...wanted.values()].map((each) => each.dataset))) {
    const some = [...wanted.values()].filter((each) => each.dataset === dataset);
    const pulled = await pull(`datasets/${dataset}`, {
      ...web,
      ...{ into: { cache }, include: some.flatMap(({ from }) => from) },
      onProgress: (progress) => onProgress?.(dataset, progress),
    });
    for (const each of some) {
      const origin = await make(each, pulled, data, options.signal);
      files.set(each.file, { ...files.get(each.file)!, status: "downloaded", origin });
    }
  }
  return [...files.values()];
}

function checkInside({ task, file }: Wanted): void {
  if (!file.split("/").includes("..") && !/^[/\\]|\\|^[a-z]:/i.test(file)) return;
  throw new GrokError("argument", `${task}: ${show(file)} is not in the folder of data`, { task, file });
}

async function make(wanted: Wanted, pulled: Pulled, data: string, signal: AbortSignal | undefined): Promise<Origin> {
  const { file, dataset, from, format } = wanted;
  const sources = from.flatMap((pattern) => pulled.files.filter(({ path }) => matchesPattern(path, pattern)));
  const empty = from.find((pattern) => !pulled.files.some(({ path }) => matchesPattern(path, pattern)));
  if (empty !== undefined) {
    throw new GrokError(
      "argument",
      `${dataset}@${pulled.commit} has no file ${empty}, of which ${file} is to be made`,
      {
        ...{ dataset, file },
      },
    );
  }
  const hash = createHash("sha256");
  let [bytes, rows] = [0, 0];
  async function* counted(): AsyncGenerator<Fields> {
    for (const source of sources) {
      for await (const row of makeRows(wanted, source, signal)) {
        rows++;
        yield row;
      }
    }
  }
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const piece of writeRows(counted(), file, format)) {
      hash.update(piece);
      bytes += piece.length;
      yield piece;
    }
  }
  const path = join(data, file);
  makeFolder(dirname(path));
  await writeAtomic(path, hashed(), { signal });
  const of: Origin["sources"][number][] = [];
  for (const source of sources) of.push(await hashSource(source, signal));
  const origin = { sha256: hash.digest("hex"), bytes, rows, dataset, commit: pulled.commit, sources: of };
  await recordOrigin(data, file, origin);
  return origin;
}

/** A dataset's rows as the task's. */
async function* makeRows(
  { dataset, row: template }: Wanted,
  { path, local }: PulledFile,
  signal: AbortSignal | undefined,
): AsyncGenerator<Fields> {
  let line = 0;
  for await (const found of readSource(path, local, signal)) {
    line++;
    if (template === undefined) {
      yield found;
      continue;
    }
    const row: Row = { path: `${dataset}: ${path}`, line, fields: found };
    yield readMade(row, template(row));
  }
}

function readMade(row: Row, text: string): Fields {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    return failRow(row, `row: expected JSON, found ${show(text)}`, error as Error);
  }
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Fields) : failRow(row, `row: expected a JSON object, found ${show(value)}`);
}

async function* readSource(path: string, local: string, signal: AbortSignal | undefined): AsyncGenerator<Fields> {
  if (path.endsWith(".parquet")) return yield* readParquetRows(local, signal);
  if (!/\.(jsonl|ndjson|json|csv|tsv)$/.test(path)) {
    const message = `${path}: expected a dataset's file in Parquet, JSON lines, CSV or TSV`;
    throw new GrokError("unsupported", message, { path });
  }
  // By its name in the dataset: that of the cache is a hash.
  for (const { fields } of readRows(readTextFile(local), path)) yield fields;
}

async function hashSource({ path, local, size }: PulledFile, signal: AbortSignal | undefined) {
  const hash = createHash("sha256");
  try {
    for await (const part of createReadStream(local, { signal: signal as AbortSignal }))
      hash.update(part as Uint8Array);
  } catch (error) {
    if (signal?.aborted) throw new GrokError("cancelled", "the download was cancelled", {}, signal.reason);
    throw ioError("read", local, error);
  }
  return { path, bytes: size, sha256: hash.digest("hex") };
}
