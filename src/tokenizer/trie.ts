/** Longest-match search for a set of byte strings (user-defined symbols, control tokens). */
import { GrokError } from "../errors.ts";

/** Real vocabularies have a few thousand such bytes; a file made of them must not fill the memory. */
const maxNodes = 1 << 20;

export interface Trie {
  /** Whether some string begins with this byte. */
  readonly firstBytes: Uint8Array;
  readonly size: number;
  /** Longest string at `start`: its id, or -1. Its length is then in `matched`. */
  longest(bytes: Uint8Array, start: number, end: number): number;
  /** Length in bytes of the last match of `longest`. */
  matched(): number;
  /** Calls `see` with each string at `start` and where it ends, shortest first. */
  visit(bytes: Uint8Array, start: number, end: number, see: (id: number, end: number) => void): void;
}

/**
 * Builds a trie. Of equal strings the first one's id stays; empty strings are left out.
 *
 * @throws GrokError `unsupported` beyond a million nodes.
 */
export function createTrie(entries: readonly (readonly [bytes: Uint8Array, id: number])[], source: string): Trie {
  const children = new Map<number, number>(); // (node * 256 + byte) → node
  const ids: number[] = [-1];
  const firstBytes = new Uint8Array(256);
  let length = 0;
  for (const [bytes, id] of entries) {
    if (bytes.length === 0) continue;
    firstBytes[bytes[0]!] = 1;
    let node = 0;
    for (const byte of bytes) {
      const key = node * 256 + byte;
      let child = children.get(key);
      if (child === undefined) {
        child = ids.length;
        if (child > maxNodes) {
          throw new GrokError("unsupported", `${source}: the pieces to match exactly are together longer than 1 MB`, {
            source,
          });
        }
        ids.push(-1);
        children.set(key, child);
      }
      node = child;
    }
    if (ids[node] === -1) ids[node] = id;
  }
  return {
    firstBytes,
    size: entries.length,
    longest(bytes, start, end) {
      let best = -1;
      let node: number | undefined = 0;
      for (let i = start; i < end; i++) {
        node = children.get(node * 256 + bytes[i]!);
        if (node === undefined) break;
        if (ids[node]! >= 0) {
          best = ids[node]!;
          length = i + 1 - start;
        }
      }
      return best;
    },
    matched: () => length,
    visit(bytes, start, end, see) {
      let node: number | undefined = 0;
      for (let i = start; i < end; i++) {
        node = children.get(node * 256 + bytes[i]!);
        if (node === undefined) return;
        if (ids[node]! >= 0) see(ids[node]!, i + 1);
      }
    },
  };
}
