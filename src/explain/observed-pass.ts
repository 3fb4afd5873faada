import { GrokError } from "../errors.ts";
import type { Batch, KvType, Matrix, Ops } from "../kernels/ops.ts";
import type { ModelFile } from "../model/model.ts";
import { observe } from "../model/observe.ts";
import { bindModel } from "../model/registry.ts";
import { attentionMaps } from "./attention-maps.ts";

/** A token and how likely it is to be next. */
export interface Likely {
  readonly token: number;
  readonly probability: number;
}

/** What one layer did. */
export interface LayerSight {
  /**
   * The logit lens: what the model would say if this layer were its last, the last norm and the output matrix applied to its result
   * (nostalgebraist, interpreting GPT: the logit lens, 2020).
   */
  readonly lens: {
    /** After the last token: the likeliest tokens, likeliest first. */
    readonly next: readonly Likely[];
    /** After the last token: of the target, and how many tokens are likelier. */
    readonly target: { readonly logprob: number; readonly rank: number };
    /** After each token the likeliest one. */
    readonly each: readonly Likely[];
  };
  /** [head][row][position] Shares of attention from each row, or from the last one alone, to each position up to it. */
  readonly attention: readonly (readonly (readonly number[])[])[];
  /** Of each token the experts chosen, with their weights; absent in a layer without experts. */
  readonly experts?: readonly (readonly { readonly expert: number; readonly weight: number }[])[];
}

export interface ObserveOptions {
  readonly target: number;
  /** Likeliest tokens that are told. */
  readonly top: number;
  /** Whether attention is told of all rows, or of the last alone. */
  readonly rows: "all" | "last";
  readonly kvType: KvType;
  readonly signal?: AbortSignal | undefined;
}

const pageTokens = 64;

/** Rows whose logits are in memory at a time. */
const lensRows = 32;

/** One pass over `tokens`, looked at layer by layer. @throws GrokError what binding throws; `cancelled`. */
export async function observePass(
  ops: Ops,
  file: ModelFile,
  tokens: Int32Array,
  { target, top, rows, kvType, signal }: ObserveOptions,
): Promise<readonly LayerSight[]> {
  const last = tokens.length - 1;
  const [keys, hidden] = [new Map<number, Float64Array>(), new Map<number, Float64Array>()];
  const [chosen, weights] = [new Map<number, Matrix & { values: Float64Array }>(), new Map<number, Float64Array>()];
  const maps: LayerSight["attention"][] = [];
  const copy = (matrix: Matrix) => Float64Array.from(valuesOf(ops, matrix));
  const watched = observe(ops, (layer, name, matrix) => {
    if (signal?.aborted) throw new GrokError("cancelled", "explain: cancelled");
    if (name === "l_out") hidden.set(layer, copy(matrix));
    if (name === "ffn_moe_probs.chosen") chosen.set(layer, { ...matrix, values: copy(matrix) });
    if (name === "ffn_moe_probs.weights") weights.set(layer, copy(matrix));
  });
  const model = bindModel(
    {
      ...watched,
      store(cache, layer, k, v) {
        keys.set(layer, copy(k));
        watched.store(cache, layer, k, v);
      },
      attention(name, q, cache, layer, options) {
        const { kvHeads, headSize } = cache.spec;
        const inputs = { q: copy(q), k: keys.get(layer)!, kvHeads, headSize, options };
        maps[layer] = attentionMaps(inputs, rows === "all" ? 0 : last);
        keys.delete(layer);
        return watched.attention(name, q, cache, layer, options);
      },
    },
    file,
  );
  const { width, layers } = model.config;
  const pages = Math.ceil(tokens.length / pageTokens);
  const cache = model.kvCache({ pages, pageTokens, type: kvType });
  try {
    const batch = batchOf(tokens);
    await model.layers(model.embed(batch), batch, cache);

    const lensOf = async (states: Float64Array): Promise<LayerSight["lens"]> => {
      const each: Likely[] = [];
      for (let from = 0; from <= last; from += lensRows) {
        const part = batchOf(tokens.subarray(from, from + lensRows));
        const count = part.tokens.length;
        const h = ops.matrix("lens", count, width);
        ops.write(h, states.subarray(from * width, (from + count) * width));
        const logits = model.head(h, part);
        const best = ops.topK("lens_top", logits, Math.min(top, logits.cols));
        const [values, indices, sums] = [best.values, best.indices, best.logSumExp].map(copy);
        const { cols } = best.values;
        const likely = (row: number, i: number): Likely => ({
          token: indices![row * cols + i]!,
          probability: Math.exp(values![row * cols + i]! - sums![row]!),
        });
        for (let row = 0; row < count; row++) each.push(likely(row, 0));
        if (from + count <= last) continue;
        const next = Array.from({ length: cols }, (_, i) => likely(count - 1, i));
        const row = valuesOf(ops, ops.rows("lens_last", logits, Int32Array.of(count - 1)));
        const own = row[target]!;
        let rank = 0;
        for (let token = 0; token < row.length; token++) if (row[token]! > own) rank++;
        return { each, next, target: { logprob: own - sums![count - 1]!, rank } };
      }
      throw new GrokError("internal", "explain: no rows");
    };

    const sights: LayerSight[] = [];
    for (let layer = 0; layer < layers; layer++) {
      const choice = chosen.get(layer);
      const experts = choice && expertsOf(choice, weights.get(layer)!);
      sights.push({
        ...{ lens: await lensOf(hidden.get(layer)!), attention: maps[layer]! },
        ...(experts && { experts }),
      });
    }
    return sights;
  } finally {
    ops.freeKvCache(cache);
  }
}

function expertsOf({ rows, cols, values }: Matrix & { values: Float64Array }, weights: Float64Array) {
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: cols }, (_, i) => ({ expert: values[row * cols + i]!, weight: weights[row * cols + i]! })),
  );
}

/** One sequence from its beginning, all of its rows wanted. */
export function batchOf(tokens: Int32Array): Batch {
  const rows = Int32Array.from(tokens.keys());
  const pages = Int32Array.from({ length: Math.ceil(tokens.length / pageTokens) }, (_, i) => i);
  return { tokens, positions: rows, sequences: [{ start: 0, count: tokens.length, pages }], outputs: rows };
}

function valuesOf(ops: Ops, matrix: Matrix): Float32Array | Float64Array {
  const values = ops.read(matrix);
  if (values instanceof Promise) throw new GrokError("unsupported", `${ops.backend}: a backend that waits`, {});
  return values;
}
