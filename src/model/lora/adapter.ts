import type { LoraModule } from "./modules.ts";

/** B A * scale for one matrix, rows in the order of the GGUF file. */
export interface LowRankTerm {
  readonly target: LoraModule;
  readonly rank: number;
  /** Multiplies B A: alpha / rank, or alpha / sqrt(rank) (rank-stabilised). */
  readonly scale: number;
  /** [rank, in] */
  readonly a: Float32Array;
  /** [out, rank] */
  readonly b: Float32Array;
}

/** A low-rank adapter (Hu et al., LoRA, 2021) for a model. */
export interface LoraAdapter {
  /** The file that it came from. */
  readonly path: string;
  readonly terms: readonly LowRankTerm[];
}
