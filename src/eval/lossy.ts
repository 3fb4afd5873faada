import { median } from "../engine/consumers/bench.ts";
import type { ExpertUse } from "../engine/expert-status.ts";
import { openStandIn } from "../engine/stand-in-file.ts";
import { describeValue, GrokError } from "../errors.ts";
import { openGguf } from "../formats/gguf/file.ts";
import { loadModel } from "../generate/load.ts";
import type { LoadOptions } from "../generate/types.ts";
import { checkLossy, type Lossy } from "../memory/lossy.ts";
import { checkNames, checkWhole } from "../options.ts";
import { cutChunks } from "./chunks.ts";
import { createTally } from "./compare.ts";

export interface LossyOptions {
  /** What to measure: each of it alone, and all together. */
  readonly lossy: Lossy;
  /** Of the model, its bound of memory with them. */
  readonly load?: Omit<LoadOptions, "lossy" | "trace"> | undefined;
  /** Tokens that are read as a prompt, and those after them that are decoded one by one and scored. Default 64 and 32. */
  readonly prompt?: number | undefined;
  readonly decode?: number | undefined;
  /** Rounds, each with other tokens of the text; before each a model reads the text's first ones to fill its memory. Default 5. */
  readonly repeats?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told before each measurement. */
  readonly onTurn?: ((turn: { readonly done: number; readonly turns: number }) => void) | undefined;
}

export interface LossyResult {
  readonly prompt: number;
  readonly decode: number;
  readonly repeats: number;
  /** The model as it is first, then with each option, then with all of several. */
  readonly rows: readonly LossyRow[];
}

/** What was lost, and gained for it. */
export interface LossyRow {
  readonly lossy: Lossy;
  /** Bytes that experts may take: less where copies stand in for others. */
  readonly expertBytes: number;
  /** Medians of the rounds; `gain` is that of each round's ratio to the model as it is. */
  readonly tokensPerSecond: number;
  readonly gain: number;
  /** Bytes of experts read while decoding, for each token. */
  readonly bytesPerToken: number;
  /** Of what layers asked for, shares that were in memory, and in whose place a copy was computed. */
  readonly hits: number;
  readonly stoodIn: number;
  /** Of what tokens chose, shares that were changed to experts in memory, and left out. */
  readonly changed: number;
  readonly leftOut: number;
  /** Seconds for which layers waited, for each token. */
  readonly waited: number;
  readonly perplexity: number;
  /** Of that to the model's as it is. */
  readonly perplexityRatio: number;
  /** KL(model as it is ‖ this) of next-token distributions, in nats, with the standard error of its mean. */
  readonly divergence: { readonly mean: number; readonly error: number };
  /** Share of tokens where both find the same one likeliest. */
  readonly sameTop: number;
}

/**
 * What an answer loses by `lossy`, and gains: models with and without it decode the same tokens of a text in turn, each opened anew with the
 * same bound of memory, and their distributions are compared.
 * @throws GrokError `argument` for a model that is in memory whole, and a text that is too short; what `loadModel` throws; `cancelled`.
 */
