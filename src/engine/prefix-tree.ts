import { createTimeline, type PagePool, type Timeline } from "./pages.ts";

/**
 * Keys and values that stay in memory after the request that computed them, for whoever begins with the same tokens. A tree of pages:
 * a node is one page's tokens after those of its parent, and only full pages have children. Roots are apart for what
 * makes the values of the same tokens differ: the adapters and their strengths.
 *
 * The tree is one owner of its pages beside those timelines that share them. Who goes on in the middle of a page gets a copy of it,
 * as after any fork.
 */
export interface PrefixTree {
  /** A timeline of the longest beginning of `tokens` that is kept, of at most `most` tokens; it shares the tree's pages. */
  find(root: string, tokens: ArrayLike<number>, most: number): Timeline;
  /** Takes in what a timeline holds of its first `length` positions, whose tokens these are. */
  keep(root: string, tokens: ArrayLike<number>, timeline: Timeline, length?: number): void;
  /**
   * Gives up one page, of a leaf, so that what is left can still be reached: the one longest unused of those that nobody shares, or
   * where none is left, of all. Says whether there was one.
   */
  evict(): boolean;
}

/** A page with its place: what its contents follow from. */
export interface PrefixPage {
  readonly root: string;
  /** The page before it; absent: it is the root, which has none. */
  readonly parent: PrefixPage | undefined;
  /** Pages before it. */
  readonly depth: number;
  readonly page: number;
  readonly tokens: Int32Array;
}

interface Node extends PrefixPage {
  readonly parent: Node | undefined;
  page: number;
  tokens: Int32Array;
  /** By their first tokens. */
  readonly children: Map<number, Node[]>;
  /** When it was last found or kept, in uses of the tree. */
  used: number;
}

/** `fresh`: has full pages from when they come in to when they are given up, as long as nobody takes them out. */
export function createPrefixTree(pool: PagePool, fresh?: Set<PrefixPage>): PrefixTree {
  const { pageTokens } = pool;
  const roots = new Map<string, Node>();
  const leaves = new Set<Node>();
  let uses = 0;

  const createRoot = (root: string): Node => {
    return { root, parent: undefined, depth: -1, page: -1, tokens: new Int32Array(0), children: new Map(), used: 0 };
  };

  /** The child that has most in common with some tokens, and how many. */
  function closest(
    { children }: Node,
    tokens: Int32Array,
  ): { readonly child: Node | undefined; readonly common: number } {
    let found: Node | undefined;
    let most = 0;
    for (const child of children.get(tokens[0]!) ?? []) {
      const common = commonPrefix(child.tokens, tokens);
      if (common > most) [found, most] = [child, common];
    }
    return { child: found, common: most };
  }

  function add(parent: Node, page: number, tokens: Int32Array): Node {
    const { root, depth } = parent;
    const node: Node = { root, parent, depth: depth + 1, page, tokens, children: new Map(), used: uses };
    const siblings = parent.children.get(tokens[0]!);
    if (siblings === undefined) parent.children.set(tokens[0]!, [node]);
    else siblings.push(node);
    leaves.delete(parent);
    leaves.add(node);
    pool.keep(page);
    if (tokens.length === pageTokens) fresh?.add(node);
    return node;
  }

  function remove(node: Node): void {
    const { page, tokens } = node;
    const parent = node.parent!;
    const siblings = parent.children.get(tokens[0]!)!;
    siblings.splice(siblings.indexOf(node), 1);
    if (siblings.length === 0) parent.children.delete(tokens[0]!);
    leaves.delete(node);
    if (parent.children.size === 0) {
      if (parent.parent !== undefined) leaves.add(parent);
      else roots.delete(parent.root);
    }
    fresh?.delete(node);
    pool.unkeep(page);
  }

  /** Tokens of the page that begins at `start`, up to `end`. */
  const pageOf = (tokens: ArrayLike<number>, start: number, end: number) =>
    Int32Array.from({ length: Math.min(pageTokens, end - start) }, (_, i) => tokens[start + i]!);

  return {
    find(key, tokens, most) {
      const timeline = createTimeline();
      let node = roots.get(key);
      uses++;
      while (node !== undefined && timeline.length < most) {
        const { child, common } = closest(node, pageOf(tokens, timeline.length, most));
        if (child === undefined) break;
        child.used = uses;
        pool.share(child.page);
        timeline.pages.push(child.page);
        timeline.length += common;
        node = common === pageTokens ? child : undefined;
      }
      return timeline;
    },
    keep(key, tokens, timeline, length = timeline.length) {
      const end = Math.min(length, timeline.length);
      if (end <= 0) return;
      uses++;
      let node = roots.get(key) ?? createRoot(key);
      roots.set(key, node);
      for (let start = 0; start < end; start += pageTokens) {
        const page = timeline.pages[start / pageTokens]!;
        const own = pageOf(tokens, start, end);
        const { child, common } = closest(node, own);
        if (child === undefined || common < Math.min(own.length, child.tokens.length)) {
          node = add(node, page, own);
          continue;
        }
        child.used = uses;
        if (common < own.length) {
          // It is the beginning of what comes now.
          child.tokens = own;
          if (page !== child.page) {
            pool.keep(page);
            pool.unkeep(child.page);
            child.page = page;
          }
          if (own.length === pageTokens) fresh?.add(child);
        }
        node = child;
      }
    },
    evict() {
      let oldest: Node | undefined;
      let unshared = false;
      for (const leaf of leaves) {
        const alone = pool.owners(leaf.page) === 1;
        if (unshared && !alone) continue;
        if (oldest === undefined || (alone && !unshared) || leaf.used < oldest.used) oldest = leaf;
        unshared ||= alone;
      }
      if (oldest !== undefined) remove(oldest);
      return oldest !== undefined;
    },
  };
}

/** Length of the common beginning. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a[i] === b[i]) i++;
  return i;
}
