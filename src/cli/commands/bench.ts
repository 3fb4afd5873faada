import type { Command } from "commander";
import type { ExpertStatus } from "../../engine/engine.ts";
import { counted, formatBytes, GrokError } from "../../errors.ts";
import { measureSpeed } from "../../eval/speed.ts";
import { usageError } from "../exit.ts";
import { catchInterrupt } from "../interrupt.ts";
import {
  addModel,
  addStreaming,
  addTrace,
  type ModelOptions,
  openModelOfIds,
  requireModel,
  warnOfModel,
  warnOfReads,
} from "../open-model.ts";
import { addSettings, engineSettings } from "../settings.ts";
import { createProgress, jsonDocument, table } from "../terminal.ts";
import { integer } from "../values.ts";

interface BenchCommandOptions extends ModelOptions {
  readonly prompt?: number;
  readonly generate: number;
  readonly repeat: number;
  readonly cold?: true;
  readonly json?: true;
}

const usualPrompt = 512;

export function addBench(program: Command): void {
  const command = program
    .command("bench")
    .description("How fast a model runs here, and how near that is to what the memory allows.");
  addModel(command)
    .option(
      "-p, --prompt <n>",
      `tokens to prefill (default: ${usualPrompt}, or what fits the model's context)`,
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
    .option("--json", "print one JSON document");
  addSettings(command, engineSettings);
  addTrace(addStreaming(command));
  command.action((_, options: BenchCommandOptions) => bench(options));
}

async function bench(options: BenchCommandOptions): Promise<void> {
  const path = requireModel(options);
  using interrupt = catchInterrupt();
  const asked = options.prompt === undefined ? undefined : Math.max(8, options.prompt + options.generate);
  const context = options.context ?? asked;
  const refuse = (prefill: number, most: number) =>
    usageError(
      `--prompt ${prefill} and --generate ${options.generate} do not fit into a context of ${counted(most, "token")}`,
    );
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
  process.stdout.write(table(result.experts ? [...rows, ...expertRows(result.experts)] : rows));
}

/** What there was to do for experts that are not all in memory. */
function expertRows(experts: ExpertStatus): string[][] {
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
  const percent = (part: number, whole: number) => (whole === 0 ? "none" : `${((100 * part) / whole).toFixed(1)} %`);
  const seconds = stalled.map((milliseconds) => (milliseconds ?? 0) / 1000);
  const slowest = seconds.indexOf(Math.max(...seconds));
  return [
    ["experts", formatBytes(bytes), "of memory for them; the rest is read as it is needed"],
    [
      "hits",
      percent(there, asked),
      `of ${asked} that layers asked for, ${percent(coming, asked)} more on their way; in all runs and the one to warm up`,
    ],
    ["read", formatBytes(bytesRead), `${formatBytes(bytesReadAhead)} of them ahead`],
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
