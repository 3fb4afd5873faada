import type { Batch, KvCache, KvType, Matrix } from "../kernels/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a model reads of a file: typed metadata and named tensors. A GGUF file is one. */
export interface ModelFile {
  readonly path: string;
  readonly metadata: {
    get(key: string): unknown;
    /** All keys, where the file is one: what it says and nobody reads is then refused. */
    keys?(): Iterable<string>;
    string(key: string): string;
    string(key: string, fallback: string): string;
    number(key: string): number;
    number(key: string, fallback: number): number;
  };
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Tensors of a type that is only known by its number: they can be counted, not bound. */
  readonly opaque?: ReadonlyMap<string, OpaqueTensor>;
}

export interface OpaqueTensor {
  readonly typeName: string;
  readonly shape: readonly number[];
}

/** A model's measures, by the names the field uses. */
export interface ModelConfig {
  readonly architecture: string;
  readonly layers: number;
  /** Width of the residual stream. */
  readonly width: number;
  readonly vocab: number;
  /** Longest sequence, in tokens, that the model was made for. */
  readonly contextLength: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Width of the dense feed-forward block; 0 where there is none. */
  readonly hidden: number;
  /** Experts a layer and how many of them a token uses; both 0 in a dense model. */
  readonly experts: number;
  readonly used: number;
  /** Width of one expert; 0 in a dense model. */
  readonly expertHidden: number;
}

export interface KvCacheOptions {
  readonly pages: number;
  readonly pageTokens: number;
  readonly type: KvType;
}

/** Layers `from` up to, not with, `to`. */
export interface LayerRange {
  readonly from: number;
  readonly to: number;
}

/** What of a model is bound: a stage of several. */
export interface ModelPart {
  /** Absent: all. */
  readonly layers?: LayerRange;
  /** Whether the embedding is; absent: with the first layer. */
  readonly embed?: boolean;
  /** Whether the last norm and the output matrix are; absent: with the last layer. */
  readonly head?: boolean;
}

/**
 * A model bound to a backend, or a part of one: its weights are found and checked, its forward pass is ready. The parts of a pass can be
 * called apart, on other backends too: a hidden state is a matrix [n, width] of the backend that goes on with it, under a name that is
 * no intermediate's, such as "inp_embd".
 * @throws GrokError `argument` for what this part of a model does not have.
 */
export interface Model {
  /** Of the whole model. */
  readonly config: ModelConfig;
  /** Those that are bound. */
  readonly bound: LayerRange;
  /** Memory for the keys and values of the layers that are bound. */
  kvCache(options: KvCacheOptions): KvCache;
  /**
   * One forward pass over a ragged batch: embed, layers and head, the batch handed over once. Stores the batch's keys and values in
   * `cache` and returns the logits of the rows `batch.outputs`: [batch.outputs.length, vocab], valid until the next pass.
   */
  forward(batch: Batch, cache: KvCache): Promise<Matrix>;
  /** As `forward`, without the output matrix: the hidden state after the last norm, [batch.outputs.length, width], as long as its logits are. */
  hidden(batch: Batch, cache: KvCache): Promise<Matrix>;
  /** Logits of what `hidden` gave, in the same pass. */
  logits(x: Matrix): Matrix;
  /** The tokens' embeddings: [n, width]. */
  embed(batch: Batch): Matrix;
  /**
   * h [n, width] after layers `from` up to `to`, absent: all that are bound. In the model's last layer, what comes after the
   * attention's values is computed for the rows `batch.outputs` only, and the result is [batch.outputs.length, width]; ask for
   * all rows to observe all of it.
   */
  layers(h: Matrix, batch: Batch, cache: KvCache, from?: number, to?: number): Promise<Matrix>;
  /** Logits of h [rows, width]: the rows `batch.outputs`, which the last layer's result has, or all. [rows, vocab] */
  head(h: Matrix, batch: Batch): Matrix;
}
