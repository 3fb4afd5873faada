import { openSafetensors } from "../formats/safetensors/file.ts";
import type { Batch, KvType, Ops } from "../kernels/ops.ts";
import type { Model, ModelFile } from "./model.ts";
import { observe } from "./observe.ts";
import { bindModel } from "./registry.ts";

export interface RunOptions {
  readonly pageTokens?: number;
  readonly type?: KvType;
  /** Rows of each forward pass; by default all tokens in one. */
  readonly chunks?: readonly number[];
}

/** Page numbers in an order that no storage would have by itself. */
export function shuffledPages(count: number): Int32Array {
  const pages = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = (i * 7 + 3) % (i + 1);
    [pages[i], pages[j]] = [pages[j]!, pages[i]!];
  }
  return pages;
}

/** Logits of all tokens [n, vocab], and every observed result by `NAME.LAYER`, rows of all chunks after one another. */
export const runTokens = (ops: Ops, file: ModelFile, tokens: Int32Array, options: RunOptions = {}) =>
  runModel(ops, (observed) => bindModel(observed, file), tokens, options);

/** The same of a model that `bind` makes. */
export async function runModel(ops: Ops, bind: (ops: Ops) => Model, tokens: Int32Array, options: RunOptions = {}) {
  const { pageTokens = 5, type = "f32", chunks = [tokens.length] } = options;
  const seen = new Map<string, number[]>();
  const model = bind(
    observe(ops, (layer, name, matrix) => {
      const key = `${name}.${layer}`;
      seen.set(key, [...(seen.get(key) ?? []), ...(ops.read(matrix) as Float64Array)]);
    }),
  );
  const logits = await forwardAll(ops, model, tokens, { pageTokens, type, chunks });
  return { logits, seen, model };
}

/** Logits of all tokens [n, vocab] by a model that is bound; `passed` is called after each chunk. */
export async function forwardAll(
  ops: Ops,
  model: Model,
  tokens: Int32Array,
  { pageTokens, type, chunks }: Required<RunOptions>,
  passed = () => {},
): Promise<number[]> {
  const pages = shuffledPages(Math.ceil(tokens.length / pageTokens));
  const cache = model.kvCache({ pages: pages.length, pageTokens, type });
  const logits: number[] = [];
  let start = 0;
  for (const count of chunks) {
    const rows = Int32Array.from({ length: count }, (_, i) => i);
    const batch: Batch = {
      tokens: tokens.subarray(start, start + count),
      positions: rows.map((i) => start + i),
      sequences: [{ start: 0, count, pages }],
      outputs: rows,
    };
    logits.push(...(await ops.read(await model.forward(batch, cache))));
    passed();
    start += count;
  }
  ops.freeKvCache(cache);
  return logits;
}

/** All arrays of a safetensors file of 32-bit values. */
export function readArrays(path: string): Map<string, Float32Array | Int32Array> {
  const file = openSafetensors(path);
  const arrays = new Map<string, Float32Array | Int32Array>();
  for (const [name, entry] of file.entries) {
    arrays.set(name, (entry.values() as Float32Array | Int32Array).slice());
  }
  file.close();
  return arrays;
}
