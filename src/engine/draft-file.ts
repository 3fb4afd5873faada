import type { GgufFile } from "../formats/gguf/file.ts";
import type { Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import { bindModel } from "../model/registry.ts";
import { openSecondFile } from "./second-file.ts";

/**
 * Opens a model that drafts for another.
 * @throws GrokError as `openGguf`; `argument` for one that speaks in other tokens, or is the same file
 */
export function openDraft(path: string, target: GgufFile): GgufFile {
  return openSecondFile(path, target, { option: "draft", role: "draft for" });
}

/** The model, bound to operations that tell nobody which experts it will ask for: they are there. */
export function bindDraft({ expect: _, ...ops }: Ops, file: GgufFile): { readonly ops: Ops; readonly model: Model } {
  return { ops, model: bindModel(ops, file) };
}
