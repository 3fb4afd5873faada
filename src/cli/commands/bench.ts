import { basename } from "node:path";
import type { Command } from "commander";
import { readTextFile } from "../../bytes/text-file.ts";
import type { ExpertStatus } from "../../engine/expert-status.ts";
import { leastContext } from "../../engine/options.ts";
import { counted, formatBytes, GrokError } from "../../errors.ts";
import { sampleText } from "../../eval/sample-text.ts";
import { measureSpeed, type SpeedResult } from "../../eval/speed.ts";
import type { Lossy } from "../../memory/lossy.ts";
import { usageError } from "../exit.ts";
import { catchInterrupt } from "../interrupt.ts";
import {
  addModel,
  addStreaming,
  addTrace,
  loadOptions,
  type ModelOptions,
  openModelOfIds,
  requireModel,
  warnOfModel,
  warnOfReads,
} from "../open-model.ts";
import { addSettings, engineSettings } from "../settings.ts";
import { createProgress, escapeLine, jsonDocument, table } from "../terminal.ts";
import { integer, path } from "../values.ts";

interface BenchCommandOptions extends ModelOptions {
  readonly prompt?: number;
  readonly generate: number;
  readonly repeat: number;
  readonly cold?: true;
  readonly file?: string;
  readonly json?: true;
}

const usualPrompt = 512;
const lossyPrompt = 64;

export function addBench(program: Command): void {
  const command = program
    .command("bench")
    .description("How fast a model runs here, and how near that is to what the memory allows.");
  addModel(command)
    .option(
      "-p, --prompt <n>",
      `tokens to prefill (default: ${usualPrompt}, or what fits the model's context; with --lossy ${lossyPrompt})`,
      integer(1, 2 ** 24),
    )
    .option("-n, --generate <n>", "tokens to decode after them, one by one", integer(1, 2 ** 24), 32)
    .option(
      "-r, --repeat <n>",
      "runs, after a second of them to warm up, at least one; medians are reported",
      integer(1, 1000),
      5,
    )
    .option("--cold", "no run to warm up: what has to be read first is in the figures")
    .option(
      "-f, --file <path>",
      "with --lossy, the text that what is lost is measured on (default: a short story)",
      path(),
    )
    .option("--json", "print one JSON document");
  addSettings(command, engineSettings);
  addTrace(addStreaming(command));
  command.action((_, options: BenchCommandOptions) => bench(options));
}

async function bench(options: BenchCommandOptions): Promise<void> {
  const path = requireModel(options);
  if (options.lossy !== undefined) return benchLossy(path, options, options.lossy);
  if (options.file !== undefined) throw usageError("--file has no effect without --lossy");
  using interrupt = catchInterrupt();
  const asked = options.prompt === undefined ? undefined : Math.max(leastContext, options.prompt + options.generate);
  const context = options.context ?? asked;
  const refuse = (prefill: number, most: number) => doNotFit(prefill, options.generate, most);
  await using model = await openModelOfIds(path, { ...options, ...(context !== undefined && { context }) }).catch(
    (error) => {
      // Nobody asked for this context by name.
      const { option, most } = error instanceof GrokError ? error.details : {};
      throw option === "contextLength" && options.context === undefined ? refuse(options.prompt!, Number(most)) : error;
    },
  );
  warnOfModel(model);
  const { contextLength, threads } = model.info;
  const prefill = options.prompt ?? Math.max(1, Math.min(usualPrompt, contextLength - options.generate));
  if (prefill + options.generate > contextLength) {
    throw refuse(prefill, contextLength);
  }
  const progress = createProgress(process.stderr, process.env);
  progress.show(`measuring ${counted(options.repeat, "run")} ...`);
  const result = await measureSpeed(model, {
    prefill,
    decode: options.generate,
    repeats: options.repeat,
    ...(options.cold && { cold: true }),
    // A trace is of one run and those that are reported.
    warmup: options.trace === undefined ? 1 : 0,
    signal: interrupt.signal,
  }).finally(() => progress.clear());
  await warnOfReads(model);
  if (options.json) {
    process.stdout.write(`${jsonDocument({ model: path, ...result })}\n`);
    return;
  }
  const rows = [
    ["load", `${result.loadSeconds.toFixed(3)} s`, ""],
    ["prefill", `${result.prefillTokensPerSecond.toFixed(1)} tokens/s`, `${counted(result.prefillTokens, "token")}`],
    ["decode", `${result.decodeTokensPerSecond.toFixed(1)} tokens/s`, `${counted(result.decodeTokens, "token")}`],
    ["kernels", result.isa ?? `the ${result.backend} backend`, `${counted(result.threads, "thread")}`],
    ["bytes per token", formatBytes(result.bytesPerToken), "weights read to decode one token"],
    [
      "memory",
      `${formatBytes(result.memoryBandwidth)}/s`,
      `read by ${threads} thread${threads === 1 ? "" : "s"}, in this run`,
    ],
    ["decode at", `${(100 * result.decodeFractionOfBandwidth).toFixed(0)} %`, "of what the memory allows"],
  ];
  process.stdout.write(table(result.experts ? [...rows, ...expertRows(result.experts, result)] : rows));
}

