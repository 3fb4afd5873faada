import type { Metadata } from "../source.ts";
import type { Config } from "./config.ts";

/** How a configuration stretches its rotary embedding, as a GGUF file says it. */
export interface RopeDescription {
  /** Keys behind the architecture's name. */
  readonly metadata: Metadata;
  /** Llama 3's divisors of the frequencies [headSize / 2], which files carry as the tensor `rope_freqs.weight`. */
  readonly factors?: Float32Array;
}

/** @throws GrokError `unsupported` for a kind of scaling that is not none, linear, llama3 or yarn, and for what yarn may have beside. */
export function describeRope(config: Config, headSize: number, context: number, defaultBase: number): RopeDescription {
  // Since transformers 5 the base stands among the scaling's parameters.
  const parameters = config.section("rope_parameters");
  const scaling = parameters ?? config.section("rope_scaling");
  const outside = config.positive("rope_theta", defaultBase);
  const base = parameters?.positive("rope_theta", outside) ?? outside;
  const freqBase = ["rope.freq_base", { type: "f32", value: base }] as const;
  if (scaling === undefined) return { metadata: [freqBase] };
  const type = scaling.text("rope_type", scaling.text("type", "default"));
  scaling.expect("partial_rotary_factor", [1], "1");
  const described = (): RopeDescription => {
    switch (type) {
      case "default":
        return { metadata: [] };
      case "linear":
        return {
          metadata: [
            ["rope.scaling.type", { type: "string", value: "linear" }],
            ["rope.scaling.factor", { type: "f32", value: scaling.positive("factor") }],
          ],
        };
      case "llama3":
        return { metadata: [], factors: llama3Factors(scaling, headSize, base, context) };
      case "yarn":
        return { metadata: yarn(scaling, context) };
      default:
        throw scaling.fail(
          "unsupported",
          "rope_type",
          `is ${JSON.stringify(type)}, expected default, linear, llama3 or yarn`,
        );
    }
  };
  const { metadata, factors } = described();
  scaling.refuseUnread(/^(rope_type|type|rope_theta)$/);
  return { metadata: [freqBase, ...metadata], ...(factors === undefined ? {} : { factors }) };
}

/**
 * Llama 3.1: frequencies of long wavelengths are divided by a factor, those of short ones are kept, between them the share of each is
 * linear in the number of turns over the original context. As transformers' `_compute_llama3_parameters`, for each pair of a head.
 */
function llama3Factors(scaling: Config, headSize: number, base: number, context: number): Float32Array {
  const factor = scaling.positive("factor");
  const low = scaling.positive("low_freq_factor");
  const high = scaling.positive("high_freq_factor");
  const original = scaling.count("original_max_position_embeddings", 1, context);
  if (!(high > low)) throw scaling.fail("format", "high_freq_factor", `is ${high}, expected more than low_freq_factor`);
  return Float32Array.from({ length: headSize / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * base ** ((2 * i) / headSize);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const kept = (original / wavelength - low) / (high - low);
    return 1 / ((1 - kept) / factor + kept);
  });
}

function yarn(scaling: Config, context: number): Metadata {
  const factor = scaling.positive("factor");
  scaling.expect("truncate", [true], "true");
  const number = (key: string, value: number) => [`rope.scaling.${key}`, { type: "f32", value }] as const;
  // A file's factor multiplies the one that is usual for the stretch; a configuration's stands in its place.
  const usual = 1 + 0.1 * Math.log(factor);
  return [
    ["rope.scaling.type", { type: "string", value: "yarn" }],
    number("factor", factor),
    [
      "rope.scaling.original_context_length",
      { type: "u32", value: scaling.count("original_max_position_embeddings", 1, context) },
    ],
    number("yarn_attn_factor", scaling.positive("attention_factor", usual) / usual),
    number("yarn_beta_fast", scaling.positive("beta_fast", 32)),
    number("yarn_beta_slow", scaling.positive("beta_slow", 1)),
  ];
}
