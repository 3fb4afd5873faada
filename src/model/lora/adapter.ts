import { GrokError } from "../../errors.ts";
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

/**
 * The strongest that an adapter's own scale may be multiplied by. Strengths of use are around 1; far above this no model's arithmetic
 * holds, and its answers would be no numbers.
 */
export const maxAdapterScale = 1000;

/** @throws GrokError `argument` for a scale that is no number, or a senseless one. */
export function checkAdapterScale(name: string, scale: number): number {
  if (typeof scale === "number" && Math.abs(scale) <= maxAdapterScale) return scale;
  throw new GrokError(
    "argument",
    `the scale of adapter ${name} is ${typeof scale === "number" ? scale : JSON.stringify(scale)}, expected a number from ${-maxAdapterScale} to ${maxAdapterScale}`,
    { adapter: name, scale },
  );
}

/** A low-rank adapter (Hu et al., LoRA, 2021) for a model. */
export interface LoraAdapter {
  /** The file that it came from. */
  readonly path: string;
  readonly terms: readonly LowRankTerm[];
}

/** The values, none of which may be no number, or none in 32 bits: it would make every answer fail. @throws GrokError `format`. */
export function checkFinite(path: string, tensor: string, values: Float32Array): Float32Array {
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return values;
  throw new GrokError("format", `${path}: tensor ${tensor}: value ${bad} is ${values[bad]}`, {
    ...{ path, tensor, index: bad },
  });
}

/** @throws GrokError `format` where the scale makes values leave the range of 32-bit floats. */
export function checkScaled(path: string, tensor: string, values: Float32Array, scale: number): void {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (Number.isFinite(Math.fround(scale * largest))) return;
  throw new GrokError(
    "format",
    `${path}: tensor ${tensor} times its scale ${scale} leaves the range of 32-bit floats`,
    {
      ...{ path, tensor, scale },
    },
  );
}
