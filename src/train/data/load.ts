import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { ioError } from "../../bytes/io-error.ts";
import { openGguf } from "../../formats/gguf/file.ts";
import { type ChatTemplate, createJinjaTemplate } from "../../generate/chat-template.ts";
import { tokenizerFromGguf } from "../../tokenizer/gguf.ts";
import { tokenizerFromSentencePiece } from "../../tokenizer/sentencepiece-file.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { TrainConfig } from "../config.ts";
import { type Corpus, loadCorpus } from "./corpus.ts";
import { readBytes } from "./documents.ts";

export interface TrainingData {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | undefined;
  /** The template's text, for the exported model. */
  readonly templateText: string | undefined;
  /** In the order of the configuration's sources. */
  readonly corpora: readonly Corpus[];
}

export interface TrainingDataOptions {
  readonly onFile?: (file: string) => void;
}

/**
 * Everything that a configuration's data section names, tokenized. Texts begin with the tokenizer's bos and end with its
 * eos, where it has such.
 * @throws GrokError naming the file, and line where there is one.
 */
export async function loadTrainingData(
  config: Pick<TrainConfig, "tokenizer" | "chatTemplate" | "data" | "model">,
  options: TrainingDataOptions = {},
): Promise<TrainingData> {
  const { tokenizer, key } = openTokenizer(config.tokenizer);
  const templateText = config.chatTemplate === undefined ? undefined : readBytes(config.chatTemplate).toString("utf8");
  const template = templateText === undefined ? undefined : createJinjaTemplate(templateText, config.chatTemplate!);
  const encodingKey = createHash("sha256")
    .update(JSON.stringify([key, templateText ?? null]))
    .digest("hex");
  const corpora: Corpus[] = [];
  for (const source of config.data.sources) {
    corpora.push(
      await loadCorpus(source, {
        tokenizer,
        ...(template && { template }),
        ...{ addBos: true, addEos: true, context: config.model.context, encodingKey, cache: config.data.cache },
        ...options,
      }),
    );
  }
  return { tokenizer, template, templateText, corpora };
}

/** A `tokenizer.model`, or a GGUF file's tokenizer, told apart by content; with a hash of what it consists of. */
function openTokenizer(path: string): { readonly tokenizer: Tokenizer; readonly key: string } {
  const hash = createHash("sha256");
  const bytes = isGguf(path) ? undefined : readBytes(path);
  if (bytes) return { tokenizer: tokenizerFromSentencePiece(bytes, path), key: hash.update(bytes).digest("hex") };
  const file = openGguf(path);
  try {
    const tokenizer = tokenizerFromGguf(file.metadata);
    for (const name of ["model", "pre", "tokens", "scores", "token_type", "merges"]) {
      const value = file.metadata.get(`tokenizer.ggml.${name}`);
      hash.update(JSON.stringify(ArrayBuffer.isView(value) ? [...(value as Int32Array)] : (value ?? null)));
    }
    return { tokenizer, key: hash.digest("hex") };
  } finally {
    file.close();
  }
}

function isGguf(path: string): boolean {
  try {
    const file = openSync(path, "r");
    try {
      const head = Buffer.alloc(4);
      return readSync(file, head, 0, 4, 0) === 4 && head.toString("latin1") === "GGUF";
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw ioError("read", path, error);
  }
}
