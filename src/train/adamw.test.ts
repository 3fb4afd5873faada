import { describe, expect, it } from "vitest";
import { relativeError } from "../kernels/oracle.case.ts";
import { createGradReference } from "../kernels/reference/grad-reference.ts";
import { clippingFactor } from "./clipping.ts";
import { readVectors } from "./models.case.ts";

interface AdamwVectors {
  readonly rate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly decay: number;
  readonly clip: number;
  readonly start: number[];
  readonly steps: { gradient: number[]; norm: number; values: number[] }[];
}

describe("AdamW with clipped gradients", () => {
  it("steps as PyTorch does", () => {
    const ops = createGradReference();
    const { clip, start, steps, ...options } = readVectors<AdamwVectors>("adamw");
    const parameter = ops.parameter("p", [2, 3], Float64Array.from(start));
    const seen = steps.map(({ gradient, norm, values }, i) => {
      ops.writeParameter(parameter, "gradient", Float64Array.from(gradient));
      const found = ops.gradientNorm([parameter]);
      expect(Math.abs(found / norm - 1)).toBeLessThan(1e-12);
      ops.adamw([parameter], { ...options, step: i + 1, factor: clippingFactor(found, clip) });
      expect(relativeError(ops.readParameter(parameter, "values"), values)).toBeLessThan(1e-12);
      expect(Array.from(ops.readParameter(parameter, "gradient"))).toEqual(gradient);
      return norm > clip;
    });
    expect(seen).toContain(true);
    ops.close();
  });
});
