import type { KvCache, KvType, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import { createPagePool, type PagePool, pagesFor, reserve, roomFor, type Timeline } from "./pages.ts";

/**
 * The key/value memory of one engine: pages, and the backend's cache behind them. The cache is made at the first need
 * and freed as a whole when no page is in use, so that an engine without sessions holds no memory for them.
 */
export interface KvMemory {
  readonly pool: PagePool;
  cache(): KvCache;
  /** Free pages that `count` more positions of a timeline take. */
  pagesFor(timeline: Timeline, count: number): number;
  /** Makes up to `count` positions of a timeline writable; returns how many. */
  extend(timeline: Timeline, count: number): number;
  /** Frees the cache if nobody uses it. */
  settle(): void;
  close(): void;
}

export interface KvMemoryOptions {
  readonly tokens: number;
  readonly pageTokens: number;
  readonly type: KvType;
}

export function createKvMemory(ops: Ops, model: Model, options: KvMemoryOptions): KvMemory {
  const { pageTokens, type } = options;
  const pages = Math.ceil(options.tokens / pageTokens);
  const pool = createPagePool(pages, pageTokens);
  let cache: KvCache | undefined;
  const current = () => {
    cache ??= model.kvCache({ pages, pageTokens, type });
    return cache;
  };
  const drop = () => {
    if (cache !== undefined) ops.freeKvCache(cache);
    cache = undefined;
  };
  return {
    pool,
    cache: current,
    pagesFor: (timeline, count) => pagesFor(pool, timeline, count),
    extend(timeline, count) {
      const possible = Math.min(count, roomFor(pool, timeline));
      reserve(pool, timeline, possible, (from, to) => ops.copyPage(current(), from, to));
      return possible;
    },
    settle() {
      if (pool.free === pool.pages) drop();
    },
    close: drop,
  };
}
