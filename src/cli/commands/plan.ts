import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { openBackend } from "../../engine/backend.ts";
import { defaultContextLimit } from "../../engine/options.ts";
import { GrokError } from "../../errors.ts";
import { type GgufFile, openGguf } from "../../formats/gguf/file.ts";
import { webDefaults } from "../../hub/request.ts";
import type { KvType } from "../../kernels/ops.ts";
import { coreLimit } from "../../machine/limits.ts";
import type { Kernels } from "../../plan/estimate.ts";
import { tabledKernels } from "../../plan/kernel-rates.ts";
import { knownModels, knownShape } from "../../plan/known-models.ts";
import { measureMachine, type PlanMachine, readMachine } from "../../plan/machine.ts";
import { measureKernels } from "../../plan/measured-kernels.ts";
import { type ModelShape, shapeOf } from "../../plan/model-shape.ts";
import { type Plan, type PlanRow, planFor } from "../../plan/plan.ts";
import { openRemoteGguf } from "../../plan/remote.ts";
import { usageError } from "../exit.ts";
import { hubPlaces } from "../hub-places.ts";
import { catchInterrupt } from "../interrupt.ts";
import { addSettings } from "../settings.ts";
import { bold, createProgress, escapeLine, formatBytes, hasColor, jsonDocument, table } from "../terminal.ts";
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

const ownMachines = fileURLToPath(new URL("../../../docs/machines/", import.meta.url));

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
  try {
    progress.show("reading the model's header ...");
    const { shape, file } = await findModel(model, interrupt.signal);
    const context = Math.min(options.context ?? defaultContextLimit, shape.config.contextLength);
    const kvType = options.kvType ?? "f16";
    const here = options.machine === undefined;
    progress.show("measuring this machine ...");
    const { machine, kernels, close } = here
      ? await measureHere(shape, file, options, interrupt.signal)
      : describedMachine(options.machine!);
    try {
      const onRow = (quantization: string) => progress.show(`estimating ${quantization} ...`);
      const result = await planFor(shape, file !== undefined, machine, kernels, { context, kvType, onRow });
      progress.clear();
      const about = { model: shape.name, context, kvType, machine };
      const text = options.json ? `${jsonDocument({ ...about, ...result })}\n` : render(about, result, here);
      process.stdout.write(text);
    } finally {
      close();
      file?.close();
    }
  } finally {
    progress.clear();
  }
}

async function findModel(model: string, signal: AbortSignal): Promise<{ shape: ModelShape; file?: GgufFile }> {
  const local = expandHome(model);
  const known = existsSync(local) ? undefined : knownShape(model);
  if (known) return { shape: known };
  const places = hubPlaces(process.env);
  const [, owner, name, rest] = /^([\w.-]+)\/([\w.-]+)\/(.+\.gguf)$/.exec(model) ?? [];
  const address = /^https?:\/\//.test(model)
    ? model.replace(/(\/[^/]+\/[^/]+)\/blob\//, "$1/resolve/")
    : owner !== undefined && !existsSync(local)
      ? `${places.endpoint.replace(/\/+$/, "")}/${owner}/${name}/resolve/main/${rest}`
      : undefined;
  if (address === undefined && !existsSync(local)) {
    const message = `${model}: neither a file, nor an address, nor a model known by name: ${knownModels.join(", ")}`;
    throw new GrokError("argument", message, { model });
  }
  const web = { ...webDefaults, endpoint: places.endpoint, token: places.token, signal };
  const file = address === undefined ? openGguf(local) : await openRemoteGguf(web, address);
  return { shape: shapeOf(file, model), file };
}

interface Planned {
  readonly machine: PlanMachine;
  readonly kernels: Kernels;
  readonly close: () => void;
}

async function measureHere(
  shape: ModelShape,
  file: GgufFile | undefined,
  options: PlanCommandOptions,
  signal: AbortSignal,
): Promise<Planned> {
  const { isa, threads = coreLimit() } = options;
  const backend = await openBackend({ backend: "native", threads, ...(isa !== undefined && { isa }) });
  const local = file && existsSync(file.path) ? file : undefined;
  const disk = options.disk ?? (local ? dirname(local.path) : ".");
  const machine = await measureMachine(backend.ops.threads, backend.isa ?? backend.ops.backend, disk);
  // Parts of a split model lie as the first one does.
  const weights = local && [...local.tensors.values()][0]?.places[0];
  const kernels = measureKernels(backend.ops, {
    ...{ modelBytes: shape.bytes, signal },
    file: weights && "file" in weights ? weights.file : undefined,
  });
  return { machine, kernels, close: kernels.close };
}

function describedMachine(name: string): Planned {
  const own = readdirSync(ownMachines).filter((file) => file.endsWith(".json"));
  const isName = !existsSync(name) && /^[\w-]+$/.test(name);
  if (isName && !own.includes(`${name}.json`)) {
    const known = own.map((file) => file.slice(0, -".json".length)).sort();
    throw usageError(`--machine ${name}: neither a file nor a machine known by name: ${known.join(", ")}`);
  }
  const machine = readMachine(isName ? join(ownMachines, `${name}.json`) : name);
  return { machine, kernels: tabledKernels(machine), close: () => undefined };
}

interface About {
  readonly model: string;
  readonly context: number;
  readonly kvType: string;
  readonly machine: PlanMachine;
}

function render({ model, context, kvType, machine }: About, found: Plan, here: boolean): string {
  const color = hasColor(process.stdout, process.env);
  const { rows, recommended, changes, notRun } = found;
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
    `\nprefill: tokens/s of a prompt of 512; decode: tokens/s after it; limited by: decoding\n`,
  ];
  if (notRun.length > 0) parts.push(`not run by this build: ${notRun.join(", ")}\n`);
  parts.push(`\nrecommended: ${recommended ? `${recommended.quantization}: ` : "none: "}${found.why}\n`);
  const best = changes[0];
  if (recommended && best) {
    const gain = best.decode / recommended.estimate.decode;
    parts.push(
      gain < 1.05 && best.prefill < 1.05 * recommended.estimate.prefill
        ? "nothing single would make it much faster\n"
        : `what would help most: ${best.what}: ${speed(best.prefill)} and ${speed(best.decode)} tokens/s\n`,
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
    ...[onDisk > 0 ? formatBytes(Math.round(onDisk)) : "0", speed(prefill), speed(decode), decodeLimit],
  ];
}

function speed(tokens: number): string {
  if (!Number.isFinite(tokens)) return "?";
  return tokens >= 100 ? String(Math.round(tokens)) : tokens.toPrecision(2);
}
