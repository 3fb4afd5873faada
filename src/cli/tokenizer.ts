import { readFileSync } from "node:fs";
import { ioError } from "../bytes/io-error.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import { tokenizerFromSentencePiece } from "../tokenizer/sentencepiece-file.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { readHead } from "./files.ts";

/** The tokenizer of a model file (GGUF) or of a SentencePiece `tokenizer.model`, told apart by content. */
export function openTokenizer(path: string): Tokenizer {
  if (readHead(path, 4).toString("latin1") !== "GGUF") {
    return tokenizerFromSentencePiece(readBytes(path), path);
  }
  const file = openGguf(path);
  try {
    return tokenizerFromGguf(file.metadata, path);
  } finally {
    file.close();
  }
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw ioError("read", path, error);
  }
}
