import { describe, expect, it } from "vitest";
import { GrokError } from "../errors.ts";
import { type Budgets, load, values } from "./ops.case.ts";
import type { AttentionOptions, Batch, BatchSequence, KvCache, KvType, Ops } from "./ops.ts";
import { attendRow, createRandom, type Random, relativeError, roundThrough, rowsAt } from "./oracle.case.ts";

interface Shape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly pageTokens: number;
  readonly type: KvType;
  readonly softcap?: number;
  readonly temperatureLength?: number;
}

/** A sequence as the test knows it: what was stored, exactly, and where. */
interface Timeline {
  readonly pages: Int32Array;
  readonly keys: Float32Array[];
  readonly values: Float32Array[];
}

interface Chunk {
  readonly batch: Batch;
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
}

const layers = 2;
const layer = 1;

function cacheFor(ops: Ops, { kvHeads, headSize, pageTokens, type }: Shape, pages: number): KvCache {
  return ops.kvCache({ layers, kvHeads, headSize, pages, pageTokens, type });
}

function optionsOf({ heads, headSize, softcap, temperatureLength }: Shape): AttentionOptions {
  return {
    heads,
    scale: 1 / Math.sqrt(headSize),
    ...(softcap !== undefined && { softcap }),
    ...(temperatureLength !== undefined && { temperatureLength }),
  };
}

/** Timelines whose pages, of `capacity` tokens each, are dealt out of one shuffled deck. */
function deal(
  random: Random,
  capacities: readonly number[],
  pageTokens: number,
): { timelines: Timeline[]; pages: number } {
  const counts = capacities.map((tokens) => Math.ceil(tokens / pageTokens));
  const total = counts.reduce((a, b) => a + b, 0);
  const deck = Int32Array.from({ length: total }, (_, i) => i);
  for (let i = total - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [deck[i], deck[j]] = [deck[j]!, deck[i]!];
  }
  let at = 0;
  const timelines = counts.map((count) => {
    at += count;
    return { pages: deck.slice(at - count, at), keys: [], values: [] };
  });
  return { timelines, pages: total };
}

/** Random rows for `count` more tokens of each timeline, in one ragged batch. The timelines grow. */
function grow(random: Random, shape: Shape, parts: readonly [Timeline, number][]): Chunk {
  const { heads, kvHeads, headSize, type } = shape;
  const n = parts.reduce((sum, [, count]) => sum + count, 0);
  const cols = kvHeads * headSize;
  const [q, k, v] = [random.normal(n * heads * headSize, 4), random.normal(n * cols, 4), random.normal(n * cols)];
  const positions = new Int32Array(n);
  const sequences: BatchSequence[] = [];
  let row = 0;
  for (const [timeline, count] of parts) {
    sequences.push({ start: row, count, pages: timeline.pages });
    for (let i = 0; i < count; i++, row++) {
      positions[row] = timeline.keys.length;
      timeline.keys.push(roundThrough(type, k.slice(row * cols, (row + 1) * cols), headSize));
      timeline.values.push(roundThrough(type, v.slice(row * cols, (row + 1) * cols), headSize));
    }
  }
  return { batch: { tokens: new Int32Array(n), positions, sequences, outputs: new Int32Array(0) }, q, k, v };
}

/** Stores and attends on the backend. */
async function run(ops: Ops, shape: Shape, cache: KvCache, { batch, q, k, v }: Chunk): Promise<number[]> {
  const n = batch.tokens.length;
  const cols = shape.kvHeads * shape.headSize;
  ops.begin(batch);
  ops.store(cache, layer, load(ops, "k", n, cols, k), load(ops, "v", n, cols, v));
  const queries = load(ops, "q", n, shape.heads * shape.headSize, q);
  return values(ops, ops.attention("out", queries, cache, layer, optionsOf(shape)));
}

/** What it must give: every row attended alone over its own timeline. */
function expectedOf(shape: Shape, { batch, q }: Chunk, timelines: readonly Timeline[]): number[] {
  const cols = shape.heads * shape.headSize;
  return batch.sequences.flatMap(({ start, count }, s) =>
    Array.from({ length: count }, (_, i) => {
      const { keys, values: stored } = timelines[s]!;
      const row = q.subarray((start + i) * cols, (start + i + 1) * cols);
      return attendRow(row, keys, stored, batch.positions[start + i]!, shape.kvHeads, shape.headSize, optionsOf(shape));
    }).flat(),
  );
}

