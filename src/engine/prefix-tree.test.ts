import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPagePool, reserve, type Timeline, truncate } from "./pages.ts";
import { commonPrefix, createPrefixTree } from "./prefix-tree.ts";

const pageTokens = 4;

/** A tree over pages whose contents are the tokens themselves. */
function start(pages: number) {
  const pool = createPagePool(pages, pageTokens);
  const tree = createPrefixTree(pool);
  const slots = new Int32Array(pages * pageTokens).fill(-1);
  const copy = (from: number, to: number) =>
    slots.copyWithin(to * pageTokens, from * pageTokens, (from + 1) * pageTokens);

  /** Computes what is missing of some tokens; says how many were there. Undefined where there is no memory. */
  function compute(tokens: readonly number[], root = ""): { timeline: Timeline; found: number } | undefined {
    const timeline = tree.find(root, tokens, tokens.length);
    const found = timeline.length;
    expect(read(timeline)).toEqual(tokens.slice(0, found));
    while (!reserve(pool, timeline, tokens.length - timeline.length, copy)) {
      if (tree.evict()) continue;
      truncate(pool, timeline, 0);
      return undefined;
    }
    for (; timeline.length < tokens.length; timeline.length++) {
      const page = timeline.pages[Math.floor(timeline.length / pageTokens)]!;
      expect(pool.owners(page)).toBe(1);
      slots[page * pageTokens + (timeline.length % pageTokens)] = tokens[timeline.length]!;
    }
    return { timeline, found };
  }

  const read = ({ pages, length }: Timeline) =>
    Array.from({ length }, (_, at) => slots[pages[Math.floor(at / pageTokens)]! * pageTokens + (at % pageTokens)]!);

  /** Computes and leaves tokens; says how many were there. */
  function visit(tokens: readonly number[], root = ""): number {
    const { timeline, found } = compute(tokens, root)!;
    tree.keep(root, tokens, timeline);
    truncate(pool, timeline, 0);
    return found;
  }
  return { pool, tree, compute, visit, read };
}

const count = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe("the tree of prefixes", () => {
  it("finds what was kept, to the token, and nothing under another root", () => {
    const { pool, visit } = start(32);
    expect(visit(count(0, 10))).toBe(0);
    expect(visit(count(0, 10))).toBe(10);
    expect(visit([...count(0, 6), 99, 98])).toBe(6);
    expect(visit([...count(0, 6), 99, 97])).toBe(7);
    expect(visit(count(0, 14))).toBe(10);
    expect(visit(count(0, 20))).toBe(14);
    expect(visit(count(0, 20), "other")).toBe(0);
    expect(visit([1, 2])).toBe(0);
    expect(pool.free + pool.idle).toBe(32);
    // What goes on from a page that was not full takes its place.
    expect(pool.idle).toBe(5 + 1 + 1 + 5 + 1);
  });

  it("finds no more than is asked for", () => {
    const { tree, visit, read } = start(8);
    visit(count(0, 10));
    for (const most of [0, 1, 4, 5, 10, 12]) {
      expect(read(tree.find("", count(0, 12), most))).toEqual(count(0, Math.min(most, 10)));
    }
  });

  it("gives up first what was longest unused, from its end, and what somebody uses last", () => {
    const { pool, tree, compute, visit } = start(9);
    visit(count(0, 12));
    visit(count(100, 112));
    visit(count(0, 12));
    const held = compute(count(200, 212))!;
    expect(pool.free).toBe(0);
    for (const [from, left] of [
      [100, 8],
      [100, 4],
      [100, 0],
      [0, 8],
    ] as const) {
      expect(tree.evict()).toBe(true);
      const timeline = tree.find("", count(from, from + 12), 12);
      expect(timeline.length).toBe(left);
      // Looking is using: not so here.
      truncate(pool, timeline, 0);
      if (from === 100) visit(count(0, 12));
    }
    tree.keep("", count(200, 212), held.timeline);
    visit(count(0, 8));
    while (pool.idle > 0) expect(tree.evict()).toBe(true);
    expect(tree.find("", count(0, 8), 8).length).toBe(0);
    expect(tree.find("", count(200, 212), 12).length).toBe(12);
  });

  it("never gives a wrong token nor loses a page, whoever shares, cancels and is short of memory", () => {
    const step = fc.record({
      branch: fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }),
      length: fc.integer({ min: 1, max: 30 }),
      root: fc.constantFrom("", "other"),
      after: fc.constantFrom("keep", "keep", "keep part", "hold", "drop", "release"),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 8, max: 30 }), (steps, pages) => {
        const { pool, tree, compute, read } = start(pages);
        const held: { timeline: Timeline; tokens: number[]; root: string }[] = [];
        const leave = ({ timeline, tokens, root }: (typeof held)[number], length = timeline.length) => {
          expect(read(timeline)).toEqual(tokens);
          tree.keep(root, tokens, timeline, length);
          truncate(pool, timeline, 0);
        };
        for (const { branch, length, root, after } of steps) {
          const tokens = Array.from({ length }, (_, at) => branch[Math.floor(at / 6) % branch.length]!);
          const computed = compute(tokens, root);
          if (computed === undefined) {
            for (const one of held.splice(0)) leave(one);
            continue;
          }
          const one = { timeline: computed.timeline, tokens, root };
          if (after === "hold") held.push(one);
          else if (after === "drop") truncate(pool, one.timeline, 0);
          else leave(one, after === "keep part" ? Math.ceil(length / 2) : length);
          if (after === "release" && held.length > 0) leave(held.shift()!);
          const used = new Set(held.flatMap(({ timeline }) => timeline.pages));
          expect(pool.free + pool.idle).toBe(pages - used.size);
        }
        for (const one of held) leave(one);
        expect(pool.free + pool.idle).toBe(pages);
        while (tree.evict());
        expect(pool.free).toBe(pages);
      }),
      { numRuns: 300 },
    );
  });

  it("knows how far two lists are the same", () => {
    expect(commonPrefix([1, 2, 3], Int32Array.of(1, 2, 4))).toBe(2);
    expect(commonPrefix([1], [1, 2])).toBe(1);
    expect(commonPrefix([], [1])).toBe(0);
  });
});

it("a timeline that shares a page gets its own when it writes", () => {
  const { pool, tree, compute, visit } = start(4);
  visit(count(0, 6));
  const one = compute([...count(0, 6), 50])!.timeline;
  const two = compute([...count(0, 6), 60])!.timeline;
  expect([one.pages[0], one.pages[1] === two.pages[1]]).toEqual([two.pages[0], false]);
  for (const timeline of [one, two]) truncate(pool, timeline, 0);
  expect(tree.find("", count(0, 6), 6).length).toBe(6);
});
