import { GrokError, shown } from "../errors.ts";
import type { ModelFile } from "./model.ts";

/** GGUF files that are no model, by `general.type` or by the architecture that such files name: what they are, and what to do. */
const others: Readonly<Record<string, string>> = {
  adapter: "a low-rank adapter, no model: load the model that it was made for, and this file as its adapter (--lora)",
  mmproj:
    "the part of a model that turns pictures or sound into embeddings (mmproj), no model: load the text model's own file",
  imatrix: "an importance matrix, which quantizers read, no model: load the model that it was measured on",
  controlvector: "a control vector, no model, and grok1 runs none: load the model that it was made for",
};
const byArchitecture: Readonly<Record<string, string>> = { clip: "mmproj", controlvector: "controlvector" };

/** @throws GrokError `unsupported` for a file that is something else, or has no weights: the message says what, and what to do. */
export function checkIsModel(file: ModelFile): void {
  const { path, metadata, tensors, opaque } = file;
  const refuse = (what: string): never => {
    throw new GrokError("unsupported", `${path}: ${what}`, { path });
  };
  const type = metadata.string("general.type", "model");
  const kind = byArchitecture[metadata.string("general.architecture", "")] ?? type;
  if (Object.hasOwn(others, kind)) refuse(others[kind]!);
  if (tensors.size === 0 && (opaque?.size ?? 0) === 0) {
    refuse("a vocabulary without weights, no model: tokenize reads it; to run, load the file that has the tensors");
  }
  if (type !== "model") refuse(`general.type is ${shown(type)}, expected a model`);
}
