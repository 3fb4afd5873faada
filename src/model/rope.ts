import { GrokError } from "../errors.ts";
import type { Rope } from "../kernels/ops.ts";
import type { Settings } from "./config.ts";

/** How a model's rotary embedding is stretched past the context it was trained on. */
export type RopeScaling =
  | { readonly type: "none" }
  /** Positions divided by `factor`. Chen et al., Position Interpolation (2023). */
  | { readonly type: "linear"; readonly factor: number }
  /** YaRN: interpolates slow pairs, leaves fast ones, blends between. Peng et al. (2023); as ggml computes it. */
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly originalContext: number;
      readonly extensionFactor: number;
      readonly attentionFactor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
    };

export interface RopeOptions {
  readonly headSize: number;
  /** Rotated dimensions of a head, an even number up to headSize. */
  readonly dims: number;
  readonly pairing: Rope["pairing"];
  readonly base: number;
  readonly scaling: RopeScaling;
  /** [dims / 2] divisors of the frequencies: how Llama 3 files carry their scaling (`rope_freqs.weight`). */
  readonly factors?: ArrayLike<number>;
  /** The file, for messages. */
  readonly source?: string;
}

/** Frequencies and magnitude of a rotary embedding: pair i turns by base^(-2i/dims) a position, before scaling. */
export function createRope(options: RopeOptions): Rope {
  const { headSize, dims, pairing, base, scaling, factors, source = "a model" } = options;
  if (!(dims >= 2 && dims <= headSize && dims % 2 === 0)) {
    throw new GrokError("format", `${source}: rotary embedding over ${dims} dimensions in heads of ${headSize}`, {
      dims,
      headSize,
    });
  }
  const frequencies = new Float64Array(dims / 2);
  for (let i = 0; i < frequencies.length; i++) frequencies[i] = base ** ((-2 * i) / dims) / (factors?.[i] ?? 1);
  let magnitude = 1;
  if (scaling.type === "linear") {
    for (let i = 0; i < frequencies.length; i++) frequencies[i]! /= scaling.factor;
  } else if (scaling.type === "yarn") {
    const { factor, originalContext, extensionFactor, attentionFactor, betaFast, betaSlow } = scaling;
    // The pair that makes `turns` full turns over the original context.
    const pairOf = (turns: number) => (dims * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(base));
    const low = Math.max(0, Math.floor(pairOf(betaFast)));
    const high = Math.min(dims - 1, Math.ceil(pairOf(betaSlow)));
    for (let i = 0; i < frequencies.length; i++) {
      const ramp = Math.min(1, Math.max(0, (i - low) / Math.max(0.001, high - low)));
      const keep = (1 - ramp) * extensionFactor;
      frequencies[i] = (frequencies[i]! / factor) * (1 - keep) + frequencies[i]! * keep;
    }
    magnitude = attentionFactor * (extensionFactor !== 0 ? 1 + 0.1 * Math.log(factor) : 1);
  }
  if (!(Number.isFinite(magnitude) && frequencies.every(Number.isFinite))) {
    throw new GrokError("format", `${source}: rotary embedding of base ${base}, scaled, has no finite frequencies`, {
      ...{ source, base, magnitude },
    });
  }
  return { headSize, pairing, frequencies, magnitude };
}

/**
 * The scaling that a file's `rope.scaling.*` metadata ask for, with the field's defaults; `rope.scale_linear` is the older
 * name of a linear factor.
 * @throws GrokError `unsupported` for another kind of scaling, `format` for a factor that is not positive.
 */
export function readRopeScaling(settings: Settings, source: string, contextLength: number): RopeScaling {
  // Some files have 0 for no scaling.
  const factorOf = (key: string, fallback: number) => settings.number(`rope.scaling.${key}`, "from 0", fallback);
  const factor = factorOf("factor", settings.number("rope.scale_linear", "from 0", 1)) || 1;
  const type = settings.string("rope.scaling.type", "linear");
  if (type === "none" || (type === "linear" && factor === 1)) return { type: "none" };
  if (type === "linear") return { type, factor };
  if (type !== "yarn") {
    throw new GrokError("unsupported", `${source}: rotary scaling of type ${type}, expected none, linear or yarn`, {
      source,
      type,
    });
  }
  return {
    type,
    factor,
    originalContext: settings.count(
      "rope.scaling.original_context_length",
      { least: 1, most: 2 ** 31 - 1 },
      contextLength,
    ),
    extensionFactor: factorOf("yarn_ext_factor", 1),
    attentionFactor: factorOf("yarn_attn_factor", 1) * factorOf("attn_factor", 1),
    betaFast: settings.number("rope.scaling.yarn_beta_fast", "above 0", 32),
    betaSlow: settings.number("rope.scaling.yarn_beta_slow", "above 0", 1),
  };
}