export function attentionConformance(get: () => Ops, budgets: Budgets): void {
  const plain: Shape = { heads: 6, kvHeads: 2, headSize: 32, pageTokens: 16, type: "f32" };
  const shapes: [string, Shape][] = [
    ["grouped heads", plain],
    ["one key/value head", { ...plain, heads: 5, kvHeads: 1 }],
    ["as many key/value heads", { ...plain, heads: 3, kvHeads: 3, headSize: 64 }],
    ["Grok-1's heads, of one key", { ...plain, kvHeads: 1, headSize: 128, softcap: 30 }],
    ["a soft cap that bites", { ...plain, softcap: 2.5 }],
    ["pages of one token", { ...plain, pageTokens: 1 }],
    ["odd pages", { ...plain, pageTokens: 7, softcap: 5 }],
    ["large pages", { ...plain, pageTokens: 256 }],
    ["odd heads", { ...plain, heads: 4, headSize: 20, pageTokens: 3 }],
    ["attention temperature", { ...plain, temperatureLength: 6 }],
    ["attention temperature and a soft cap", { ...plain, softcap: 3, temperatureLength: 6 }],
    ["an f16 cache", { ...plain, type: "f16", softcap: 8 }],
    ["a q8_0 cache", { ...plain, type: "q8_0", headSize: 64, softcap: 8 }],
    ["a q4_0 cache", { ...plain, type: "q4_0", headSize: 128, softcap: 8 }],
    ["a q8_0 cache of heads of 96", { ...plain, type: "q8_0", headSize: 96 }],
    ["a q4_0 cache of heads of 160", { ...plain, type: "q4_0", headSize: 160, kvHeads: 3, softcap: 8 }],
    ["an odd q8_0 cache", { ...plain, type: "q8_0", pageTokens: 5 }],
    ["an odd q4_0 cache", { ...plain, type: "q4_0", pageTokens: 5 }],
  ];

  describe.each(shapes)("attention with %s", (_, shape) => {
    const budget = shape.type === "f32" ? budgets.attention : budgets.roundedAttention;

    it("is exact over a ragged batch of sequences at several depths, in shuffled pages", async () => {
      const ops = get();
      const random = createRandom(shape.headSize + shape.pageTokens);
      const { timelines, pages } = deal(random, [60, 9, 130, 40], shape.pageTokens);
      const [a, b, c, d] = timelines as [Timeline, Timeline, Timeline, Timeline];
      const cache = cacheFor(ops, shape, pages);
      const steps: [Timeline, number][][] = [
        [[a, 17], [c, 70]],
        [[a, 1], [b, 8], [c, 33], [d, 1]],
        [[d, 16], [c, 1], [b, 1], [a, 1]],
        [[a, 20], [d, 20]],
        [[c, 1]],
      ]; // biome-ignore format: one step a line
      for (const parts of steps) {
        const chunk = grow(random, shape, parts);
        const found = await run(ops, shape, cache, chunk);
        expect(
          relativeError(
            found,
            expectedOf(
              shape,
              chunk,
              parts.map(([timeline]) => timeline),
            ),
          ),
        ).toBeLessThan(budget);
      }
      ops.freeKvCache(cache);
    });
  });

  describe.each(["f32", "f16", "q8_0", "q4_0"] as const)("a cache of type %s", (type) => {
    const shape: Shape = { ...plain, type, pageTokens: 8, softcap: 6 };
    // The same sums in another order.
    const same = Math.max(1e-12, budgets.attention);
    const slice = (chunk: Chunk, from: number, to: number, pages: Int32Array): Chunk => {
      const rows = (x: Float32Array, heads: number) => x.slice(from * heads * 32, to * heads * 32);
      const sequences = [{ start: 0, count: to - from, pages }];
      const positions = chunk.batch.positions.slice(from, to);
      const batch = { tokens: new Int32Array(to - from), positions, sequences, outputs: new Int32Array(0) };
      return { batch, q: rows(chunk.q, shape.heads), k: rows(chunk.k, shape.kvHeads), v: rows(chunk.v, shape.kvHeads) };
    };

    it("gives the same paged and unpaged, in chunks and whole, one by one and together", async () => {
      const ops = get();
      const random = createRandom(77);
      const { timelines, pages } = deal(random, [41], shape.pageTokens);
      const whole = grow(random, shape, [[timelines[0]!, 41]]);
      const cache = cacheFor(ops, shape, pages);
      const expected = await run(ops, shape, cache, whole);

      const flat = { ...shape, pageTokens: 64 };
      const unpaged = cacheFor(ops, flat, 1);
      const found = await run(ops, flat, unpaged, slice(whole, 0, 41, Int32Array.of(0)));
      expect(relativeError(found, expected)).toBeLessThan(same);

      for (const cuts of [[0, 10, 11, 12, 24, 41], Array.from({ length: 42 }, (_, i) => i)]) {
        const parts: number[] = [];
        for (let i = 1; i < cuts.length; i++) {
          parts.push(...(await run(ops, shape, cache, slice(whole, cuts[i - 1]!, cuts[i]!, timelines[0]!.pages))));
        }
        expect(relativeError(parts, expected)).toBeLessThan(same);
      }
      ops.freeKvCache(cache);
      ops.freeKvCache(unpaged);
    });

    it("forks a sequence by copying its last page", async () => {
      const ops = get();
      const random = createRandom(5);
      const cache = cacheFor(ops, shape, 4);
      const first: Timeline = { pages: Int32Array.of(2, 0), keys: [], values: [] };
      await run(ops, shape, cache, grow(random, shape, [[first, 11]]));
      ops.copyPage(cache, 0, 3);
      const second: Timeline = { pages: Int32Array.of(2, 3), keys: [...first.keys], values: [...first.values] };
      for (let step = 0; step < 4; step++) {
        const chunk = grow(random, shape, [[first, 1], [second, 1]]); // biome-ignore format: a pair
        const found = await run(ops, shape, cache, chunk);
        const budget = type === "f32" ? budgets.attention : budgets.roundedAttention;
        expect(relativeError(found, expectedOf(shape, chunk, [first, second]))).toBeLessThan(budget);
      }
      ops.freeKvCache(cache);
    });

    it("goes on in another cache, to the bit, from the contents of its pages", async () => {
      const ops = get();
      const random = createRandom(9);
      const caches = [cacheFor(ops, shape, 4), cacheFor(ops, shape, 5)] as const;
      const timeline: Timeline = { pages: Int32Array.of(2, 0), keys: [], values: [] };
      const whole = grow(random, shape, [[timeline, 11]]);
      await run(ops, shape, caches[0], slice(whole, 0, 10, timeline.pages));
      const contents = [2, 0].map((page) => ops.readPage(caches[0], page));
      for (const [i, page] of [1, 4].entries()) ops.writePage(caches[1], page, contents[i]!);
      expect([1, 4].map((page) => ops.readPage(caches[1], page))).toEqual(contents);
      const last = (pages: Int32Array) => slice(whole, 10, 11, pages);
      const expected = await run(ops, shape, caches[0], last(timeline.pages));
      expect(await run(ops, shape, caches[1], last(Int32Array.of(1, 4)))).toEqual(expected);
      const short = contents[0]!.subarray(1);
      expect(() => ops.writePage(caches[1], 1, short)).toThrow(GrokError);
      expect(() => ops.writePage(caches[1], 5, contents[0]!)).toThrow(GrokError);
      expect(() => ops.readPage(caches[1], -1)).toThrow(GrokError);
      for (const cache of caches) ops.freeKvCache(cache);
      expect(() => ops.readPage(caches[0], 0)).toThrow(GrokError);
    });
  });

  it("keeps layers apart", async () => {
    const ops = get();
    const random = createRandom(6);
    const cache = cacheFor(ops, plain, 1);
    const pages = Int32Array.of(0);
    const timeline: Timeline = { pages, keys: [], values: [] };
    const chunk = grow(random, plain, [[timeline, 5]]);
    const expected = await run(ops, plain, cache, chunk);
    const other = random.normal(5 * 64);
    ops.store(cache, 0, load(ops, "k", 5, 64, other), load(ops, "v", 5, 64, other));
    const queries = load(ops, "q", 5, 6 * 32, chunk.q);
    expect(await values(ops, ops.attention("out", queries, cache, layer, optionsOf(plain)))).toEqual(expected);
    ops.freeKvCache(cache);
  });

  it("checks a batch's pages against each cache that it is used with", () => {
    const ops = get();
    const caches = [8, 2].map((pages) => cacheFor(ops, plain, pages));
    const rows = load(ops, "k", 1, 64, new Float32Array(64));
    ops.begin({ ...rowsAt(Int32Array.of(0)), sequences: [{ start: 0, count: 1, pages: Int32Array.of(5) }] });
    ops.store(caches[0]!, layer, rows, rows);
    expect(() => ops.store(caches[1]!, layer, rows, rows)).toThrow(GrokError);
    expect(() => ops.store(caches[1]!, layer, rows, rows)).toThrow(GrokError);
    ops.store(caches[0]!, layer, rows, rows);
    for (const cache of caches) ops.freeKvCache(cache);
    expect(() => ops.store(caches[0]!, layer, rows, rows)).toThrow(GrokError);
  });

  it("refuses positions without a page, pages that do not exist, and caches that were freed", () => {
    const ops = get();
    const cache = cacheFor(ops, plain, 2);
    const attempt = (positions: Int32Array, pages: Int32Array) => () => {
      const n = positions.length;
      const sequences = [{ start: 0, count: n, pages }];
      const batch: Batch = { tokens: new Int32Array(n), positions, sequences, outputs: new Int32Array(0) };
      const rows = load(ops, "k", n, 64, new Float32Array(n * 64));
      ops.begin(batch);
      ops.store(cache, layer, rows, load(ops, "v", n, 64, new Float32Array(n * 64)));
    };
    expect(attempt(Int32Array.of(0, 16), Int32Array.of(0))).toThrow(GrokError);
    expect(attempt(Int32Array.of(0), Int32Array.of(2))).toThrow(GrokError);
    expect(attempt(Int32Array.of(0), Int32Array.of(-1))).toThrow(GrokError);
    expect(attempt(Int32Array.of(-1), Int32Array.of(0))).toThrow(GrokError);
    expect(() => ops.copyPage(cache, 0, 2)).toThrow(GrokError);
    ops.freeKvCache(cache);
    expect(attempt(Int32Array.of(0), Int32Array.of(0))).toThrow(GrokError);
  });
}
