import type { Addon } from "../../addon.ts";
import type { AddonBackend } from "../../addon-backend.ts";
import { GrokError } from "../../errors.ts";
import { processorLimit } from "../../machine/limits.ts";
import { batchOf, checkBatch } from "../batch.ts";
import { checkApart, checkLowRank, checkPlaces, checkRope, checkRoute, checkSize, checkTopK } from "../checks.ts";
import type { Batch, KvCache, KvCacheSpec, KvType, Matrix, Ops, Rope } from "../ops.ts";
import { guard, guardCalls } from "./addon-calls.ts";
import { type Control, createControl } from "./control.ts";
import { createExpertOps } from "./expert-ops.ts";
import { createScratch, type NativeMatrix, type Scratch } from "./scratch.ts";
import { createSlotStore, type SlotStore, type Streaming } from "./slot-store.ts";
import { createPageCacheStore, type ExpertEvent, type ExpertStore } from "./store.ts";
import { bindWeight, boundWeight, createSources, type NativeWeight } from "./weight.ts";

export interface NativeOptions {
  /** Threads to compute on, the calling one included; every processor unless said. Results do not depend on it. */
  readonly threads?: number;
  /** One of the addon's `machine().isas`; the best this processor has unless said. */
  readonly isa?: string;
  /** The way out of an operation that takes long. */
  readonly cancel?: Cancel;
  /** Told what happens where an expert has to be awaited. */
  readonly onExperts?: (event: ExpertEvent) => void;
  /** Absent: files are mapped, and the system's page cache has what of them is in memory. */
  readonly streaming?: Streaming;
}

/**
 * How another thread ends an operation under way: it throws GrokError `cancelled`, its result is then none, and the backend is ready for
 * the next.
 */
export interface Cancel {
  /** Two int32, in memory that threads share: what computes ends soon after the first exceeds the second. */
  readonly numbers: Int32Array;
  /** Resolves when that is so, for what waits for data. */
  left(): Promise<void>;
}

interface NativeCache extends KvCache {
  readonly id: number;
  readonly native: AddonBackend;
}

const kvTypes: readonly KvType[] = ["f32", "f16", "q8_0", "q4_0"];

/**
 * The native backend: float32 activations in the addon's memory, kernels for the processor's instruction set, a pool of
 * threads. A row has the same bits with any number of threads and in whatever batch it travels: how work is cut, and so the order
 * in which is summed, depends on its own shape alone. Instruction sets differ from one another within the bounds of {@link Ops}.
 *
 * One backend is used from one JavaScript thread.
 * @throws GrokError `argument` for a number of threads or an instruction set that cannot be had.
 */
export function createNative(addon: Addon, options: NativeOptions = {}): Ops {
  return openNative(addon, options).ops;
}

/** A native backend and what further operations on it need. */
export interface NativeBackend {
  readonly ops: Ops;
  readonly native: AddonBackend;
  readonly scratch: Scratch;
  readonly control: Control;
  /** A result under `name`. @throws GrokError `argument` when the backend was closed. */
  result(name: string, rows: number, cols: number): NativeMatrix;
  /** The id of a rotary embedding's tables. */
  rotary(rope: Rope): number;
  /** Where weights are streamed. */
  readonly slots: SlotStore | undefined;
}

