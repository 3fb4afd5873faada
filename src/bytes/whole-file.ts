import { GrokError } from "../errors.ts";
import { openDataFile } from "./data-file.ts";
import { parseJson } from "./json.ts";
import { decodeText } from "./text.ts";

/**
 * All bytes of a regular file that is small by its nature (a configuration, a tokenizer's model).
 * @throws GrokError `io`; `format` for one of more than `most` bytes.
 */
export function readWhole(path: string, most: number): Uint8Array<ArrayBuffer> {
  const file = openDataFile(path);
  try {
    if (file.size <= most) return file.read(0, file.size);
    throw new GrokError("format", `${path}: ${file.size} bytes, expected at most ${most}`, { path });
  } finally {
    file.close();
  }
}

/** A JSON object in a file. @throws GrokError as {@link readWhole}; `format` for what is none, or not UTF-8. */
export function readJsonObject(path: string, most: number): Readonly<Record<string, unknown>> {
  let content: unknown;
  try {
    content = parseJson(decodeText(readWhole(path, most), path));
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new GrokError("format", `${path}: not JSON: ${error.message}`, { path }, error);
    }
    throw error;
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new GrokError("format", `${path}: expected a JSON object`, { path });
  }
  return content as Readonly<Record<string, unknown>>;
}
