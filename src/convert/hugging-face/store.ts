import { GrokError, shown } from "../../errors.ts";
import type { SafetensorsEntry } from "../../formats/safetensors/file.ts";
import type { SafetensorsFolder } from "../../formats/safetensors/folder.ts";

/** A folder's tensors, each of which is asked for by name or else told by {@link TensorStore.refuseUnread}. */
export interface TensorStore {
  readonly path: string;
  has(name: string): boolean;
  /** @throws GrokError `shape` where it is missing; `format` where it is there more than once. */
  entry(name: string): SafetensorsEntry;
  /** All parts of a tensor. @throws GrokError `shape` where it is missing. */
  parts(name: string): readonly SafetensorsEntry[];
  /** @throws GrokError `unsupported` naming the first tensor that was not asked for. */
  refuseUnread(): void;
}

/** What frameworks save along and compute anew: frequencies of the rotary embedding, ranges of activations and of the cache. */
const harmlessTensor = /(\.rotary_emb\.inv_freq|\.(input|k|v|kv|q|prob|output)_scale|\.(k|v)_proj\.(output_)?scale)$/;

export function createTensorStore(folder: SafetensorsFolder): TensorStore {
  const read = new Set<string>();
  const parts = (name: string) => {
    read.add(name);
    const found = folder.tensors.get(name);
    if (found !== undefined) return found;
    throw new GrokError("shape", `${folder.path}: tensor ${name} is missing`, { path: folder.path, tensor: name });
  };
  return {
    path: folder.path,
    has: (name) => folder.tensors.has(name),
    parts,
    entry(name) {
      const [entry, another] = parts(name);
      if (another === undefined) return entry!;
      throw new GrokError("format", `${folder.path}: tensor ${name} is in ${entry!.source} and in ${another.source}`, {
        ...{ path: folder.path, tensor: name },
      });
    },
    refuseUnread() {
      for (const name of folder.tensors.keys()) {
        if (read.has(name) || harmlessTensor.test(name)) continue;
        throw new GrokError(
          "unsupported",
          `${folder.path}: tensor ${shown(name)} is none of the model's that config.json describes: one with it gives other results`,
          { path: folder.path, tensor: name },
        );
      }
    },
  };
}
