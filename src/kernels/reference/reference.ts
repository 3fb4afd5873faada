import { GrokError } from "../../errors.ts";
import { batchOf, checkBatch } from "../batch.ts";
import { checkApart, checkLowRank, checkPlaces, checkRope, checkRoute, checkSize, checkTopK } from "../checks.ts";
import type { Batch, LowRank, Matrix, Ops } from "../ops.ts";
import { attend } from "./attention.ts";
import { addInto, gate, normalize, scaleInto, softcapInto } from "./elementwise.ts";
import { addLowRankTerm, mixExperts, type ReferenceTerms } from "./experts.ts";
import { boundCache, copyCachePage, createKvCache, readCachePage, storeRows, writeCachePage } from "./kv-cache.ts";
import { multiply } from "./matmul.ts";
import { createScratch, valuesOf } from "./matrix.ts";
import { rotate } from "./rope.ts";
import { choose, softmaxRows } from "./route.ts";
import { largest, logSumOf } from "./top-k.ts";
import { bindWeight, boundWeight, createDecodedCache } from "./weight.ts";

export interface ReferenceOptions {
  /** Bytes of decoded weights to keep; weights beyond are decoded again at each use. */
  readonly decodedBytes?: number;
}

const defaults = { decodedBytes: 768 * 2 ** 20 };

/**
 * The reference backend: plain TypeScript, float64 activations, weights decoded exactly. The other backends are tested
 * against it, and it runs where the native addon is not there.
 */
