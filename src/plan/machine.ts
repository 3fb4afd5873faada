import { cpus, totalmem } from "node:os";
import { readJsonObject } from "../bytes/whole-file.ts";
import { GrokError, shown } from "../errors.ts";
import { measureBandwidth } from "../eval/bandwidth.ts";
import { availableMemory } from "../machine/limits.ts";
import { measureDisk } from "./disk.ts";
import { findGpus, type Gpu } from "./gpus.ts";

/** A machine to plan for: this one, measured, or another, as a file describes it. */
export interface PlanMachine {
  readonly name: string;
  /** That compute: physical cores. */
  readonly threads: number;
  /** Instruction set of the kernels. */
  readonly isa: string;
  readonly memoryBytes: number;
  /** What a model may take of it. */
  readonly availableBytes: number;
  /** Bytes a second that all threads read. */
  readonly memoryBandwidth: number;
  /** Bytes a second from the disk that models lie on, past the page cache, and from the page cache. */
  readonly diskBandwidth: number | undefined;
  readonly cachedDiskBandwidth: number | undefined;
  readonly gpus: readonly Gpu[];
}

/** What the system and other programs keep for themselves. */
const reservedBytes = 1.5e9;
const reservedShare = 0.04;

/** Measures this machine: some seconds. `folder` is on the disk that models lie on. */
export async function measureMachine(threads: number, isa: string, folder: string): Promise<PlanMachine> {
  const [gpus, disk] = [await findGpus(), await measureDisk(folder)];
  return {
    ...{ name: cpus()[0]?.model.trim() || process.arch, threads, isa, memoryBytes: totalmem() },
    availableBytes: availableMemory(),
    memoryBandwidth: measureBandwidth(threads),
    ...{ diskBandwidth: disk.direct, cachedDiskBandwidth: disk.cached, gpus },
  };
}

const fields = ["name", "cores", "isa", "memoryGB", "memoryGBs", "diskGBs", "gpus"];
const kernelSets = ["avx2", "avx512", "avx512vbmi", "neon"];

/**
 * Reads a machine's description: `{"name", "cores", "isa", "memoryGB", "memoryGBs", "diskGBs", "gpus": [{"name", "memoryGB", "unified"}]}`,
 * in powers of 1000 as data sheets have them.
 * @throws GrokError `io`, `format` naming the field.
 */
export function readMachine(path: string): PlanMachine {
  const content = readJsonObject(path, 2 ** 20);
  const fail = (field: string, value: unknown, expected: string): never => {
    throw new GrokError("format", `${path}: ${field} is ${shown(value)}, expected ${expected}`, { path, field });
  };
  const text = (field: string, value: unknown) =>
    typeof value === "string" && value ? value : fail(field, value, "a text");
  const positive = (field: string, value: unknown) =>
    typeof value === "number" && value > 0 && value < 1e9 ? value : fail(field, value, "a number above 0");
  for (const key of Object.keys(content))
    if (!fields.includes(key)) fail(key, content[key], `one of ${fields.join(", ")}`);
  const { name, cores, isa, memoryGB, memoryGBs, diskGBs, gpus = [] } = content;
  if (!Array.isArray(gpus)) fail("gpus", gpus, "a list");
  if (!Number.isInteger(cores)) fail("cores", cores, "a whole number");
  if (!kernelSets.includes(isa as string)) fail("isa", isa, kernelSets.join(", "));
  const memoryBytes = 1e9 * positive("memoryGB", memoryGB);
  return {
    ...{ name: text("name", name), threads: positive("cores", cores), isa: isa as string, memoryBytes },
    availableBytes: Math.max(0, memoryBytes - Math.max(reservedBytes, reservedShare * memoryBytes)),
    memoryBandwidth: 1e9 * positive("memoryGBs", memoryGBs),
    diskBandwidth: 1e9 * positive("diskGBs", diskGBs),
    cachedDiskBandwidth: undefined,
    gpus: (gpus as Record<string, unknown>[]).map((gpu, i) => ({
      name: text(`gpus[${i}].name`, gpu?.name),
      memoryBytes: gpu.memoryGB === undefined ? undefined : 1e9 * positive(`gpus[${i}].memoryGB`, gpu.memoryGB),
      ...{ unified: gpu.unified === true, interface: "described" },
    })),
  };
}
