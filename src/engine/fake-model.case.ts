import { GrokError } from "../errors.ts";
import type { KvCache, Matrix, Ops, Places } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";

/**
 * A model whose arithmetic is a hash and whose key/value cache is the tokens themselves: logits follow from what is read
 * back through the page tables, so a token that went to a wrong page, or was overwritten, changes them.
 */
export interface FakeModel {
  readonly ops: Ops;
  readonly model: Model;
  /** Sizes of the batches so far. */
  readonly batches: { rows: number; sequences: number }[];
  readonly caches: { made: number; freed: number };
  /** Called before each pass. */
  before: () => void | Promise<void>;
}

export interface FakeOptions {
  readonly vocab?: number;
  /** Of hidden states, which are the logits. */
  readonly width?: number;
  readonly contextLength?: number;
  /** Spread of the logits; large values make one token near certain. */
  readonly spread?: number;
  /** Tokens back that the logits depend on; absent: all. With few, greedy texts soon repeat themselves. */
  readonly memory?: number;
}

/** Logits after a sequence: the oracle, without pages and batches. */
export function fakeLogits(
  tokens: ArrayLike<number>,
  { vocab = 11, spread = 4, memory }: FakeOptions = {},
): Float64Array {
  let state = 0x9e3779b9;
  const first = memory === undefined ? 0 : Math.max(0, tokens.length - memory);
  for (let i = first; i < tokens.length; i++) state = Math.imul(state ^ tokens[i]!, 0x85ebca6b) + i - first;
  return Float64Array.from({ length: vocab }, (_, token) => {
    let x = Math.imul(state ^ Math.imul(token + 1, 0xc2b2ae35), 0x27d4eb2f);
    x ^= x >>> 15;
    x = Math.imul(x, 0x2c1b3c6d);
    x ^= x >>> 13;
    return ((x >>> 0) / 2 ** 32 - 0.5) * spread;
  });
}

export function createFakeModel(options: FakeOptions = {}): FakeModel {
  const { vocab = 11, width = 1, contextLength = 64 } = options;
  const batches: FakeModel["batches"] = [];
  const caches = { made: 0, freed: 0 };
  type Fake = KvCache & { slots: Int32Array };
  type Values = Matrix & { values: Float64Array };
  const ops = {
    ...{ backend: "fake", elementBytes: 8, kvType: "f32", threads: 1 },
    at: () => undefined,
    read: (matrix: Matrix) => (matrix as Values).values,
    topK(_: string, { rows, cols, values }: Values) {
      const of = (read: (row: Float64Array) => number) => {
        const found = Float64Array.from({ length: rows }, (_, i) => read(values.subarray(i * cols, (i + 1) * cols)));
        return { name: "", rows, cols: 1, values: found };
      };
      return {
        values: of((row) => Math.max(...row)),
        indices: of((row) => row.indexOf(Math.max(...row))),
        logSumExp: of((row) => Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0))),
      };
    },
    rows(_: string, { cols, values }: Values, indices: Int32Array) {
      const picked = new Float64Array(indices.length * cols);
      for (const [i, row] of indices.entries()) picked.set(values.subarray(row * cols, (row + 1) * cols), i * cols);
      return { name: "", rows: indices.length, cols, values: picked };
    },
    logprobs(_: string, { cols, values }: Values, { rows, columns }: Places) {
      const found = Array.from(rows, (row, i) => {
        const sum = values.subarray(row * cols, (row + 1) * cols).reduce((all, value) => all + Math.exp(value), 0);
        return [Number.isFinite(sum) ? values[row * cols + columns[i]!]! - Math.log(sum) : Number.NaN, 0];
      });
      return { name: "", rows: rows.length, cols: 2, values: Float64Array.from(found.flat()) };
    },
    copyPage(cache: KvCache, from: number, to: number) {
      const size = cache.spec.pageTokens;
      (cache as Fake).slots.copyWithin(to * size, from * size, (from + 1) * size);
    },
    readPage(cache: KvCache, page: number) {
      const size = cache.spec.pageTokens;
      return new Uint8Array((cache as Fake).slots.slice(page * size, (page + 1) * size).buffer);
    },
    writePage(cache: KvCache, page: number, bytes: Uint8Array) {
      (cache as Fake).slots.set(new Int32Array(bytes.slice().buffer), page * cache.spec.pageTokens);
    },
    freeKvCache(cache: KvCache) {
      caches.freed++;
      (cache as Fake).slots.fill(-2);
    },
  } as unknown as Ops;

  const measures = { architecture: "fake", layers: 1, width, heads: 1, kvHeads: 1, headSize: 1, hidden: 1 };
  const apart = (): never => {
    throw new GrokError("internal", "a fake model has no parts");
  };
  const fake: FakeModel = {
    ops,
    batches,
    caches,
    before: () => undefined,
    model: {
      ...{ bound: { from: 0, to: 1 }, embed: apart, layers: apart, head: apart },
      // Nothing is between them.
      hidden: (batch, cache) => fake.model.forward(batch, cache),
      logits: (x) => x,
      config: { ...measures, vocab, contextLength, experts: 0, used: 0, expertHidden: 0 },
      kvCache({ pages, pageTokens, type }) {
        caches.made++;
        const spec = { layers: 1, kvHeads: 1, headSize: 1, pages, pageTokens, type };
        return { spec, slots: new Int32Array(pages * pageTokens).fill(-1) } as Fake;
      },
      async forward(batch, cache) {
        await fake.before();
        const { slots, spec } = cache as Fake;
        const place = (pages: Int32Array, position: number) => {
          const page = pages[Math.floor(position / spec.pageTokens)];
          if (page === undefined) throw new GrokError("internal", `position ${position} has no page`);
          return page * spec.pageTokens + (position % spec.pageTokens);
        };
        const written = new Map<number, number>();
        batches.push({ rows: batch.tokens.length, sequences: batch.sequences.length });
        for (const [index, { start, count, pages }] of batch.sequences.entries()) {
          for (let row = start; row < start + count; row++) {
            const slot = place(pages, batch.positions[row]!);
            const page = Math.floor(slot / spec.pageTokens);
            if ((written.get(page) ?? index) !== index) throw new GrokError("internal", `two writers on page ${page}`);
            written.set(page, index);
            slots[slot] = batch.tokens[row]!;
          }
        }
        const values = new Float64Array(batch.outputs.length * vocab);
        for (const [at, row] of batch.outputs.entries()) {
          const { pages } = batch.sequences.find(({ start, count }) => row >= start && row < start + count)!;
          const tokens = Array.from(
            { length: batch.positions[row]! + 1 },
            (_, position) => slots[place(pages, position)]!,
          );
          if (tokens.some((token) => token < 0)) throw new GrokError("internal", "read a position nobody wrote");
          values.set(fakeLogits(tokens, options), at * vocab);
        }
        return { name: "result_output", rows: batch.outputs.length, cols: vocab, values } as Values;
      },
    },
  };
  return fake;
}

/** What greedy decoding gives, one token after the other. */
export function greedyOracle(prompt: readonly number[], count: number, options: FakeOptions = {}): number[] {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = fakeLogits(tokens, options);
    tokens.push(logits.indexOf(Math.max(...logits)));
  }
  return tokens.slice(prompt.length);
}