/** As {@link createNative}; experts are had from a store. */
export function openNative(
  addon: Addon,
  options: NativeOptions = {},
  makeStore: (native: AddonBackend) => ExpertStore = createPageCacheStore,
): NativeBackend {
  const { threads = processorLimit(), isa = "best", cancel, onExperts, streaming } = options;
  const native = guardCalls(guard(() => addon.createBackend(threads, isa))());
  if (cancel !== undefined) native.watch(cancel.numbers);
  const scratch = createScratch(native);
  const control = createControl(native);
  const sources = createSources(native, streaming ? "open" : "map", streaming?.copies);
  const slots = streaming && createSlotStore(native, streaming, sources.of, scratch);
  const store = slots ?? makeStore(native);
  /** A tensor that is bound again is the same weight: it is in memory once. */
  const streamed = new Map<string, NativeWeight>();
  const rotaries = new WeakMap<Rope, number>();
  const rotaryIds = new Map<string, number>();
  let open = true;
  let batch: Batch | undefined;

  const result = (name: string, rows: number, cols: number) => {
    if (!open) throw new GrokError("argument", "the backend was closed");
    return scratch.matrix(name, rows, cols);
  };
  const idOf = scratch.id;

  const cacheOf = (cache: KvCache): NativeCache => {
    if ((cache as NativeCache).native !== native) {
      throw new GrokError("argument", "the cache was not made by this native backend");
    }
    return cache as NativeCache;
  };

  // A rotary embedding's tables are made once, also when a caller describes it anew for each call.
  const rotaryOf = (rope: Rope): number => {
    const known = rotaries.get(rope);
    if (known !== undefined) return known;
    const { headSize, pairing, frequencies, magnitude } = rope;
    const key = `${headSize} ${pairing} ${magnitude} ${frequencies.join(" ")}`;
    const id = rotaryIds.get(key) ?? native.rotary(headSize, pairing === "adjacent", frequencies, magnitude);
    rotaryIds.set(key, id);
    rotaries.set(rope, id);
    return id;
  };

  const ops: Ops = {
    ...{ backend: "native", elementBytes: 4, kvType: "f16", threads: native.threads },
    begin(next) {
      batch = undefined;
      checkBatch(next);
      slots?.begin(next.tokens.length);
      control.batch(next);
      batch = next;
    },
    at() {},

    matrix: result,
    write(matrix, values) {
      checkSize("write", `values of ${matrix.name}`, matrix.rows * matrix.cols, values.length);
      scratch.values(matrix).set(values);
    },
    read: scratch.values,

    weight(tensor, options) {
      if (!open) throw new GrokError("argument", "the backend was closed");
      if (slots === undefined || tensor.places.some((place) => "memory" in place)) {
        return bindWeight(addon, native, sources, tensor, options);
      }
      const key = `${tensor.source} ${tensor.name} ${options?.fine === true}`;
      let weight = streamed.get(key);
      if (weight === undefined) {
        weight = bindWeight(addon, native, sources, tensor, options);
        const kept = streaming!.layerOf(tensor) === undefined;
        const copy = kept ? undefined : streaming!.standIn?.(tensor);
        if (copy !== undefined) weight = { ...weight, standIn: ops.weight(copy) as NativeWeight };
        streamed.set(key, weight);
        if (kept) slots.keep(weight);
      }
      return weight;
    },

    embed(name, table, factor) {
      const { tokens } = batchOf("embed", batch);
      const weight = boundWeight(native, table);
      const out = result(name, tokens.length, weight.cols);
      native.embed(out.id, weight.id, tokens.length, factor);
      return out;
    },
    rows(name, x, indices) {
      checkApart("rows", name, x);
      const id = idOf(x);
      const out = result(name, indices.length, x.cols);
      control.list(indices);
      native.rows(out.id, id, x.rows, x.cols, indices.length);
      return out;
    },

    rmsNorm(name, x, gain, eps) {
      const weight = boundWeight(native, gain);
      checkSize("rmsNorm", `columns of ${x.name} beyond whole gains`, 0, x.cols % weight.cols);
      const id = idOf(x);
      const out = result(name, x.rows, x.cols);
      native.rmsNorm(out.id, id, (x.rows * x.cols) / weight.cols, weight.id, eps);
      return out;
    },
    matmul(name, x, weight) {
      checkApart("matmul", name, x);
      const bound = boundWeight(native, weight);
      checkSize("matmul", `columns of ${x.name} by ${weight.tensor.name}`, bound.cols, x.cols);
      const id = idOf(x);
      const out = result(name, x.rows, bound.rows);
      native.matmul(out.id, id, x.rows, bound.id);
      return out;
    },
    addLowRank(y, x, { a, b, scales }) {
      const [first, second] = [boundWeight(native, a), boundWeight(native, b)];
      checkLowRank("addLowRank", first, second, { matrices: 1, rows: y.cols, cols: x.cols });
      checkSize("addLowRank", `rows of ${y.name}`, x.rows, y.rows);
      checkSize("addLowRank", `values of ${scales.name}`, x.rows, scales.rows * scales.cols);
      native.addLowRank(idOf(y), idOf(x), x.rows, first.id, second.id, idOf(scales));
      return y;
    },
    rope(name, x, rope) {
      batchOf("rope", batch, x);
      checkRope(x, rope);
      const id = idOf(x);
      const rotary = rotaryOf(rope);
      const out = result(name, x.rows, x.cols);
      native.rope(out.id, id, x.rows, x.cols / rope.headSize, rotary);
      return out;
    },

    kvCache(spec) {
      if (!open) throw new GrokError("argument", "the backend was closed");
      return bindCache(native, spec);
    },
    freeKvCache(cache) {
      native.freeCache(cacheOf(cache).id);
    },
    copyPage(cache, from, to) {
      native.copyPage(cacheOf(cache).id, from, to);
    },
    readPage(cache, page) {
      const { id } = cacheOf(cache);
      const bytes = new Uint8Array(native.pageBytes(id));
      native.readPage(id, page, bytes);
      return bytes;
    },
    writePage(cache, page, bytes) {
      native.writePage(cacheOf(cache).id, page, bytes);
    },
    store(cache, layer, k, v) {
      const { id, spec } = cacheOf(cache);
      for (const x of [k, v]) {
        batchOf("store", batch, x);
        checkSize("store", `columns of ${x.name}`, spec.kvHeads * spec.headSize, x.cols);
      }
      native.store(id, layer, idOf(k), idOf(v), k.rows);
    },
    attention(name, q, cache, layer, { heads, scale, softcap = 0, temperatureLength = 0 }) {
      checkApart("attention", name, q);
      const { id, spec } = cacheOf(cache);
      batchOf("attention", batch, q);
      checkSize("attention", `columns of ${q.name}`, heads * spec.headSize, q.cols);
      const queries = idOf(q);
      const out = result(name, q.rows, q.cols);
      native.attention(out.id, queries, q.rows, id, layer, heads, scale, softcap, temperatureLength);
      return out;
    },

    add(name, a, b) {
      checkSame("add", a, b);
      const [x, y] = [idOf(a), idOf(b)];
      const out = result(name, a.rows, a.cols);
      native.add(out.id, x, y, a.rows * a.cols);
      return out;
    },
    scale(name, x, factor) {
      const id = idOf(x);
      const out = result(name, x.rows, x.cols);
      native.scale(out.id, id, x.rows * x.cols, factor);
      return out;
    },
    softcap(name, x, cap) {
      const id = idOf(x);
      const out = result(name, x.rows, x.cols);
      native.softcap(out.id, id, x.rows * x.cols, cap);
      return out;
    },
    gated(name, activation, gate, up) {
      checkSame("gated", gate, up);
      const [g, u] = [idOf(gate), idOf(up)];
      const out = result(name, gate.rows, gate.cols);
      native.gated(out.id, activation === "gelu" ? 0 : 1, g, u, gate.rows * gate.cols);
      return out;
    },

    route(name, logits, { used, renormalize }) {
      const { rows, cols } = logits;
      checkRoute(logits, used);
      const id = idOf(logits);
      const probabilities = result(name, rows, cols);
      const chosen = result(`${name}.chosen`, rows, used);
      const weights = result(`${name}.weights`, rows, used);
      native.route(probabilities.id, chosen.id, weights.id, id, rows, cols, used, renormalize);
      return { rows, used, renormalize, probabilities, chosen, weights };
    },
    ...createExpertOps({ native, scratch, control, store, slots, result }, cancel && (() => cancel.left()), onExperts),

    topK(name, x, k) {
      checkApart("topK", name, x);
      checkTopK(x, k);
      const id = idOf(x);
      const [values, indices] = [result(name, x.rows, k), result(`${name}.indices`, x.rows, k)];
      const logSumExp = result(`${name}.lse`, x.rows, 1);
      native.topK(values.id, indices.id, logSumExp.id, id, x.rows, x.cols, k);
      return { values, indices, logSumExp };
    },

    logprobs(name, x, places) {
      checkApart("logprobs", name, x);
      checkPlaces(x, places);
      const id = idOf(x);
      const { length } = places.rows;
      const out = result(name, length, 2);
      const list = new Int32Array(2 * length);
      list.set(places.rows);
      list.set(places.columns, length);
      control.list(list);
      native.logprobs(out.id, id, x.rows, x.cols, length);
      return out;
    },

    close() {
      open = false;
      scratch.clear();
      native.close();
    },
  };
  return { ops, native, scratch, control, result, rotary: rotaryOf, slots };
}

function bindCache(native: AddonBackend, spec: KvCacheSpec): NativeCache {
  const { layers, kvHeads, headSize, pages, pageTokens, type } = spec;
  const id = native.cache(layers, kvHeads, headSize, pages, pageTokens, kvTypes.indexOf(type));
  return { spec, id, native };
}

export function checkSame(operation: string, a: Matrix, b: Matrix): void {
  checkSize(operation, `rows of ${b.name}`, a.rows, b.rows);
  checkSize(operation, `columns of ${b.name}`, a.cols, b.cols);
}
