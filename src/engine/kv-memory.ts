import type { KvCache, KvType, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import { createPagePool, type PagePool, reserve, roomFor, type Timeline, truncate } from "./pages.ts";
import { preempt, type Run, type SessionState } from "./runs.ts";

/**
 * The key/value memory of one engine: pages, and the backend's cache behind them. The cache is made at the first need
 * and freed as a whole when no page is in use, so that an engine without sessions holds no memory for them.
 */
export interface KvMemory {
  readonly pool: PagePool;
  cache(): KvCache;
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

/**
 * Frees pages for a run: first what idle sessions remember, longest unused first; then the youngest run that began
 * after this one. Says whether anything was freed. That the oldest run can always take from all others is what keeps
 * runs from waiting for each other for ever.
 */
export function makeRoom(
  pool: PagePool,
  sessions: Iterable<SessionState>,
  runs: readonly Run[],
  forRun: Run | undefined,
): boolean {
  let idle: SessionState | undefined;
  for (const session of sessions) {
    if (session.queue.length > 0 || session.timeline.pages.length === 0) continue;
    if (idle === undefined || session.lastUsed < idle.lastUsed) idle = session;
  }
  if (idle !== undefined) {
    truncate(pool, idle.timeline, 0);
    return true;
  }
  const age = forRun === undefined ? -1 : runs.indexOf(forRun);
  for (let i = runs.length - 1; i > age; i--) {
    const held = runs[i]!.streams.some((stream) => stream.timeline.pages.length > 0);
    if (!held) continue;
    preempt(runs[i]!, pool);
    return true;
  }
  return false;
}
