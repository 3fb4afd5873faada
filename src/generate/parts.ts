import { openGguf } from "../formats/gguf/file.ts";
import { describeModel, type ModelDescription } from "../model/describe.ts";
import { checkIsModel } from "../model/kind.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type ChatTemplate, createJinjaTemplate, plainTemplate, templateOf } from "./chat-template.ts";

/** What a caller's thread reads of a model file. */
export interface ModelParts {
  readonly description: ModelDescription;
  readonly tokenizer: Tokenizer;
  /** Plain where neither file nor caller has one. */
  readonly template: ChatTemplate;
  /** The template's source, where there is one. */
  readonly chatTemplate: string | undefined;
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
      tokenizer: tokenizerFromGguf(file.metadata, path),
      template: source === undefined ? plainTemplate : createJinjaTemplate(source, path),
      chatTemplate: source,
    };
  } finally {
    file.close();
  }
}
