import type { KvCache, KvType, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import { createPagePool, fork, type PagePool, pagesFor, reserve, roomFor, type Timeline } from "./pages.ts";
import { createPrefixTree, type PrefixPage, type PrefixTree } from "./prefix-tree.ts";
import { createSavedPrefixes, type SavedPrefixes, type SavedPrefixesOptions } from "./saved/saved-prefixes.ts";

/**
 * The key/value memory of one engine: pages, the backend's cache behind them, which is made at the first need, and what stays in them
 * for whoever begins with the same tokens.
 */
export interface KvMemory {
  readonly pool: PagePool;
  readonly prefixes: Pick<PrefixTree, "find" | "keep">;
  /** What of it is in files; absent: nothing is. */
  readonly saved: SavedPrefixes | undefined;
  /** Pages that a request can have: free ones, and those that are only kept. */
  readonly available: number;
  cache(): KvCache;
  /** Pages that `count` more positions of a timeline take. */
  pagesFor(timeline: Timeline, count: number): number;
  /** Makes up to `count` positions of a timeline writable, if need be in place of what is only kept; returns how many. */
  extend(timeline: Timeline, count: number): number;
  /**
   * A timeline of the first `length` positions of one that somebody still writes to: it shares the full pages, and has a copy of its own
   * of the last one, if there is memory for it.
   */
  branch(timeline: Timeline, length: number): Timeline;
  close(): Promise<void>;
}

export interface KvMemoryOptions {
  readonly tokens: number;
  readonly pageTokens: number;
  readonly type: KvType;
  readonly files?: Pick<SavedPrefixesOptions, "files" | "identity" | "arrived"> | undefined;
}

export function createKvMemory(ops: Ops, model: Model, options: KvMemoryOptions): KvMemory {
  const { pageTokens, type } = options;
  const pages = Math.ceil(options.tokens / pageTokens);
  const pool = createPagePool(pages, pageTokens);
  const fresh = options.files && new Set<PrefixPage>();
  const prefixes = createPrefixTree(pool, fresh);
  let cache: KvCache | undefined;
  const current = () => {
    cache ??= model.kvCache({ pages, pageTokens, type });
    return cache;
  };
  const saved = fresh && createSavedPrefixes({ ops, cache: current, pageTokens, fresh, ...options.files! });

  function extend(timeline: Timeline, count: number): number {
    while (roomFor(pool, timeline) < count && prefixes.evict());
    const possible = Math.min(count, roomFor(pool, timeline));
    reserve(pool, timeline, possible, (from, to) => ops.copyPage(current(), from, to));
    return possible;
  }
  return {
    pool,
    prefixes,
    saved,
    get available() {
      return pool.free + pool.idle;
    },
    cache: current,
    pagesFor: (timeline, count) => pagesFor(pool, timeline, count),
    extend,
    branch(timeline, length) {
      const part = length % pageTokens;
      const branch = fork(pool, { pages: timeline.pages, length: length - part });
      if (part > 0 && extend(branch, part) === part) {
        ops.copyPage(current(), timeline.pages[branch.pages.length - 1]!, branch.pages.at(-1)!);
        branch.length = length;
      }
      return branch;
    },
    async close() {
      await saved?.close();
      if (cache !== undefined) ops.freeKvCache(cache);
      cache = undefined;
    },
  };
}
