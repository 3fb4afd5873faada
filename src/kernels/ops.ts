import type { Tensor } from "../tensor/tensor.ts";

/**
 * The one boundary to hardware. A model is a sequence of calls to these operations; a backend implements them.
 *
 * Conventions
 * - Every activation is a {@link Matrix} `[rows, cols]`, one row a token. Values are float32 on fast backends and
 *   float64 on the reference backend.
 * - The first argument of an operation that makes a matrix is the result's **name**: what an observer sees, and the
 *   scratch slot it lives in. Asking again for a name reuses its memory, so a forward pass allocates nothing once
 *   warm; a result is valid until its name is asked for again. An elementwise operation may write over an operand of
 *   the same name; any other operation must not.
 * - Calls take effect in order. A backend may queue them; only {@link Ops.read} and a returned promise wait.
 * - Shapes are checked: a mismatch throws GrokError `shape`.
 *
 * Error bounds in the comments are relative, ‖ours − exact‖/‖exact‖, for f32 weights; products with quantized weights
 * on fast backends also round activations to 8 bits a block (about 5e-3), or where {@link WeightOptions.fine} to 15 (3e-5).
 */
export interface Ops {
  /** What people call it. Nothing hangs on the name: where backends differ, they say how below. */
  readonly backend: string;
  /** Bytes of an element of an activation. */
  readonly elementBytes: 4 | 8;
  /** The type of cache that suits it, where nobody asks for another. */
  readonly kvType: KvType;
  /** Threads that compute, the calling one among them. */
  readonly threads: number;

  /**
   * The batch of the operations that follow, checked here once: whose tokens are embedded, whose positions turn, whose sequences' pages
   * are written and attended to. It must not change before the next one begins.
   * @throws GrokError `shape` or `argument` for a batch that is none.
   */
  begin(batch: Batch): void;

  /**
   * Marks the results that follow as belonging to `layer` (-1: none, before the first and after the last). Observers
   * use it to label; a backend that streams weights may use it to fetch ahead.
   */
  at(layer: number): void;

  /** A scratch matrix under `name`; its contents are undefined. For callers that fill it with {@link write}. */
  matrix(name: string, rows: number, cols: number): Matrix;
  /** Copies row-major values into a matrix; `values.length` is `rows * cols`. */
  write(matrix: Matrix, values: Float32Array | Float64Array): void;
  /** The values, row-major. May be a view that the next operation overwrites: copy what must last. */
  read(matrix: Matrix): Float32Array | Float64Array | Promise<Float32Array | Float64Array>;

  /**
   * Binds a tensor for use. Nothing is copied or repacked: the mapped bytes are read in place. 1, 2 or 3 axes.
   * @throws GrokError `unsupported` naming tensor and type when the backend cannot compute with the type.
   */
  weight(tensor: Tensor, options?: WeightOptions): Weight;

  /** Row t of `table` [vocab, width] for every token t of the batch, times `scale`: [n, width]. Exact up to one rounding. */
  embed(name: string, table: Weight, scale: number): Matrix;

  /** Rows `indices` of `x`: [indices.length, cols]. */
  rows(name: string, x: Matrix, indices: Int32Array): Matrix;

  /**
   * x / sqrt(mean(x²) + eps) * gain (Zhang & Sennrich 2019), over as many columns at a time as the gain has, in f32 or any float type: a
   * row, or with a gain [headSize] each of the heads that lie side by side in it. 1e-6.
   */
  rmsNorm(name: string, x: Matrix, gain: Weight, eps: number): Matrix;

  /** x Wᵀ: [n, in] by weight [out, in] gives [n, out]. 1e-5. */
  matmul(name: string, x: Matrix, weight: Weight): Matrix;

  /**
   * y[t] += B (scales[t] A x[t]): what a low-rank adapter adds to a product y = x Wᵀ (Hu et al., LoRA, 2021), written into y, which is
   * returned. A row whose scale is 0 keeps its bits. 1e-5.
   */
  addLowRank(y: Matrix, x: Matrix, term: LowRank): Matrix;

  /**
   * Rotary embedding over heads of `headSize` laid side by side in a row: x[n, heads * headSize], n the batch's rows.
   * Pairs are (i, i + dims/2) for "half" (Grok, NeoX) or (2i, 2i + 1) for "adjacent" (Llama GGUF files); pair i turns by
   * position * frequencies[i]; both members are multiplied by `magnitude`. Dimensions past `2 * frequencies.length` are
   * left alone. Su et al., RoFormer (2021). 1e-6.
   */
  rope(name: string, x: Matrix, rope: Rope): Matrix;

