import { counted, GrokError } from "../errors.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { anyKinds, type OptionKinds, readOptions, readText } from "../generate/arguments.ts";
import type { LanguageModel } from "../generate/types.ts";
import { readConfig } from "../model/config.ts";
import type { ModelConfig } from "../model/model.ts";
import { checkText, checkWhole } from "../options.ts";
import { openGradBackend } from "../train/backend.ts";
import type { Coalition } from "./coalition-pairs.ts";
import { gradientTimesInput } from "./gradient.ts";
import { type LayerSight, type Likely, observePass } from "./observed-pass.ts";
import { shapleyValues } from "./shapley.ts";
import { findToken, neutralToken, textOf } from "./tokens.ts";

export interface ExplainOptions {
  /** The next token that is to be explained: its text, spaces included, or its id. Default: the likeliest. */
  readonly target?: string | number;
  /** What a masked token is replaced by: its text or its id. Default: a space, or what stands for the unknown where there is none. */
  readonly baseline?: string | number;
  /**
   * Pairs of a masking and its opposite to sample, at least two a token. Where these are as many as there are of n tokens, 2^n maskings, all
   * are looked at and nothing is estimated. Default: 2048, or four a token; so up to 12 tokens are explained exactly.
   */
  readonly pairs?: number;
  /** Of the pairs. Default 1. */
  readonly seed?: number;
  /** Likeliest tokens that are told of each layer, 1 to 100. Default 5. */
  readonly top?: number;
  /** Read control tokens such as `<|im_start|>` in the prompt as such. Default false. */
  readonly special?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ExplainProgress) => void;
}

/** `masks`: inputs with some tokens masked. */
export interface ExplainProgress {
  readonly stage: "layers" | "gradient" | "masks";
  readonly done: number;
  readonly of: number;
}

export interface ExplainedToken {
  readonly id: number;
  readonly text: string;
  /** In nats, of log p(target): its Shapley value. 0 for the beginning-of-text token, which is never masked. */
  readonly contribution: number;
  /** Standard error of the contribution; 0 where it is exact. */
  readonly error: number;
  /** In nats; absent where the model has no gradients. */
  readonly gradient?: number;
}

export interface NamedToken {
  readonly id: number;
  readonly text: string;
}

export interface NamedLikely extends NamedToken {
  readonly probability: number;
}

export interface ExplainedLayer extends Pick<LayerSight, "attention" | "experts"> {
  readonly lens: {
    /** What would come after the last token, likeliest first, if this layer were the last. */
    readonly next: readonly NamedLikely[];
    /** Of the target there: log-probability, and how many tokens are likelier. */
    readonly target: { readonly logprob: number; readonly rank: number };
    /** The likeliest token after each token. */
    readonly each: readonly NamedLikely[];
  };
}

/** Why a model says what it says next. */
export interface Explanation {
  readonly model: Pick<ModelConfig, "architecture" | "layers" | "heads" | "experts" | "used"> & {
    readonly path: string;
    readonly name: string | undefined;
  };
  readonly tokens: readonly ExplainedToken[];
  readonly target: NamedToken & { readonly logprob: number };
  readonly shapley: {
    readonly method: "exact" | "sampled";
    /** How many were asked for; 0 where all maskings were looked at. */
    readonly pairs: number;
    readonly seed: number;
    readonly evaluations: number;
    readonly baseline: NamedToken;
    /** log p(target) of the input as it is, and with every token masked. Contributions sum to the difference. */
    readonly unmasked: number;
    readonly masked: number;
  };
  /** What has no gradient, where gradients are absent. */
  readonly noGradient?: string;
  /** Whether attention is told from every token, or, of long inputs, from the last alone. */
  readonly attentionRows: "all" | "last";
  readonly layers: readonly ExplainedLayer[];
}

const optionKinds: OptionKinds<ExplainOptions> = {
  ...anyKinds(["target", "baseline", "pairs", "seed", "top"]),
  ...{ special: "flag", signal: "signal", onProgress: "function" },
};

/** Pairs of maskings that are asked for where nobody says how many: all of 12 tokens. */
const usualPairs = 2 ** 11;

/** Most numbers of attention: of more, only what the last token attends to is told. */
const mostAttention = 2 ** 20;

/**
 * Why a model says what it says after a prompt: what each token contributes to the target's log-probability (Shapley values over masked
 * inputs, gradient times input), and what each layer attends to, would say, and chooses.
 *
 * @throws GrokError `argument`; `capacity` for a prompt that does not fit; `cancelled`; what opening the model throws.
 */