export function createReference(options: ReferenceOptions = {}): Ops {
  const cache = createDecodedCache(options.decodedBytes ?? defaults.decodedBytes);
  const scratch = createScratch();
  let open = true;
  let batch: Batch | undefined;

  const result = (name: string, rows: number, cols: number) => {
    if (!open) throw new GrokError("argument", "the backend was closed");
    return scratch.matrix(name, rows, cols);
  };

  return {
    ...{ backend: "reference", elementBytes: 8, kvType: "f32", threads: 1 },
    begin(next) {
      batch = undefined;
      checkBatch(next);
      batch = next;
    },
    at() {},

    matrix: result,
    write(matrix, values) {
      checkSize("write", `values of ${matrix.name}`, matrix.rows * matrix.cols, values.length);
      valuesOf(matrix).set(values);
    },
    read: valuesOf,

    weight(tensor) {
      return bindWeight(tensor, cache);
    },

    embed(name, table, factor) {
      const { tokens } = batchOf("embed", batch);
      const weight = boundWeight(table);
      const out = result(name, tokens.length, weight.cols);
      tokens.forEach((token, t) => {
        checkIndex("embed", "token", token, weight.rows);
        const values = weight.row(token);
        for (let i = 0; i < weight.cols; i++) out.data[t * weight.cols + i] = values[i]! * factor;
      });
      return out;
    },

    rows(name, x, indices) {
      checkApart("rows", name, x);
      const values = valuesOf(x);
      const out = result(name, indices.length, x.cols);
      indices.forEach((row, i) => {
        checkIndex("rows", "row", row, x.rows);
        out.data.set(values.subarray(row * x.cols, (row + 1) * x.cols), i * x.cols);
      });
      return out;
    },

    rmsNorm(name, x, gain, eps) {
      const weight = boundWeight(gain);
      checkSize("rmsNorm", `columns of ${x.name} beyond whole gains`, 0, x.cols % weight.cols);
      const out = result(name, x.rows, x.cols);
      normalize(out.data, valuesOf(x), weight.row(0), (x.rows * x.cols) / weight.cols, eps);
      return out;
    },

    matmul(name, x, weight) {
      checkApart("matmul", name, x);
      const bound = boundWeight(weight);
      checkSize("matmul", `columns of ${x.name} by ${weight.tensor.name}`, bound.cols, x.cols);
      const out = result(name, x.rows, bound.rows);
      multiply(out.data, valuesOf(x), x.rows, bound, 0);
      return out;
    },

    addLowRank(y, x, term) {
      const bound = boundTerm("addLowRank", term, { matrices: 1, rows: y.cols, cols: x.cols }, x.rows);
      checkSize("addLowRank", `rows of ${y.name}`, x.rows, y.rows);
      addLowRankTerm(valuesOf(y), valuesOf(x), x.rows, bound, 0);
      return y;
    },

    rope(name, x, rope) {
      const { positions } = batchOf("rope", batch, x);
      checkRope(x, rope);
      const values = valuesOf(x);
      const out = result(name, x.rows, x.cols);
      if (out.data.byteOffset !== values.byteOffset || out.data.buffer !== values.buffer) out.data.set(values);
      rotate(out.data, x.rows, positions, rope);
      return out;
    },

    kvCache: createKvCache,
    freeKvCache(kv) {
      const bound = boundCache(kv);
      bound.keys.length = 0;
      bound.values.length = 0;
    },
    copyPage(kv, from, to) {
      copyCachePage(boundCache(kv), from, to);
    },
    readPage: (kv, page) => readCachePage(boundCache(kv), page),
    writePage(kv, page, bytes) {
      writeCachePage(boundCache(kv), page, bytes);
    },
    store(kv, layer, k, v) {
      const bound = boundCache(kv);
      checkIndex("store", "layer", layer, kv.spec.layers);
      for (const x of [k, v]) checkSize("store", `columns of ${x.name}`, kv.spec.kvHeads * kv.spec.headSize, x.cols);
      storeRows(bound, bound.keys[layer]!, valuesOf(k), batchOf("store", batch, k));
      storeRows(bound, bound.values[layer]!, valuesOf(v), batchOf("store", batch, v));
    },
    attention(name, q, kv, layer, attention) {
      checkApart("attention", name, q);
      checkIndex("attention", "layer", layer, kv.spec.layers);
      const rows = batchOf("attention", batch, q);
      checkSize("attention", `columns of ${q.name}`, attention.heads * kv.spec.headSize, q.cols);
      const out = result(name, q.rows, q.cols);
      attend(out.data, valuesOf(q), boundCache(kv), layer, rows, attention);
      return out;
    },

    add(name, a, b) {
      checkSame("add", a, b);
      const out = result(name, a.rows, a.cols);
      addInto(out.data, valuesOf(a), valuesOf(b));
      return out;
    },
    scale(name, x, factor) {
      const out = result(name, x.rows, x.cols);
      scaleInto(out.data, valuesOf(x), factor);
      return out;
    },
    softcap(name, x, cap) {
      const out = result(name, x.rows, x.cols);
      softcapInto(out.data, valuesOf(x), cap);
      return out;
    },
    gated(name, activation, gates, ups) {
      checkSame("gated", gates, ups);
      const out = result(name, gates.rows, gates.cols);
      gate(out.data, activation, valuesOf(gates), valuesOf(ups));
      return out;
    },

    route(name, logits, { used, renormalize }) {
      const { rows, cols } = logits;
      checkRoute(logits, used);
      const probabilities = result(name, rows, cols);
      softmaxRows(probabilities.data, valuesOf(logits), rows, cols);
      const chosen = result(`${name}.chosen`, rows, used);
      const weights = result(`${name}.weights`, rows, used);
      choose(probabilities.data, rows, cols, used, renormalize, chosen.data, weights.data);
      return { rows, used, renormalize, probabilities, chosen, weights };
    },

    experts(name, x, routing, stacks, activation, terms) {
      checkApart("experts", name, x);
      const bound = { gate: boundWeight(stacks.gate), up: boundWeight(stacks.up), down: boundWeight(stacks.down) };
      checkSize("experts", "rows of the routing", x.rows, routing.rows);
      checkSize("experts", `columns of ${x.name}`, bound.gate.cols, x.cols);
      for (const [what, of] of Object.entries(bound)) {
        checkSize("experts", `experts of ${what}`, routing.probabilities.cols, of.matrices);
        checkSize("experts", `rows of ${what}`, what === "down" ? x.cols : bound.gate.rows, of.rows);
        checkSize("experts", `columns of ${what}`, what === "down" ? bound.gate.rows : x.cols, of.cols);
      }
      const out = result(name, x.rows, x.cols);
      const [chosen, weights] = [valuesOf(routing.chosen), valuesOf(routing.weights)];
      const termsOf = (part: keyof typeof bound) =>
        terms?.[part].map((term) => boundTerm("experts", term, bound[part], x.rows)) ?? [];
      const beside: ReferenceTerms = { gate: termsOf("gate"), up: termsOf("up"), down: termsOf("down") };
      mixExperts(out.data, valuesOf(x), x.rows, chosen, weights, routing.used, bound, activation, beside);
      return out;
    },

    topK(name, x, k) {
      checkApart("topK", name, x);
      checkTopK(x, k);
      const [values, indices] = [result(name, x.rows, k), result(`${name}.indices`, x.rows, k)];
      const logSumExp = result(`${name}.lse`, x.rows, 1);
      largest(valuesOf(x), x.rows, x.cols, k, values.data, indices.data, logSumExp.data);
      return { values, indices, logSumExp };
    },

    logprobs(name, x, places) {
      checkApart("logprobs", name, x);
      checkPlaces(x, places);
      const { rows, columns } = places;
      const out = result(name, rows.length, 2);
      for (let i = 0; i < rows.length; i++) {
        const row = valuesOf(x).subarray(rows[i]! * x.cols, (rows[i]! + 1) * x.cols);
        const sum = logSumOf(row);
        out.data.set([Number.isFinite(sum) ? row[columns[i]!]! - sum : Number.NaN, 0], 2 * i);
      }
      return out;
    },

    close() {
      open = false;
      scratch.clear();
    },
  };
}

function boundTerm(
  operation: string,
  { a, b, scales }: LowRank,
  base: Parameters<typeof checkLowRank>[3],
  rows: number,
) {
  const term = { a: boundWeight(a), b: boundWeight(b), scales: valuesOf(scales) };
  checkLowRank(operation, term.a, term.b, base);
  checkSize(operation, `values of ${scales.name}`, rows, term.scales.length);
  return term;
}

export function checkIndex(operation: string, what: string, index: number, count: number): void {
  if (!(index >= 0 && index < count)) {
    throw new GrokError("argument", `${operation}: ${what} ${index} is not in 0 to ${count - 1}`, { operation, index });
  }
}

export function checkSame(operation: string, a: Matrix, b: Matrix): void {
  checkSize(operation, `rows of ${b.name}`, a.rows, b.rows);
  checkSize(operation, `columns of ${b.name}`, a.cols, b.cols);
}