  /** Memory for keys and values of every layer, in pages of `pageTokens` tokens. */
  kvCache(spec: KvCacheSpec): KvCache;
  /** Frees a cache at once (not at the next garbage collection). */
  freeKvCache(cache: KvCache): void;
  /** Copies page `from` over page `to`, in all layers: how a session that forks gets its own last page. */
  copyPage(cache: KvCache, from: number, to: number): void;
  /**
   * A copy of a page's contents, of all layers. The bytes mean something to the same build of the same backend alone, in a cache of the
   * same layers, heads, page size and type.
   */
  readPage(cache: KvCache, page: number): Uint8Array;
  /** Gives a page the contents that `readPage` gave. @throws GrokError `argument` for as many bytes as no page of this cache has */
  writePage(cache: KvCache, page: number, bytes: Uint8Array): void;
  /** Stores k and v [n, kvHeads * headSize] of a layer at the batch's positions in its sequences' pages. */
  store(cache: KvCache, layer: number, k: Matrix, v: Matrix): void;

  /**
   * Causal attention of q [n, heads * headSize] over what the cache holds of each row's sequence, up to and including the
   * row's own position; query head h reads key/value head floor(h * kvHeads / heads).
   * score = scale * q·k, then, with a soft cap c, c * tanh(score / c); softmax; weighted sum of values: [n, heads *
   * valueSize]. One pass over keys and values with a running maximum (Milakov & Gimelshein 2018; Dao et al. 2022). 1e-5
   * with an f32 cache.
   */
  attention(name: string, q: Matrix, cache: KvCache, layer: number, options: AttentionOptions): Matrix;

  /** a + b. One rounding. */
  add(name: string, a: Matrix, b: Matrix): Matrix;
  /** x * factor. One rounding. */
  scale(name: string, x: Matrix, factor: number): Matrix;
  /** cap * tanh(x / cap). 1e-6. */
  softcap(name: string, x: Matrix, cap: number): Matrix;
  /** activation(gate) * up, elementwise. GELU is the tanh approximation, as in JAX and in Grok-1. 1e-6. */
  gated(name: string, activation: Activation, gate: Matrix, up: Matrix): Matrix;

  /**
   * Chooses experts: softmax over all columns of the router's logits [n, experts], then the `used` largest (the lower
   * index wins a tie), largest first. With `renormalize` the chosen probabilities are divided by their sum.
   * `probabilities` is the full softmax [n, experts], before choice. 1e-6.
   */
  route(name: string, logits: Matrix, options: RouteOptions): Routing;

  /**
   * Sum over a row's chosen experts e of weight_e * down_e(activation(gate_e x) * (up_e x)): x [n, width], stacks gate and up
   * [experts, hidden, width], down [experts, width, hidden]: [n, width]. Only what was chosen is computed, and an expert's
   * weights are read once a call. Each product of a row has the terms of its expert added, as {@link Ops.addLowRank} does, in
   * their order. A promise where a backend has to wait for an expert's bytes. 1e-5.
   */
  experts(
    name: string,
    x: Matrix,
    routing: Routing,
    stacks: ExpertStacks,
    activation: Activation,
    terms?: ExpertTerms,
  ): Matrix | Promise<Matrix>;

  /**
   * Present where experts are brought as they are needed: those of a routing are likely to be asked for soon, of these stacks, and may
   * be brought meanwhile. Changes no result.
   */
  readonly expect?: (routing: Routing, stacks: ExpertStacks) => void;
  /** Whether to be told of the next layer's is of use now; where it is not, whoever would tell computes nothing for it. Absent: it is. */
  readonly expecting?: () => boolean;

  /**
   * Of every row of x [n, cols] the k largest values, largest first (the lower index wins a tie), where they stand, and log Σ exp(x)
   * over all of the row: what choosing a token needs of logits, without reading them all back. What is no number counts as less than
   * everything and makes its row's logSumExp none either. 1 ≤ k ≤ cols ≤ 2^24. Values and indices exact, logSumExp 1e-6.
   * @throws GrokError `argument` for another k, or longer rows.
   */
  topK(name: string, x: Matrix, k: number): TopK;

  /**
   * Log-probabilities x[row, column] - log Σ exp(x[row]) of some places of x [n, cols], in double precision: [places, 2], each the sum of
   * two, within 1e-11 of log Σ. Not a number in rows that are no logits: with something that is none, +Infinity, or nothing but -Infinity.
   * @throws GrokError `argument` for a place that is not there.
   */
  logprobs(name: string, x: Matrix, places: Places): Matrix;

