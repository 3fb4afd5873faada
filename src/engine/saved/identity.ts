import { identify } from "../../bytes/file-identity.ts";
import { adapterFiles } from "../../model/lora/read.ts";
import type { AdapterSource } from "../adapters.ts";
import { readPrefixRoot } from "../prefix-root.ts";

export interface IdentityOptions {
  /** All files of the model. */
  readonly model: readonly string[];
  readonly adapters: readonly AdapterSource[];
  /** What else the bytes of a page follow from: the program, the kernels, the cache's shape and type. */
  readonly how: Readonly<Record<string, unknown>>;
}

/**
 * All that keys and values of the same tokens follow from, for each root of the tree of prefixes: contents of files in place of their
 * names, and the group that alone may find them.
 * @throws GrokError `io`
 */
export function createIdentity({ model, adapters, how }: IdentityOptions): (root: string) => string {
  const base = [how, identify(model)];
  const byName = new Map(adapters.map(({ path, name = path }) => [name, identify(adapterFiles(path))]));
  return (root) => {
    const { adapters: key, group } = readPrefixRoot(root);
    const chosen = (JSON.parse(key) as [string, number][]).map(([name, scale]) => [byName.get(name), scale]);
    return JSON.stringify([...base, chosen, ...(group === undefined ? [] : [group])]);
  };
}
