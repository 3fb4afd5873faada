import type { Batch, KvCache, KvType, Matrix } from "../kernels/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a model reads of a file: typed metadata and named tensors. A GGUF file is one. */
export interface ModelFile {
  readonly path: string;
  readonly metadata: {
    get(key: string): unknown;
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

/** A model bound to a backend: its weights are found and checked, its forward pass is ready. */
export interface Model {
  readonly config: ModelConfig;
  /** Memory for the keys and values of this model's layers. */
  kvCache(options: KvCacheOptions): KvCache;
  /**
   * One forward pass over a ragged batch. Stores the batch's keys and values in `cache` and returns the logits of the rows
   * `batch.outputs`: [batch.outputs.length, vocab], valid until the next pass. In the last layer, what comes after the
   * attention's values is computed for those rows only; ask for all rows to observe all of it.
   */
  forward(batch: Batch, cache: KvCache): Promise<Matrix>;
}
