import { readHead } from "../bytes/head.ts";
import { readWhole } from "../bytes/whole-file.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { tokenizerFromGguf } from "./gguf.ts";
import { maxModelBytes, tokenizerFromSentencePiece } from "./sentencepiece-file.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The tokenizer of a model file (GGUF) or of a SentencePiece `tokenizer.model`, told apart by content. @throws GrokError `io`, `format`, `unsupported` */
export function openTokenizer(path: string): Tokenizer {
  if (readHead(path, 4).toString("latin1") !== "GGUF") {
    return tokenizerFromSentencePiece(readWhole(path, maxModelBytes), path);
  }
  const file = openGguf(path);
  try {
    return tokenizerFromGguf(file.metadata, path);
  } finally {
    file.close();
  }
}
