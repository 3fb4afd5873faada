import type { Command } from "commander";
import { formatBytes } from "../../errors.ts";
import type { KvType } from "../../kernels/ops.ts";
import { knownModels } from "../../plan/known-models.ts";
import type { PlanMachine } from "../../plan/machine.ts";
import type { PlanRow } from "../../plan/plan.ts";
import { type ModelPlan, planModel } from "../../plan/plan-model.ts";
import { hubPlaces } from "../hub-places.ts";
import { catchInterrupt } from "../interrupt.ts";
import { addSettings, pick } from "../settings.ts";
import { bold, createProgress, escapeLine, formatSpeed, hasColor, jsonDocument, table } from "../terminal.ts";
import { expandHome, path } from "../values.ts";

interface PlanCommandOptions {
  readonly machine?: string;
  readonly disk?: string;
  readonly threads?: number;
  readonly isa?: string;
  readonly context?: number;
  readonly kvType?: KvType;
  readonly json?: true;
}

export function addPlan(program: Command): void {
  const command = program
    .command("plan")
    .description(
      "What a model would do on this machine, or another, before it is downloaded: size, memory, speed, by quantization.",
    )
    .argument(
      "[model]",
      `${knownModels.join(", ")}; a GGUF file; its address, or OWNER/NAME/FILE.gguf on Hugging Face`,
      "grok-1",
    )
    .option(
      "--machine <file>",
      "a machine that is not here, by its description, or by the name of one in docs/machines",
      path(),
    )
    .option("--disk <folder>", "folder on the disk to measure (default: the model's, or this one)", path())
    .option("--json", "print one JSON document");
  addSettings(command, ["threads", "isa", "context", "kvType"]);
  command.action((model: string, options: PlanCommandOptions) => plan(model, options));
}

async function plan(model: string, options: PlanCommandOptions): Promise<void> {
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  const { endpoint, token } = hubPlaces(process.env);
  const found = await planModel(expandHome(model), {
    ...pick(options, ["machine", "disk", "threads", "isa", "context", "kvType"]),
    ...{ endpoint, token, signal: interrupt.signal },
    onStep: (step) => progress.show(`${step} ...`),
  }).finally(() => progress.clear());
  process.stdout.write(options.json ? `${jsonDocument(found)}\n` : render(found, options.machine === undefined));
}

function render(found: ModelPlan, here: boolean): string {
  const { model, context, kvType, machine, rows, recommended, changes, notRun } = found;
  const color = hasColor(process.stdout, process.env);
  const first = rows[0]?.estimate;
  const parts = [
    `${bold(escapeLine(model), color)} on ${escapeLine(machine.name)}\n`,
    table(machineRows(machine, here)),
    first
      ? `keys and values of ${context} tokens take ${formatBytes(first.kv)} (${kvType}), computing ${formatBytes(first.scratch)}\n\n`
      : "\n",
    table(
      [
        ["", "type", "bits", "size", "GPU", "memory", "disk", "prefill", "decode", "limited by"],
        ...rows.map((row) => cells(row, row === recommended)),
      ],
      [2, 3, 4, 5, 6, 7, 8],
    ),
    `\nprefill: tokens/s of a prompt of 512; decode: tokens/s after it; limited by: decoding\nin small letters all matrices in a type (convert --type), in capitals a mixture (quantize --type)\n`,
  ];
  if (notRun.length > 0) parts.push(`not run by this build: ${notRun.join(", ")}\n`);
  parts.push(`\nrecommended: ${recommended ? `${recommended.quantization}: ` : "none: "}${found.why}\n`);
  const best = changes[0];
  if (recommended && best) {
    const gain = best.decode / recommended.estimate.decode;
    parts.push(
      gain < 1.05 && best.prefill < 1.05 * recommended.estimate.prefill
        ? "nothing single would make it much faster\n"
        : `what would help most: ${best.what}: ${formatSpeed(best.prefill)} and ${formatSpeed(best.decode)} tokens/s\n`,
    );
  }
  return parts.join("");
}

function machineRows(machine: PlanMachine, here: boolean): string[][] {
  const { threads, isa, memoryBytes, availableBytes, memoryBandwidth, diskBandwidth, cachedDiskBandwidth, gpus } =
    machine;
  const perSecond = (bytes: number | undefined) =>
    bytes === undefined ? "not measured" : `${formatBytes(Math.round(bytes))}/s`;
  const cached = cachedDiskBandwidth === undefined ? "" : `, ${perSecond(cachedDiskBandwidth)} from the page cache`;
  return [
    ["processor", `${threads} threads, ${isa}${here ? "" : " (speed of its kernels by table)"}`],
    [
      "memory",
      `${formatBytes(memoryBytes)}, ${formatBytes(Math.round(availableBytes))} for a model, read at ${perSecond(memoryBandwidth)}`,
    ],
    ["disk", `${perSecond(diskBandwidth)}${cached}`],
    ["GPU", gpus.length === 0 ? "none found" : `${describeGpus(gpus)}: not used, grok1 computes on processors`],
  ];
}

function describeGpus(gpus: PlanMachine["gpus"]): string {
  const counts = new Map<string, number>();
  for (const gpu of gpus) counts.set(describeGpu(gpu), (counts.get(describeGpu(gpu)) ?? 0) + 1);
  return [...counts].map(([text, count]) => (count > 1 ? `${count} x ${text}` : text)).join("; ");
}

function describeGpu({ name, memoryBytes, unified }: PlanMachine["gpus"][number]): string {
  const memory = memoryBytes !== undefined ? `, ${formatBytes(memoryBytes)}` : unified ? ", shares the memory" : "";
  return `${escapeLine(name)}${memory}`;
}

function cells({ quantization, bits, estimate }: PlanRow, chosen: boolean): string[] {
  const { size, inMemory, onDisk, prefill, decode, decodeLimit } = estimate;
  return [
    ...[chosen ? "*" : "", quantization, bits.toFixed(2), formatBytes(size), "0", formatBytes(Math.round(inMemory))],
    ...[onDisk > 0 ? formatBytes(Math.round(onDisk)) : "0", formatSpeed(prefill), formatSpeed(decode), decodeLimit],
  ];
}
