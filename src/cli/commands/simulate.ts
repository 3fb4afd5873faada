import { type Command, Option } from "commander";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { checkDestination } from "../../bytes/destination.ts";
import { readTextFile } from "../../bytes/text-file.ts";
import { formatBytes, GrokError } from "../../errors.ts";
import { renderTraceChart } from "../../memory/chart.ts";
import { keepPolicies } from "../../memory/expert-cache.ts";
import { type SimulatedMachine, type SimulatedRun, simulate } from "../../memory/simulate.ts";
import { parseTrace, type RoutingTrace } from "../../memory/trace.ts";
import { usageError } from "../exit.ts";
import { formatSpeed, jsonDocument, table } from "../terminal.ts";
import { integer, path, type Reader, rate, size } from "../values.ts";

interface SimulateOptions {
  readonly experts?: readonly number[];
  readonly drive: readonly number[];
  readonly bandwidth: number;
  readonly skip?: number;
  readonly ahead: boolean;
  readonly svg?: string;
  readonly json?: true;
}

const policies: readonly SimulatedMachine["policy"][] = [...keepPolicies, "optimum"];

/** Several with commas between them. */
const several = (read: Reader<number>) => (text: string) => text.split(",").map(read);

export function addSimulate(program: Command): void {
  program
    .command("simulate")
    .description("What keeping experts in memory would gain, by a recorded trace: for any memory, drive and policy.")
    .argument("<trace>", "a file that --trace wrote", path())
    .addOption(
      new Option(
        "--experts <sizes>",
        "memory for experts, such as 32GB,64GB (default: from a tenth of them to all)",
      ).argParser(several(size())),
    )
    .addOption(
      new Option("--drive <rates>", "bytes a second of the drive, such as 3GB,7GB")
        .argParser(several(rate()))
        .default([3e9], "3 GB"),
    )
    .addOption(
      new Option("--bandwidth <rate>", "bytes a second at which weights in memory are computed with")
        .argParser(rate())
        .default(50e9, "50 GB"),
    )
    .option("--skip <n>", "passes at the beginning that only fill memory (default: a tenth)", integer(0))
    .option("--no-ahead", "read nothing before a layer asks for it")
    .option(
      "--svg <file>",
      "draw a chart too: hits by memory for each policy, and how often each expert is asked for",
      path(),
    )
    .option("--json", "print one JSON document")
    .action(run);
}

interface Row extends SimulatedRun {
  readonly experts: number;
  readonly drive: number;
  readonly policy: SimulatedMachine["policy"];
}

async function run(file: string, options: SimulateOptions): Promise<void> {
  if (options.svg !== undefined) checkDestination(options.svg, [file], "the trace");
  const trace = parseTrace(readTextFile(file), file);
  if (trace.passes.length === 0) {
    throw new GrokError("format", `${file}: has no pass: nothing was computed while it was recorded`, { path: file });
  }
  const { drive: drives, bandwidth, ahead, skip = Math.floor(trace.passes.length / 10) } = options;
  if (skip >= trace.passes.length) {
    throw usageError(`--skip ${skip} leaves nothing of a trace of ${trace.passes.length} passes`);
  }
  const all = trace.expertBytes.reduce((sum, bytes) => sum + bytes, 0) * trace.experts;
  const memories = options.experts ?? [0.1, 0.25, 0.5, 0.75, 1].map((share) => Math.ceil(share * all));
  const rows: Row[] = memories.flatMap((experts) =>
    drives.flatMap((drive) =>
      policies.map((policy) => {
        const machine = { bytes: experts, driveBandwidth: drive, memoryBandwidth: bandwidth, policy, ahead };
        return { experts, drive, policy, ...simulate(trace, machine, skip) };
      }),
    ),
  );
  if (options.svg !== undefined) await writeAtomic(options.svg, [Buffer.from(renderTraceChart(trace, skip))]);
  process.stdout.write(
    options.json
      ? `${jsonDocument({ trace: file, model: trace.model, bandwidth, skip, ahead, runs: rows })}\n`
      : render(trace, rows, skip),
  );
}

function render(trace: RoutingTrace, rows: readonly Row[], skip: number): string {
  const { model, layers, experts, expertBytes, passes } = trace;
  const apart = rows.some(({ answers }) => answers !== undefined);
  const all = expertBytes.reduce((sum, bytes) => sum + bytes, 0) * experts;
  const head = `${model}: ${layers} layers of ${experts} experts, ${formatBytes(all)}; ${passes.length - skip} of ${passes.length} passes\n\n`;
  const body = rows.flatMap(({ experts, drive, policy, prompts, answers, ...whole }) =>
    Object.entries(prompts && answers ? { prompts, answers } : { all: whole }).map(([what, some]) => [
      ...[formatBytes(experts), `${formatBytes(drive)}/s`, policy, ...(apart ? [what] : [])],
      `${(100 * some.hitRate).toFixed(1)} %`,
      `${(100 * some.comingRate).toFixed(1)} %`,
      formatBytes(some.bytesRead),
      formatBytes(some.bytesWasted),
      `${some.seconds === 0 ? 0 : ((100 * some.stalledSeconds) / some.seconds).toFixed(0)} %`,
      formatSpeed(some.tokensPerSecond),
    ]),
  );
  const numbers = ["hits", "coming", "read", "in vain", "waiting", "tokens/s"];
  const names = ["memory", "drive", "policy", ...(apart ? ["passes"] : []), ...numbers];
  const foot = passes.slice(skip).some(({ tokens }) => tokens > 1)
    ? "\ntokens/s: a pass of several tokens is as fast as one of a single token that reads as much\n"
    : "";
  const right = names.flatMap((name, i) => (name === "policy" || name === "passes" ? [] : [i]));
  return head + table([names, ...body], right) + foot;
}
