import { extname } from "node:path";
import { checkText } from "../../bytes/text.ts";
import { readTextBytes } from "../../bytes/text-file.ts";
import { jsonEntries } from "../data/json-entries.ts";
import { type DataFormat, type DataSource, defaultDataSource, findFiles, type OverlongPolicy } from "../data/source.ts";

export interface SourceOptions {
  /** Default: told from the first line. */
  readonly format?: DataFormat;
  readonly overlong?: OverlongPolicy;
  /** Share of the documents that are held out, or a file of them. */
  readonly heldOut: number | string;
}

/** Names in use for a prompt and for what answers it, most usual first. */
const promptKeys = ["prompt", "instruction", "question"];
const answerKeys = ["answer", "completion", "response", "output"];
const messageKeys = ["messages", "conversations"];

/**
 * A file's data source. `.jsonl` and `.json` are read line by line, or as one list, as conversations, as prompts with answers or as texts,
 * whichever the first line's entries are named for; anything else is text. What the lines then do not hold is told by the reader
 * with file and line.
 * @throws GrokError as `readTextBytes`; `format` for what is not UTF-8.
 */
export function sourceOf(path: string, options: SourceOptions): DataSource {
  const { heldOut, overlong = defaultDataSource.overlong } = options;
  const { format, keys } = detectFormat(path, options.format);
  return {
    ...defaultDataSource,
    name: path,
    path,
    overlong,
    heldOut,
    format,
    keys: { ...defaultDataSource.keys, ...keys },
  };
}

function detectFormat(path: string, asked: DataFormat | undefined): Pick<DataSource, "format"> & { keys: object } {
  const lines = [".jsonl", ".json", ".ndjson"].includes(extname(path).toLowerCase());
  if (!lines && (asked === undefined || !["jsonl", "pairs", "chat"].includes(asked))) {
    return { format: asked ?? "text", keys: {} };
  }
  const entry = firstEntry(findFiles(path)[0]!);
  const has = (names: readonly string[]) => names.find((name) => Object.hasOwn(entry, name));
  const [messages, prompt, answer] = [has(messageKeys), has(promptKeys), has(answerKeys)];
  const told = messages ? "chat" : answer || prompt || !has(["text"]) ? "pairs" : "jsonl";
  return {
    format: asked ?? told,
    keys: { ...(messages && { messages }), ...(prompt && { prompt }), ...(answer && { answer }) },
  };
}

/** The first line's object, or that of a list; an empty one where there is none to be read. */
function firstEntry(file: string): object {
  const body = checkText(readTextBytes(file), file);
  try {
    for (const place of jsonEntries(file, body)) {
      const entry: unknown = JSON.parse(
        body.toString("utf8", place.start, Math.min(place.end, place.start + (1 << 22))),
      );
      return typeof entry === "object" && entry !== null && !Array.isArray(entry) ? entry : {};
    }
  } catch {
    // The reader says what is wrong.
  }
  return {};
}
