import { createHash } from "node:crypto";
import type { KvCache, Ops } from "../../kernels/ops.ts";
import type { Timeline } from "../pages.ts";
import type { PrefixPage } from "../prefix-tree.ts";
import type { PageFiles } from "./page-files.ts";

/**
 * Pages of the tree of prefixes in files, so that they are there after a restart, and after memory was needed for others. A file's name
 * is a hash of all that its contents follow from: who computes and how (`identity`), the adapters, and all tokens up to its end. Pages
 * that are full are written one after the other, as they come into the tree, beside the engine's passes.
 */
export interface SavedPrefixes {
  /** Names of the full pages of a beginning, at most `most` tokens, that are in files. */
  find(root: string, tokens: ArrayLike<number>, most: number): readonly string[];
  /**
   * Fills the pages that a sequence has taken for this beginning, from its length on; its length grows as they come, as far as they are what
   * they should be. Until then `sequence.arriving` says so.
   */
  load(sequence: Arriving, names: readonly string[], done: () => void): void;
  /** Pages have come into the tree. */
  save(): void;
  /** Waits until all that is in the tree is written. */
  close(): Promise<void>;
}

/** A sequence whose beginning comes. */
export interface Arriving {
  readonly timeline: Timeline;
  /** What it waits for; another once it does not wait for this any more. */
  arriving: object | undefined;
}

export interface SavedPrefixesOptions {
  readonly ops: Ops;
  readonly cache: () => KvCache;
  readonly pageTokens: number;
  readonly files: PageFiles;
  readonly identity: (root: string) => string;
  /** Pages of the tree that are not in files, or not known to be. */
  readonly fresh: Set<PrefixPage>;
  /** Told when a sequence has what there is. */
  readonly arrived: () => void;
}

export function createSavedPrefixes(options: SavedPrefixesOptions): SavedPrefixes {
  const { ops, cache, pageTokens, files, identity, fresh, arrived } = options;
  const names = new WeakMap<PrefixPage, string>();
  let writing: Promise<void> | undefined;
  let pageBytes: number | undefined;

  const rootName = (root: string) => createHash("sha256").update(identity(root)).digest("hex");
  const nameAfter = (before: string, tokens: Int32Array) =>
    createHash("sha256").update(before).update(tokens).digest("hex");

  function nameOf(page: PrefixPage): string {
    const known = names.get(page);
    if (known !== undefined) return known;
    const { parent, tokens, root } = page;
    const name = parent === undefined ? rootName(root) : nameAfter(nameOf(parent), tokens);
    names.set(page, name);
    return name;
  }

  async function write(): Promise<void> {
    for (const page of fresh) {
      fresh.delete(page);
      const name = nameOf(page);
      if (files.has(name)) files.touch(name, page.depth);
      else await files.write(name, page.depth, () => ops.readPage(cache(), page.page));
    }
  }

  function save(): void {
    writing ??= write().finally(() => {
      writing = undefined;
    });
  }

  async function fill({ timeline }: Arriving, found: readonly string[], isWanted: () => boolean): Promise<void> {
    pageBytes ??= ops.readPage(cache(), 0).length;
    let at = timeline.length / pageTokens;
    let next = files.read(found[at]!, pageBytes);
    for (; at < found.length; at++) {
      const contents = await next;
      // It may have lost its memory, or its place, meanwhile.
      if (!isWanted()) return;
      const page = timeline.pages[at];
      if (contents === undefined || page === undefined) return;
      if (at + 1 < found.length) next = files.read(found[at + 1]!, pageBytes);
      ops.writePage(cache(), page, contents);
      timeline.length += pageTokens;
    }
  }

  return {
    find(root, tokens, most) {
      const found: string[] = [];
      if (files.pages === 0) return found;
      let name = rootName(root);
      for (let start = 0; start + pageTokens <= most; start += pageTokens) {
        name = nameAfter(
          name,
          Int32Array.from({ length: pageTokens }, (_, i) => tokens[start + i]!),
        );
        if (!files.has(name)) break;
        files.touch(name, found.length);
        found.push(name);
      }
      return found;
    },
    load(sequence, found, done) {
      const arriving = {};
      sequence.arriving = arriving;
      const isWanted = () => sequence.arriving === arriving;
      const end = () => {
        if (!isWanted()) return;
        sequence.arriving = undefined;
        done();
        arrived();
      };
      // What cannot be had is computed.
      fill(sequence, found, isWanted).then(end, end);
    },
    save,
    async close() {
      while (writing !== undefined || fresh.size > 0) {
        save();
        await writing;
      }
    },
  };
}