export async function explain(
  model: LanguageModel,
  prompt: string,
  options: ExplainOptions = {},
): Promise<Explanation> {
  const read = readOptions("explain", options, optionKinds);
  const { seed = 1, top = 5, special = false, signal, onProgress } = read;
  checkWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER);
  checkWhole("top", top, 1, 100);
  if (read.pairs !== undefined) checkWhole("pairs", read.pairs, 2, 1_000_000);
  const { tokenizer, info } = model;
  const tokens = model.encode(readText("explain: the prompt", prompt), { special });
  const fixed = tokens[0] === tokenizer.bos ? 1 : 0;
  const players = tokens.length - fixed;
  if (players < 1) throw new GrokError("argument", "explain: the prompt has no token to explain anything by");
  if (tokens.length >= info.contextLength) {
    const message = `explain: the prompt has ${counted(tokens.length, "token")}, and with what comes next the context has ${info.contextLength}`;
    throw new GrokError("capacity", message, { tokens: tokens.length, contextLength: info.contextLength });
  }
  if (info.adapters.length > 0) {
    throw new GrokError("unsupported", "explain: the model has adapters beside it: merge them into a file first");
  }
  const named = (id: number): NamedToken => ({ id, text: textOf(tokenizer, id) });
  const tokenFor = (option: "target" | "baseline", given: string | number) => {
    if (typeof given !== "number") checkText(option, given);
    else checkWhole(option, given, 0, info.vocab - 1);
    return typeof given === "number" ? given : findToken(tokenizer, option, given);
  };
  const baseline = read.baseline === undefined ? neutralToken(tokenizer) : tokenFor("baseline", read.baseline);
  const target =
    read.target === undefined ? await likeliestNext(model, tokens, signal) : tokenFor("target", read.target);

  const file = openGguf(model.path);
  const { ops } = openGradBackend(info.backend === "native" ? "native" : "reference", info.threads);
  let sights: readonly LayerSight[];
  let gradients: Gradients;
  const { layers, heads, experts, used } = readConfig(file);
  const rows = (layers * heads * tokens.length * (tokens.length + 1)) / 2 <= mostAttention ? "all" : "last";
  try {
    onProgress?.({ stage: "layers", done: 0, of: 1 });
    sights = await observePass(ops, file, tokens, { target, top, rows, kvType: info.kvType, signal });
    onProgress?.({ stage: "gradient", done: 0, of: 1 });
    gradients = await gradientsOf(() => gradientTimesInput(ops, file, tokens, target));
  } finally {
    ops.close();
    file.close();
  }
  const pairs = read.pairs ?? Math.max(usualPairs, 4 * players);
  const worth = async (coalitions: readonly Coalition[]) => {
    const texts = coalitions.map((coalition) => ({
      tokens: [...tokens.map((token, i) => (i < fixed || coalition[i - fixed] === 1 ? token : baseline)), target],
      from: tokens.length,
    }));
    return (await model.score(texts, signal && { signal })).map(([logprob]) => logprob!);
  };
  const found = await shapleyValues(players, worth, {
    ...{ pairs, seed },
    onProgress: (done, of) => onProgress?.({ stage: "masks", done, of }),
  });
  const nameLikely = ({ token, probability }: Likely): NamedLikely => ({ ...named(token), probability });
  return {
    model: {
      ...{ path: model.path, name: model.description.name, architecture: model.description.architecture },
      ...{ layers, heads, experts, used },
    },
    tokens: Array.from(tokens, (id, i) => ({
      ...named(id),
      ...{ contribution: found.values[i - fixed] ?? 0, error: found.errors[i - fixed] ?? 0 },
      ...(gradients.values && { gradient: gradients.values[i]! }),
    })),
    target: { ...named(target), logprob: found.all },
    shapley: {
      ...{ method: found.method, pairs: found.method === "exact" ? 0 : pairs, seed, evaluations: found.evaluations },
      ...{ baseline: named(baseline), unmasked: found.all, masked: found.none },
    },
    ...(gradients.refused !== undefined && { noGradient: gradients.refused }),
    attentionRows: rows,
    layers: sights.map(({ lens: { next, target, each }, ...rest }) => ({
      lens: { next: next.map(nameLikely), target, each: each.map(nameLikely) },
      ...rest,
    })),
  };
}

async function likeliestNext(model: LanguageModel, tokens: Int32Array, signal: AbortSignal | undefined) {
  let likeliest = 0;
  await model.score([{ tokens: [...tokens, 0], from: tokens.length }], {
    ...{ top: 1, ...(signal && { signal }) },
    onScored(_, __, [top]) {
      likeliest = top![0]!.token;
    },
  });
  return likeliest;
}

interface Gradients {
  readonly values?: Float64Array;
  /** What of the model has none. */
  readonly refused?: string;
}

async function gradientsOf(compute: () => Promise<Float64Array>): Promise<Gradients> {
  try {
    return { values: await compute() };
  } catch (error) {
    if (!(error instanceof GrokError) || error.code !== "unsupported") throw error;
    return { refused: error.message };
  }
}
