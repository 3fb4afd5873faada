import type { AttentionOptions, Matrix, Ops, Weight, WeightOptions } from "../kernels/ops.ts";
import type { ModelConfig, ModelFile } from "./model.ts";

/**
 * What makes a decoder one architecture and not another: what it reads of a file, the tensors of a layer, and a layer's
 * equations. `decoder.ts` makes a model of it.
 */
export interface Architecture<A extends DecoderArguments, T extends TensorTable> {
  /** As in `general.architecture`. */
  readonly name: string;
  /** @throws GrokError `format`, `shape` or `unsupported` naming the file and the place. */
  readArguments(file: ModelFile): A;
  tensors(args: A): T;
  /** Tensors beside embedding, layers and head that are read, or change nothing. */
  readonly otherTensors?: readonly string[];
  /** Metadata, without the architecture's prefix, that stand in files and do not count. */
  readonly harmlessKeys?: readonly string[];
  /** Says which experts (`Ops.expect`) this layer would choose for h [n, width] as it is. Absent: an architecture without experts. */
  readonly foresee?: (expect: Expect, h: Matrix, w: Weights<T>, args: A) => void;
  /** h [n, width] after one layer; [wanted rows, width] after the last one. */
  layer(pass: LayerPass, h: Matrix, w: Weights<T>, args: A): Matrix | Promise<Matrix>;
}

/** What surrounds the layers, beyond the model's measures. */
export interface DecoderArguments extends ModelConfig {
  /** Of the norms. */
  readonly epsilon: number;
  /** Multiplies embeddings; absent: 1. */
  readonly embeddingScale?: number;
  /** Multiplies logits; absent: 1. */
  readonly logitScale?: number;
  /** Soft cap on logits, after their scale; absent or 0: none. */
  readonly logitCap?: number;
  /** What Hugging Face's layout calls a norm's tensor; absent: "weight", as everything else. */
  readonly gainName?: string;
}

/** A tensor of one layer: its name in both layouts and its shape. */
export interface TensorSpec {
  /** In a GGUF file: what stands between `blk.N.` and `.weight`. */
  readonly name: string;
  /** Another name, that some files have for it. */
  readonly alias?: string;
  /** In Hugging Face's layout: what follows `model.layers.N.`; `*` stands for the number of an expert, each of which has its own. */
  readonly module: string;
  /** Row-major: [width] of a norm, [out, in], or [experts, out, in]. */
  readonly shape: readonly number[];
  readonly options?: WeightOptions;
  /** Heads whose rows a GGUF file holds in another order than Hugging Face's layout: rotary pairs side by side. */
  readonly permutedHeads?: number;
}

/** A layer's tensors by the names that its equations have for them, in groups where that reads better. */
export interface TensorTable {
  readonly [field: string]: TensorSpec | TensorTable | undefined;
}

/** The tensors of a table, bound. */
export type Weights<T> = T extends TensorSpec
  ? Weight
  : T extends TensorTable
    ? { readonly [K in keyof T]: Weights<T[K]> }
    : T;

/** What a layer's equations are written with. */
export interface LayerPass {
  readonly ops: Ops;
  /**
   * Stores k and v [n, kvHeads * headSize] in the cache and attends to it with q [n, heads * headSize]: values [n, heads *
   * headSize], in the last layer of the wanted rows only.
   */
  attend(q: Matrix, k: Matrix, v: Matrix, options: AttentionOptions): Matrix;
  /** The rows that go on after attention: in the last layer those that are wanted, in others all. */
  keep(h: Matrix): Matrix;
  /** Before a layer's experts are computed, with what stands beside them: the next layer's can be told from it, mostly. */
  foresee(h: Matrix): void;
}

/** Operations of a backend that brings experts as they are needed. */
export type Expect = Ops & Required<Pick<Ops, "expect">>;
