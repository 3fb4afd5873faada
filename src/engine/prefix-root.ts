/**
 * The root in a tree of prefixes of those who may share what is computed: who uses the same adapters at the same strength, and is of the
 * same group. Others cannot tell, by time or by the count of cached tokens, what was asked.
 *
 * @param adapters `key` of an `AdapterSelection`
 */
export const prefixRoot = (adapters: string, group: string | undefined): string =>
  JSON.stringify(group === undefined ? [adapters] : [adapters, group]);

/** What a root was made of. */
export function readPrefixRoot(root: string): { readonly adapters: string; readonly group: string | undefined } {
  const [adapters, group] = JSON.parse(root) as [string, string?];
  return { adapters, group };
}