  /** Frees everything the backend holds. Calls after that throw. */
  close(): void;
}

export type Activation = "gelu" | "silu";

/** An activation, wherever the backend keeps it. Opaque: use {@link Ops.read}. */
export interface Matrix {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
}

export interface WeightOptions {
  /** Whether {@link Ops.matmul} keeps more of the activations than 8 bits, for up to twice the arithmetic. Default false. */
  readonly fine?: boolean;
}

/** A tensor bound to a backend. Opaque. */
export interface Weight {
  readonly tensor: Tensor;
}

/** Keys and values of all layers, in pages. Opaque. */
export interface KvCache {
  readonly spec: KvCacheSpec;
}

/**
 * Element type of a key/value cache. Quantized types run along a head's elements, times the normalized Hadamard matrix of the
 * largest power of two that divides the head's size: that spreads what is large in one element over all, and products of
 * queries and keys that are both turned stay as they were.
 */
export type KvType = "f32" | "f16" | "q8_0" | "q4_0";

export interface KvCacheSpec {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Number of pages that sequences can share out. */
  readonly pages: number;
  /** Tokens a page holds. */
  readonly pageTokens: number;
  readonly type: KvType;
}

/**
 * The tokens of one forward pass: a ragged batch. Rows of one sequence are contiguous and in order of position; sequences
 * may be at any depth, so prefill chunks and decode steps travel together.
 */
export interface Batch {
  /** [n] token ids, from 0. */
  readonly tokens: Int32Array;
  /** [n] position of each token in its own sequence, from 0. */
  readonly positions: Int32Array;
  /** One after another, of all rows. */
  readonly sequences: readonly BatchSequence[];
  /** Rows whose logits are wanted, ascending, none twice. */
  readonly outputs: Int32Array;
}

export interface BatchSequence {
  /** First row of this sequence in the batch. */
  readonly start: number;
  /** Its rows in the batch. */
  readonly count: number;
  /** Page table: position p lives in page `pages[floor(p / pageTokens)]`, slot `p % pageTokens`. */
  readonly pages: Int32Array;
}

export interface Rope {
  readonly headSize: number;
  readonly pairing: "half" | "adjacent";
  /** [dims / 2] radians a position for each pair, scaling (linear, YaRN, Llama 3 factors) already applied. */
  readonly frequencies: Float64Array;
  /** Multiplies rotated dimensions (YaRN's attention factor); 1 otherwise. */
  readonly magnitude: number;
}

export interface AttentionOptions {
  readonly heads: number;
  readonly scale: number;
  /** Soft cap on scores, before the mask; absent or 0: none. */
  readonly softcap?: number;
  /**
   * Attention temperature (Grok-2): the capped scores of a query at a position past this length L are multiplied by
   * log2(position) / log2(L), before the mask; absent or 0: none.
   */
  readonly temperatureLength?: number;
}

export interface RouteOptions {
  readonly used: number;
  readonly renormalize: boolean;
}

/** Which experts each row goes to. Opaque but for its shapes; the matrices can be read. */
export interface Routing {
  readonly rows: number;
  readonly used: number;
  /** [n, experts] softmax over all experts. */
  readonly probabilities: Matrix;
  /** [n, used] chosen experts, as whole numbers, largest probability first. */
  readonly chosen: Matrix;
  /** [n, used] the factor of each chosen expert; whether those of a row were made to sum to 1. */
  readonly weights: Matrix;
  readonly renormalize: boolean;
}

/** What {@link Ops.topK} finds in each row. The matrices can be read. */
export interface TopK {
  /** [n, k] largest first. */
  readonly values: Matrix;
  /** [n, k] their columns, as whole numbers. */
  readonly indices: Matrix;
  /** [n, 1] */
  readonly logSumExp: Matrix;
}

/** Places of a matrix. */
export interface Places {
  readonly rows: ArrayLike<number>;
  /** As many. */
  readonly columns: ArrayLike<number>;
}

export interface ExpertStacks {
  readonly gate: Weight;
  readonly up: Weight;
  readonly down: Weight;
}

/** The two factors of a low-rank term, of 32-bit floats, and how strongly each row uses it. */
export interface LowRank {
  /** [rank, in], or for a stack of experts [experts, rank, in]. */
  readonly a: Weight;
  /** [out, rank], or [experts, out, rank]. */
  readonly b: Weight;
  /** [n, 1] */
  readonly scales: Matrix;
}

/** Low-rank terms beside each matrix of a stack of experts. */
export interface ExpertTerms {
  readonly gate: readonly LowRank[];
  readonly up: readonly LowRank[];
  readonly down: readonly LowRank[];
}
