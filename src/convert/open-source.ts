import { existsSync } from "node:fs";
import { join } from "node:path";
import { GrokError } from "../errors.ts";
import { openGgufSource } from "./gguf-source.ts";
import { isFolder, openHuggingFaceSource } from "./hugging-face/source.ts";
import type { ModelSource } from "./source.ts";
import { checkpointName, isXaiFolder, openXaiSource } from "./xai-source.ts";

/** A kind of model that is converted, by what lies at a path. */
interface SourceReader {
  /** Looks at names alone. */
  recognizes(path: string): boolean;
  open(path: string): ModelSource;
}

/** In the order in which they are asked; the last takes what no other knows, and says what is wrong with it. */
const readers: readonly SourceReader[] = [
  { recognizes: isXaiFolder, open: openXaiSource },
  { recognizes: isFolder, open: openHuggingFaceSource },
  { recognizes: () => true, open: openGgufSource },
];

/** In the folder's own words, before a reader misses a file that another kind would not have. */
function checkFolder(path: string): void {
  if (!isFolder(path) || isXaiFolder(path)) return;
  const checkpoint = join(path, checkpointName);
  if (isFolder(checkpoint)) {
    throw new GrokError("io", `${checkpoint}: holds no tensor files, expected tensor00000_000 and on`, {
      path: checkpoint,
    });
  }
  if (existsSync(join(path, "config.json"))) return;
  throw new GrokError(
    "io",
    `${path}: neither ckpt-0 with xAI's tensor files nor config.json is in it: expected a folder with one of them, or a .gguf file`,
    { path },
  );
}

/** @throws GrokError `io`, `format`, `unsupported`: what the reader of its kind throws. */
export function openSource(path: string): ModelSource {
  if (path === "-") {
    throw new GrokError("argument", "-: a model is read at many places, expected a file or a folder", { path });
  }
  checkFolder(path);
  return readers.find(({ recognizes }) => recognizes(path))!.open(path);
}
