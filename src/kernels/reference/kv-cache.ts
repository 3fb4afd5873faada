import { GrokError } from "../../errors.ts";
import { decodeRow, encodeRow } from "../../tensor/decode.ts";
import type { Batch, BatchSequence, KvCache, KvCacheSpec } from "../ops.ts";

/**
 * Keys and values a layer, each [pages * pageTokens, kvHeads * headSize]. Values are kept in float32 after having been
 * rounded through the cache's type, so that what a type costs in accuracy shows here exactly. Quantized types round a head
 * times a Hadamard matrix, which spreads what is large in one dimension over all; here it is turned back at once.
 */
export interface ReferenceKvCache extends KvCache {
  readonly keys: Float32Array[];
  readonly values: Float32Array[];
}

/** @throws GrokError `argument` when heads do not fill whole blocks of the cache's type. */
export function createKvCache(spec: KvCacheSpec): ReferenceKvCache {
  if (spec.type.startsWith("q") && spec.headSize % 32 !== 0) {
    throw new GrokError("argument", `a ${spec.type} cache needs heads of a multiple of 32, not ${spec.headSize}`, {
      type: spec.type,
      headSize: spec.headSize,
    });
  }
  const size = spec.pages * spec.pageTokens * spec.kvHeads * spec.headSize;
  const layers = () => Array.from({ length: spec.layers }, () => new Float32Array(size));
  return { spec, keys: layers(), values: layers() };
}

export function boundCache(cache: KvCache): ReferenceKvCache {
  const found = cache as Partial<ReferenceKvCache>;
  if (found.keys === undefined || found.values === undefined) {
    throw new GrokError("argument", "the cache was not made by the reference backend");
  }
  if (found.keys.length !== cache.spec.layers) throw new GrokError("argument", "the cache was freed");
  return cache as ReferenceKvCache;
}

/** Row of the cache where `position` of a sequence lives. */
export function cacheRow(spec: KvCacheSpec, sequence: BatchSequence, position: number): number {
  const page = sequence.pages[Math.floor(position / spec.pageTokens)];
  if (page === undefined || page < 0 || page >= spec.pages) {
    throw new GrokError("argument", `position ${position} has no page in its sequence's page table`, {
      position,
      page: page ?? null,
      pages: spec.pages,
    });
  }
  return page * spec.pageTokens + (position % spec.pageTokens);
}

/** Writes `rows` [n, kvHeads * headSize] of a batch into `memory`, rounded through the cache's type. */
export function storeRows(cache: ReferenceKvCache, memory: Float32Array, rows: Float64Array, batch: Batch): void {
  const { spec } = cache;
  const cols = spec.kvHeads * spec.headSize;
  const quantized = spec.type.startsWith("q");
  const rounded = new Float32Array(cols);
  const turned = new Float64Array(cols);
  for (const sequence of batch.sequences) {
    for (let row = sequence.start; row < sequence.start + sequence.count; row++) {
      turned.set(rows.subarray(row * cols, (row + 1) * cols));
      if (quantized) turn(turned, spec.headSize);
      rounded.set(turned);
      if (spec.type !== "f32") decodeRow(spec.type, encodeRow(spec.type, rounded), rounded);
      if (quantized) {
        turned.set(rounded);
        turn(turned, spec.headSize);
        rounded.set(turned);
      }
      memory.set(rounded, cacheRow(spec, sequence, batch.positions[row]!) * cols);
    }
  }
}

/** x times the normalized Hadamard matrix, in runs of the largest power of two that divides `headSize`. Its own inverse. */
function turn(x: Float64Array, headSize: number): void {
  const run = headSize & -headSize;
  for (let step = 1; step < run; step *= 2) {
    for (let i = 0; i < x.length; i++) {
      if ((i & step) !== 0) continue;
      const [a, b] = [x[i]!, x[i + step]!];
      x[i] = a + b;
      x[i + step] = a - b;
    }
  }
  const factor = 1 / Math.sqrt(run);
  for (let i = 0; i < x.length; i++) x[i] = x[i]! * factor;
}

/** Copies one page over another, in all layers. */
export function copyCachePage(cache: ReferenceKvCache, from: number, to: number): void {
  const { pages, pageTokens, kvHeads, headSize } = cache.spec;
  if (!(from >= 0 && from < pages && to >= 0 && to < pages)) {
    throw new GrokError("argument", `cannot copy page ${from} to ${to} of a cache of ${pages} pages`, {
      from,
      to,
      pages,
    });
  }
  const size = pageTokens * kvHeads * headSize;
  for (const memory of [...cache.keys, ...cache.values]) {
    memory.copyWithin(to * size, from * size, (from + 1) * size);
  }
}

/** Keys, then values of a page, each of all layers: float32. */
export function readCachePage(cache: ReferenceKvCache, page: number): Uint8Array {
  const parts = pageParts(cache, page);
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  for (const [i, part] of parts.entries()) bytes.set(part, i * part.length);
  return bytes;
}

export function writeCachePage(cache: ReferenceKvCache, page: number, bytes: Uint8Array): void {
  const parts = pageParts(cache, page);
  const expected = parts.reduce((sum, { length }) => sum + length, 0);
  if (bytes.length !== expected) {
    throw new GrokError("argument", `a page of ${bytes.length} bytes, expected ${expected}`, { bytes: bytes.length });
  }
  for (const [i, part] of parts.entries()) part.set(bytes.subarray(i * part.length, (i + 1) * part.length));
}

function pageParts({ spec, keys, values }: ReferenceKvCache, page: number): Uint8Array[] {
  const { pages, pageTokens, kvHeads, headSize } = spec;
  if (!(page >= 0 && page < pages)) throw new GrokError("argument", `no page ${page} in a cache of ${pages}`, { page });
  const size = pageTokens * kvHeads * headSize * 4;
  return [...keys, ...values].map((memory) => new Uint8Array(memory.buffer, memory.byteOffset + page * size, size));
}