function doNotFit(prompt: number, generate: number, most: number): Error {
  return usageError(
    `--prompt ${prompt} and --generate ${generate} do not fit into a context of ${counted(most, "token")}`,
  );
}

/** Only when it is asked for. A function of its own: TypeScript leaves the address as it is where a function has `using`. */
const loadLossy = () => import("../../eval/lossy.ts");

/** What is lost beside what is gained. */
async function benchLossy(path: string, options: BenchCommandOptions, lossy: Lossy): Promise<void> {
  for (const name of ["trace", "cold"] as const) {
    if (options[name] !== undefined) throw usageError(`--${name} has no effect with --lossy`);
  }
  using interrupt = catchInterrupt();
  const { prompt = lossyPrompt, generate: decode, repeat: repeats, file, context } = options;
  if (context !== undefined && prompt + decode > context) throw doNotFit(prompt, decode, context);
  const text = file === undefined ? sampleText : readTextFile(file);
  const progress = createProgress(process.stderr, process.env);
  const { measureLossy } = await loadLossy();
  const result = await measureLossy(path, text, {
    ...{ lossy, prompt, decode, repeats, signal: interrupt.signal },
    load: loadOptions({
      ...options,
      context: context ?? Math.max(leastContext, prompt + decode),
      kvType: options.kvType ?? options.kvTypeIfFits,
    }),
    onTurn: ({ done, turns }) => progress.show(`measuring ${done + 1} of ${turns} ...`),
  })
    .catch((error) => {
      const { option, most } = error instanceof GrokError ? error.details : {};
      throw option === "contextLength" && context === undefined ? doNotFit(prompt, decode, Number(most)) : error;
    })
    .finally(() => progress.clear());
  if (options.json) {
    process.stdout.write(`${jsonDocument({ model: path, file, ...result })}\n`);
    return;
  }
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const rows = result.rows.map((row, i) => [
    lossyNames(row.lossy),
    `${row.tokensPerSecond.toFixed(2)} (${row.gain.toFixed(2)} x)`,
    formatBytes(row.bytesPerToken),
    percent(row.hits),
    ...[row.changed, row.leftOut, row.stoodIn].map((share) => (share === 0 ? "" : percent(share))),
    ...(i === 0 ? [""] : [`${row.divergence.mean.toFixed(4)} ± ${row.divergence.error.toFixed(4)}`]),
    `${row.perplexity.toFixed(3)}${i === 0 ? "" : ` (${row.perplexityRatio.toFixed(4)} x)`}`,
  ]);
  const heads = [
    "",
    "tokens/s",
    "read a token",
    "hits",
    "changed",
    "left out",
    "stood in",
    "KL divergence",
    "perplexity",
  ];
  process.stdout.write(
    `${counted(repeats, "round")} of ${counted(decode, "token")} after ${prompt}, each with and without in turn\n\n${table([heads, ...rows], [1, 2, 3, 4, 5, 6, 7, 8])}`,
  );
}

/** As options of the command are written. */
function lossyNames({ preferResident, skipSecond, standIn }: Lossy): string {
  const names = [
    ...(preferResident === undefined ? [] : [`prefer-resident=${preferResident}`]),
    ...(skipSecond === undefined ? [] : [`skip-second=${skipSecond}`]),
    ...(standIn === undefined ? [] : [`stand-in=${escapeLine(basename(standIn))}`]),
  ];
  return names.length === 0 ? "nothing lost" : names.join(" ");
}

/** What there was to do for experts that are not all in memory. */
function expertRows(experts: ExpertStatus, { decodeExperts, decodeTokens }: SpeedResult): string[][] {
  const {
    bytes,
    asked,
    there,
    coming,
    bytesRead,
    bytesReadAhead,
    ahead,
    aheadAsked,
    foretold,
    foretoldRight,
    stalled,
  } = experts;
  const tokens = Math.max(1, decodeTokens * decodeExperts.length);
  const perToken = decodeExperts.reduce((sum, { bytesRead }) => sum + bytesRead, 0) / tokens;
  const percent = (part: number, whole: number) => (whole === 0 ? "none" : `${((100 * part) / whole).toFixed(1)} %`);
  const seconds = stalled.map((milliseconds) => milliseconds / 1000);
  const slowest = seconds.indexOf(Math.max(...seconds));
  return [
    ["experts", formatBytes(bytes), "of memory for them; the rest is read as it is needed"],
    [
      "hits",
      percent(there, asked),
      `of ${asked} that layers asked for, ${percent(coming, asked)} more on their way; in all runs and the one to warm up`,
    ],
    ["read", formatBytes(bytesRead), `${formatBytes(bytesReadAhead)} of them ahead`],
    ["read a token", formatBytes(perToken), "while decoding, in the runs that are reported"],
    [
      "foretold",
      percent(foretoldRight, foretold),
      `of what layers asked for; of ${ahead} read ahead ${percent(aheadAsked, ahead)} were used`,
    ],
    [
      "waited",
      `${seconds.reduce((sum, each) => sum + each, 0).toFixed(2)} s`,
      seconds.length === 0 ? "" : `most in layer ${slowest}, ${seconds[slowest]!.toFixed(2)} s`,
    ],
  ];
}
