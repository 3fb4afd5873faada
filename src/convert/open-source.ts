import { openGgufSource } from "./gguf-source.ts";
import { isFolder, openHuggingFaceSource } from "./hugging-face/source.ts";
import type { ModelSource } from "./source.ts";
import { isXaiFolder, openXaiSource } from "./xai-source.ts";

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

/** @throws GrokError `io`, `format`, `unsupported`: what the reader of its kind throws. */
export function openSource(path: string): ModelSource {
  return readers.find(({ recognizes }) => recognizes(path))!.open(path);
}
