import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { GrokError } from "../errors.ts";
import { relativeError } from "../kernels/oracle.case.ts";
import { settingsOf } from "./config.ts";
import type { ModelFile } from "./model.ts";
import { createRope, type RopeScaling, readRopeScaling } from "./rope.ts";

interface YarnCase {
  readonly dims: number;
  readonly base: number;
  readonly factor: number;
  readonly originalContext: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  readonly magnitude: number;
  readonly frequencies: readonly number[];
}

const vectors = join(import.meta.dirname, "../../test/vectors/models/rope.json");
const yarnCases = JSON.parse(readFileSync(vectors, "utf8")) as readonly YarnCase[];

function fileOf(values: Record<string, string | number>): ModelFile {
  const all: Record<string, unknown> = { "general.architecture": "llama" };
  for (const [key, value] of Object.entries(values)) all[`llama.${key}`] = value;
  const read = (key: string, fallback?: unknown) => all[key] ?? fallback;
  return { path: "made.gguf", metadata: { get: read, string: read, number: read }, tensors: new Map() } as ModelFile;
}

const scalingOf = (values: Record<string, string | number>): RopeScaling =>
  readRopeScaling(settingsOf(fileOf(values)), "made.gguf", 4096);

describe("rotary frequencies", () => {
  it.each(yarnCases)("equal mlx-lm's YaRN: $dims dimensions, factor $factor", (expected) => {
    const { dims, base, factor, originalContext, betaFast, betaSlow } = expected;
    const scaling: RopeScaling = {
      ...{ type: "yarn", factor, originalContext, betaFast, betaSlow },
      ...{ extensionFactor: 1, attentionFactor: 1 },
    };
    const rope = createRope({ headSize: dims, dims, pairing: "half", base, scaling });
    // mlx-lm computes them in float32.
    expect(relativeError(rope.frequencies, expected.frequencies)).toBeLessThan(1e-6);
    rope.frequencies.forEach((found, i) => {
      expect(found / expected.frequencies[i]!).toBeCloseTo(1, 5);
    });
    expect(rope.magnitude).toBeCloseTo(expected.magnitude, 10);
  });

  it("are base^(-2i/dims), divided by a linear factor and by the file's own factors", () => {
    const factors = [1, 2, 4, 8];
    const options = { headSize: 16, dims: 8, pairing: "adjacent", base: 500000 } as const;
    const rope = createRope({ ...options, scaling: { type: "linear", factor: 4 }, factors });
    const expected = [1, 500000 ** -0.25, 500000 ** -0.5, 500000 ** -0.75].map((f, i) => f / 4 / factors[i]!);
    expect(relativeError(rope.frequencies, expected)).toBeLessThan(1e-15);
    expect([rope.headSize, rope.magnitude]).toEqual([16, 1]);
  });

  it("are not for odd dimensions, or more than a head has", () => {
    for (const dims of [0, 3, 18, Number.NaN]) {
      const make = () => createRope({ headSize: 16, dims, pairing: "half", base: 1e4, scaling: { type: "none" } });
      expect(make).toThrow(GrokError);
    }
  });
});

describe("rotary scaling of a file", () => {
  it("is none without metadata, and whatever the type says", () => {
    expect(scalingOf({})).toEqual({ type: "none" });
    expect(scalingOf({ "rope.scaling.type": "none", "rope.scaling.factor": 4 })).toEqual({ type: "none" });
    expect(scalingOf({ "rope.scaling.type": "linear", "rope.scaling.factor": 4 })).toEqual({
      type: "linear",
      factor: 4,
    });
    expect(scalingOf({ "rope.scaling.factor": 0 })).toEqual({ type: "none" });
    expect(scalingOf({ "rope.scale_linear": 2 })).toEqual({ type: "linear", factor: 2 });
  });

  it("has YaRN's usual parameters where the file is silent", () => {
    expect(scalingOf({ "rope.scaling.type": "yarn", "rope.scaling.factor": 16 })).toEqual({
      ...{ type: "yarn", factor: 16, originalContext: 4096, extensionFactor: 1, attentionFactor: 1 },
      ...{ betaFast: 32, betaSlow: 1 },
    });
    const told = scalingOf({
      ...{ "rope.scaling.type": "yarn", "rope.scaling.factor": 16, "rope.scaling.original_context_length": 8192 },
      ...{ "rope.scaling.yarn_ext_factor": 0.5, "rope.scaling.yarn_attn_factor": 2, "rope.scaling.attn_factor": 1.5 },
      ...{ "rope.scaling.yarn_beta_fast": 8, "rope.scaling.yarn_beta_slow": 2 },
    });
    expect(told).toEqual({
      ...{ type: "yarn", factor: 16, originalContext: 8192, extensionFactor: 0.5, attentionFactor: 3 },
      ...{ betaFast: 8, betaSlow: 2 },
    });
  });

  it("is refused when it is of another type or its factor makes no sense", () => {
    expect(() => scalingOf({ "rope.scaling.type": "longrope" })).toThrow(/made\.gguf.*longrope/);
    for (const factor of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => scalingOf({ "rope.scaling.factor": factor })).toThrow(GrokError);
    }
  });
});
