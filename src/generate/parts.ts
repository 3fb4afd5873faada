import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { describeModel, type ModelDescription } from "../model/describe.ts";
import { checkIsModel } from "../model/kind.ts";
import { absentTokenizer } from "../tokenizer/absent.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type ChatTemplate, createJinjaTemplate, plainTemplate, templateOf } from "./chat-template.ts";

/** What a caller's thread reads of a model file. */
export interface ModelParts {
  readonly description: ModelDescription;
  /** Absent ({@link absentTokenizer}) where the file has none. */
  readonly tokenizer: Tokenizer;
  /** Plain where neither file nor caller has one. */
  readonly template: ChatTemplate;
  /** The template's source, where there is one. */
  readonly chatTemplate: string | undefined;
}

/** A file without one, as conversions of bare weights are, is a model all the same. */
function readTokenizer({ metadata, path }: GgufFile): Tokenizer {
  try {
    return tokenizerFromGguf(metadata, path);
  } catch (error) {
    if (error instanceof GrokError && !metadata.has("tokenizer.ggml.model")) return absentTokenizer(error);
    throw error;
  }
}

/**
 * Reads the header, the vocabulary and the chat template, which `chatTemplate` stands in for.
 * @throws GrokError `io`, `format`, `unsupported` (a tokenizer or template that does not run)
 */
export function readParts(path: string, chatTemplate: string | undefined): ModelParts {
  const file = openGguf(path);
  try {
    checkIsModel(file);
    const source = chatTemplate ?? templateOf(file);
    return {
      description: describeModel(file),
      tokenizer: readTokenizer(file),
      template: source === undefined ? plainTemplate : createJinjaTemplate(source, path),
      chatTemplate: source,
    };
  } finally {
    file.close();
  }
}