export async function measureLossy(path: string, text: string, options: LossyOptions): Promise<LossyResult> {
  checkNames("measureLossy", options, optionNames);
  const { lossy, load = {}, prompt = 64, decode = 32, repeats = 5, signal, onTurn } = options;
  for (const [name, value] of Object.entries({ prompt, decode, repeats })) checkWhole(name, value, 1, 2 ** 24);
  if (typeof load !== "object" || load === null) {
    throw new GrokError("argument", `load is ${describeValue(load)}, expected an object`, { option: "load" });
  }
  for (const name of ["lossy", "trace"]) {
    if (name in load) throw new GrokError("argument", `load has ${name}, expected none`, { option: "load" });
  }
  checkLossy(lossy);
  checkStandIn(path, lossy);
  const variants = variantsOf(lossy);
  const sums = variants.map(() => ({ runs: [] as LossyRun[], tally: createTally() }));
  for (let round = 0; round < repeats; round++) {
    let exact: Float32Array = new Float32Array(0);
    for (const [i, variant] of variants.entries()) {
      onTurn?.({ done: round * variants.length + i, turns: repeats * variants.length });
      await using model = await loadModel(path, {
        contextLength: prompt + decode,
        ...load,
        ...(i > 0 && { lossy: variant }),
      });
      const { expertBytes } = model.info;
      if (expertBytes === undefined) {
        const message = `${path}: all of it is in memory, where nothing is lost, nor gained: allow less memory to measure what lossy does`;
        throw new GrokError("argument", message, { option: "lossy", path });
      }
      // The token after each that is decoded is known too.
      const cut = { context: prompt + decode + 1, least: repeats + 1, what: "text" };
      const chunks = cutChunks(model.encode(text), model.tokenizer, cut);
      const run = { prefill: prompt, decode, cold: true, ...(signal && { signal }) };
      await model.bench({ ...run, tokens: chunks[0]! });
      const tokens = chunks[round + 1]!;
      const {
        decodeTokensPerSecond: speed,
        decodeExperts,
        logits,
      } = await model.bench({ ...run, tokens, logits: true });
      if (i === 0) exact = logits!;
      const { used = 1, layers = 1 } = model.description.config ?? {};
      const sum = sums[i]!;
      sum.runs.push({ speed, use: decodeExperts[0]!, expertBytes, chosen: decode * used * layers });
      sum.tally.addRows(exact, logits!, tokens.subarray(prompt + 1));
    }
  }
  const rows = sums.map((sum, i): LossyRow => {
    const { runs, tally } = sum;
    const { perplexity, divergence, sameTop } = tally.result();
    const total = (of: (use: ExpertUse) => number) => runs.reduce((all, { use }) => all + of(use), 0);
    const tokens = repeats * decode;
    const asked = total((use) => use.asked);
    const chosen = runs.reduce((all, each) => all + each.chosen, 0);
    return {
      lossy: variants[i]!,
      expertBytes: runs.at(-1)!.expertBytes,
      tokensPerSecond: median(runs.map(({ speed }) => speed)),
      gain: median(runs.map(({ speed }, round) => speed / sums[0]!.runs[round]!.speed)),
      bytesPerToken: total((use) => use.bytesRead) / tokens,
      ...{ hits: total((use) => use.there) / asked, stoodIn: total((use) => use.stoodIn) / asked },
      ...{ changed: total((use) => use.changed) / chosen, leftOut: total((use) => use.leftOut) / chosen },
      waited: total((use) => use.stalled.reduce((all, each) => all + each, 0)) / 1000 / tokens,
      ...{ perplexity: perplexity.b, perplexityRatio: perplexity.ratio, sameTop },
      divergence: { mean: divergence.mean, error: divergence.error },
    };
  });
  return { prompt, decode, repeats, rows };
}

const optionNames = Object.keys({
  ...{ lossy: true, load: true, prompt: true, decode: true, repeats: true, signal: true, onTurn: true },
} satisfies Record<keyof LossyOptions, true>);

/** One run of a variant; `chosen` counts tokens' choices of experts. */
interface LossyRun {
  readonly speed: number;
  readonly use: ExpertUse;
  readonly expertBytes: number;
  readonly chosen: number;
}

/** Before minutes are spent on the model as it is. @throws GrokError as `openGguf`; `argument` for a file that cannot stand in. */
function checkStandIn(path: string, { standIn }: Lossy): void {
  if (standIn === undefined) return;
  const target = openGguf(path);
  try {
    openStandIn(standIn, target).close();
  } finally {
    target.close();
  }
}

/** The model as it is, with each option alone, and with all where there are several. */
function variantsOf(lossy: Lossy): Lossy[] {
  const each = Object.entries(lossy).flatMap(([name, value]) => (value === undefined ? [] : [{ [name]: value }]));
  if (each.length === 0)
    throw new GrokError("argument", "lossy is empty, expected something to measure", { option: "lossy" });
  return [{}, ...each, ...(each.length > 1 ? [lossy] : [])];
}
