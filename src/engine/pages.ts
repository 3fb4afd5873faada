/**
 * Who owns which page of the key/value cache. Bookkeeping only: the memory itself is a backend's {@link KvCache}, made
 * with a fixed number of pages, of which the operating system provides only what was written to. Pages are handed out
 * lowest number first, so that a light load touches little memory.
 *
 * A page may belong to several timelines (after a fork, which copies nothing), and beside them to the tree of prefixes. Whoever wants
 * to write into a shared page first gets a copy of its own: no two owners ever write one page.
 */
export interface PagePool {
  readonly pages: number;
  readonly pageTokens: number;
  readonly free: number;
  /** Pages that are kept and nobody else holds: they can be had whenever one is needed. */
  readonly idle: number;
  /** How many hold a page: timelines, and who keeps it. */
  owners(page: number): number;
  /** A free page with one owner; undefined when there is none. */
  take(): number | undefined;
  share(page: number): void;
  release(page: number): void;
  /** As `share` and `release`, for the one that keeps pages for later: at most once a page. */
  keep(page: number): void;
  unkeep(page: number): void;
}

/** One sequence's place in the cache: position p lives in `pages[floor(p / pageTokens)]`. */
export interface Timeline {
  readonly pages: number[];
  /** Positions whose keys and values are in the cache. */
  length: number;
}

export function createPagePool(pages: number, pageTokens: number): PagePool {
  const owners = new Uint32Array(pages);
  const kept = new Uint8Array(pages);
  const heap = createHeap(pages);
  let idle = 0;
  const share = (page: number) => {
    if (owners[page]! === 1) idle -= kept[page]!;
    owners[page]!++;
  };
  const release = (page: number) => {
    if (--owners[page]! === 0) heap.push(page);
    else if (owners[page]! === 1) idle += kept[page]!;
  };
  return {
    pages,
    pageTokens,
    get free() {
      return heap.size;
    },
    get idle() {
      return idle;
    },
    owners: (page) => owners[page]!,
    take() {
      const page = heap.pop();
      if (page !== undefined) owners[page] = 1;
      return page;
    },
    share,
    release,
    keep(page) {
      share(page);
      kept[page] = 1;
    },
    unkeep(page) {
      if (owners[page]! === 1) idle--;
      kept[page] = 0;
      release(page);
    },
  };
}

export function createTimeline(): Timeline {
  return { pages: [], length: 0 };
}

/** Free pages that it takes to reserve `count` positions after `timeline.length`. */
export function pagesFor(pool: PagePool, timeline: Timeline, count: number): number {
  const more = Math.ceil((timeline.length + count) / pool.pageTokens) - timeline.pages.length;
  return Math.max(0, more) + (count > 0 && writesShared(pool, timeline) ? 1 : 0);
}

/** How many positions could be reserved after `timeline.length` with the pages that are free now. */
export function roomFor(pool: PagePool, timeline: Timeline): number {
  const free = pool.free - (writesShared(pool, timeline) ? 1 : 0);
  if (free < 0) return 0;
  return (timeline.pages.length + free) * pool.pageTokens - timeline.length;
}

/**
 * Makes positions `[length, length + count)` writable by this timeline alone: takes pages, and replaces a shared last page
 * by a copy (`copy` moves the contents). All or nothing; false when there are too few free pages.
 */
export function reserve(
  pool: PagePool,
  timeline: Timeline,
  count: number,
  copy: (from: number, to: number) => void,
): boolean {
  if (count > roomFor(pool, timeline)) return false;
  if (count > 0 && writesShared(pool, timeline)) {
    const index = Math.floor(timeline.length / pool.pageTokens);
    const shared = timeline.pages[index]!;
    const own = pool.take()!;
    copy(shared, own);
    pool.release(shared);
    timeline.pages[index] = own;
  }
  const needed = Math.ceil((timeline.length + count) / pool.pageTokens);
  while (timeline.pages.length < needed) timeline.pages.push(pool.take()!);
  return true;
}

/** Forgets positions from `length` on, and returns pages that hold nothing else. */
export function truncate(pool: PagePool, timeline: Timeline, length: number): void {
  timeline.length = Math.min(timeline.length, length);
  const needed = Math.ceil(timeline.length / pool.pageTokens);
  while (timeline.pages.length > needed) pool.release(timeline.pages.pop()!);
}

/** A second timeline with the same past. */
export function fork(pool: PagePool, timeline: Timeline): Timeline {
  const pages = timeline.pages.slice(0, Math.ceil(timeline.length / pool.pageTokens));
  for (const page of pages) pool.share(page);
  return { pages, length: timeline.length };
}

/** The next position falls into a page that others hold too. */
function writesShared(pool: PagePool, timeline: Timeline): boolean {
  const page = timeline.pages[Math.floor(timeline.length / pool.pageTokens)];
  return page !== undefined && pool.owners(page) > 1;
}

/** A binary min-heap of free page numbers, full at first. */
function createHeap(count: number) {
  const items = new Uint32Array(count).map((_, i) => i);
  let size = count;
  return {
    get size() {
      return size;
    },
    push(value: number) {
      let i = size++;
      for (; i > 0; ) {
        const parent = (i - 1) >> 1;
        if (items[parent]! <= value) break;
        items[i] = items[parent]!;
        i = parent;
      }
      items[i] = value;
    },
    pop(): number | undefined {
      if (size === 0) return undefined;
      const least = items[0]!;
      const last = items[--size]!;
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= size) break;
        if (child + 1 < size && items[child + 1]! < items[child]!) child++;
        if (items[child]! >= last) break;
        items[i] = items[child]!;
        i = child;
      }
      items[i] = last;
      return least;
    },
  };
}
