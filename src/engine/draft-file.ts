import { resolve } from "node:path";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import type { Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import { bindModel } from "../model/registry.ts";

const tokensKey = "tokenizer.ggml.tokens";

/**
 * Opens a model that drafts for another.
 * @throws GrokError as `openGguf`; `argument` for one that speaks in other tokens, or is the same file
 */
export function openDraft(path: string, target: GgufFile): GgufFile {
  const file = openGguf(path);
  try {
    const refuse = (what: string) =>
      new GrokError("argument", `${path} cannot draft for ${target.path}: ${what}`, {
        ...{ option: "draft", path, target: target.path },
      });
    if (resolve(path) === resolve(target.path)) throw refuse("it is the same file");
    const [own, others] = [file.metadata.strings(tokensKey, []), target.metadata.strings(tokensKey, [])];
    if (own.length !== others.length) {
      throw refuse(`it has a vocabulary of ${own.length} tokens, expected ${others.length}`);
    }
    const at = own.findIndex((token, i) => token !== others[i]);
    if (at >= 0) {
      throw refuse(`its token ${at} is ${JSON.stringify(own[at])}, expected ${JSON.stringify(others[at])}`);
    }
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The model, bound to operations that tell nobody which experts it will ask for: they are there. */
export function bindDraft({ expect: _, ...ops }: Ops, file: GgufFile): { readonly ops: Ops; readonly model: Model } {
  return { ops, model: bindModel(ops, file) };
}
