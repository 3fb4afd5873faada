import { extname } from "node:path";
import { readBytes } from "../data/documents.ts";
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
 * A file's data source. `.jsonl` and `.json` are read line by line, as conversations, as prompts with answers or as texts,
 * whichever the first line's entries are named for; anything else is text. What the lines then do not hold is told by the reader
 * with file and line.
 * @throws GrokError `io`.
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

/** The first line's object; an empty one where there is none to be read. */
function firstEntry(file: string): object {
  const bytes = readBytes(file);
  for (let start = 0; start < bytes.length; ) {
    const found = bytes.indexOf(10, start);
    const end = found < 0 ? bytes.length : found;
    const line = bytes
      .toString("utf8", start, Math.min(end, start + (1 << 22)))
      .replace(/^\ufeff/, "")
      .trim();
    start = end + 1;
    if (line === "") continue;
    try {
      const entry: unknown = JSON.parse(line);
      if (typeof entry === "object" && entry !== null && !Array.isArray(entry)) return entry;
    } catch {
      // The reader says what is wrong with the line.
    }
    break;
  }
  return {};
}
