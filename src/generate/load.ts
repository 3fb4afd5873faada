import type { Engine } from "../engine/client.ts";
import { startEngine } from "../engine/engine.ts";
import { checkNames } from "../engine/names.ts";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { describeModel, type ModelDescription } from "../model/describe.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { createJinjaTemplate } from "./chat-template.ts";
import { createLanguageModel } from "./model.ts";
import type { LanguageModel, LoadOptions } from "./types.ts";

/**
 * Opens a GGUF model. This thread reads the header, the vocabulary and the chat template while the engine's thread
 * binds the weights, which are mapped and not read.
 *
 * @throws GrokError `io` (no such file), `format` (damaged), `unsupported` (an architecture, tensor type or tokenizer
 * that does not run; the native backend where it is not there), `shape`, `argument` (an option that does not exist or is
 * out of its range).
 */
export async function loadModel(path: string, options: LoadOptions = {}): Promise<LanguageModel> {
  const began = performance.now();
  checkNames("loadModel", options, loadNames);
  const { chatTemplate, ...engineOptions } = options;
  const starting = startEngine(path, engineOptions);
  // An error on this side must not leave the other thread, or an unhandled rejection, behind.
  starting.catch(() => undefined);
  try {
    const parts = readParts(path);
    const source = chatTemplate ?? parts.template;
    const template = source === undefined ? undefined : createJinjaTemplate(source, path);
    const engine: Engine = await starting;
    return createLanguageModel({
      ...{ path, engine, template, chatTemplate: source },
      description: parts.description,
      tokenizer: parts.tokenizer,
      loadSeconds: (performance.now() - began) / 1000,
    });
  } catch (error) {
    await starting.then((engine) => engine.close()).catch(() => undefined);
    throw error;
  }
}

const loadNames = Object.keys({
  ...{ backend: true, threads: true, contextLength: true, cacheTokens: true, kvType: true, batchTokens: true },
  ...{ adapters: true, speculate: true, chatTemplate: true },
} satisfies Record<keyof LoadOptions, true>);

function readParts(path: string): {
  description: ModelDescription;
  tokenizer: Tokenizer;
  template: string | undefined;
} {
  const file: GgufFile = openGguf(path);
  try {
    const template = file.metadata.get("tokenizer.chat_template");
    if (template !== undefined && typeof template !== "string") {
      throw new GrokError("format", `${path}: tokenizer.chat_template is not a text`, { path });
    }
    return { description: describeModel(file), tokenizer: tokenizerFromGguf(file.metadata, path), template };
  } finally {
    file.close();
  }
}
