import { engineOptionNames } from "../engine/options.ts";
import { startEngine } from "../engine/thread/start.ts";
import { describeValue, GrokError } from "../errors.ts";
import { anyKinds, type OptionKinds, readOptions, readText } from "./arguments.ts";
import { createLanguageModel } from "./language-model.ts";
import type { LanguageModel, LoadOptions } from "./types.ts";

/**
 * Opens a GGUF model. This thread reads the header, the vocabulary and the chat template while the engine's thread
 * binds the weights, which are mapped and not read.
 *
 * @throws GrokError `io` (no such file), `format` (damaged), `unsupported` (an architecture, tensor type or tokenizer
 * that does not run; the native backend where it is not there), `shape`, `argument` (an option that does not exist or is
 * out of its range).
 */
export async function loadModel(path: string, options?: LoadOptions): Promise<LanguageModel> {
  const began = performance.now();
  if (typeof path !== "string" || path === "") {
    throw new GrokError("argument", `loadModel: the path is ${describeValue(path)}, expected a model file's`);
  }
  const { chatTemplate, ...engineOptions } = readOptions("loadModel", options, loadKinds);
  if (chatTemplate !== undefined) readText("chatTemplate", chatTemplate);
  const starting = startEngine(path, engineOptions);
  // An error on this side must not leave the other thread, or an unhandled rejection, behind.
  starting.catch(() => undefined);
  try {
    // Only now: the other thread reads its own code while this one reads what tokenizers and templates need.
    const { readParts } = await import("./parts.ts");
    const parts = readParts(path, chatTemplate);
    const engine = await starting;
    return createLanguageModel({ ...parts, path, engine, loadSeconds: (performance.now() - began) / 1000 });
  } catch (error) {
    await starting.then((engine) => engine.close()).catch(() => undefined);
    throw error;
  }
}

const loadKinds: OptionKinds<LoadOptions> = anyKinds([...engineOptionNames, "chatTemplate"]);
