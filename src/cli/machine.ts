import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { availableMemory, memoryLimit, processorLimit, processorQuota } from "../machine/limits.ts";

/** What this computer has, as far as the operating system says; undefined where it does not. */
export interface Machine {
  readonly system: string;
  readonly node: string;
  readonly processor: string;
  /** Logical processors that this process may use. */
  readonly processors: number;
  /** Processors that its control groups (a container's) give it time for. */
  readonly processorQuota: number | undefined;
  readonly memoryBytes: number;
  readonly availableBytes: number;
  /** What this process may use of the memory, where that is less: a container's bound, or the user's. */
  readonly memoryLimitBytes: number | undefined;
  /** always, madvise or never. */
  readonly transparentHugePages: string | undefined;
  /** Swap in use says that memory is short. */
  readonly swapUsedBytes: number | undefined;
  /** performance, powersave ...: how the processor's clock is governed. */
  readonly clockGovernor: string | undefined;
}

export function readMachine(): Machine {
  const memory = readFile("/proc/meminfo");
  const kilobytes = (name: string) => {
    const match = memory && new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(memory);
    return match ? Number(match[1]) * 1024 : undefined;
  };
  const swapTotal = kilobytes("SwapTotal");
  const swapFree = kilobytes("SwapFree");
  const [memoryBytes, limit] = [totalmem(), memoryLimit()];
  return {
    system: `${process.platform} ${release()}, ${process.arch}`,
    node: process.version,
    processor: cpus()[0]?.model.trim() ?? process.arch,
    processors: processorLimit(),
    processorQuota: processorQuota(),
    memoryBytes,
    availableBytes: availableMemory(),
    memoryLimitBytes: limit < memoryBytes ? limit : undefined,
    transparentHugePages: /\[(\w+)\]/.exec(readFile("/sys/kernel/mm/transparent_hugepage/enabled") ?? "")?.[1],
    swapUsedBytes: swapTotal !== undefined && swapFree !== undefined ? swapTotal - swapFree : undefined,
    clockGovernor: readFile("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")?.trim(),
  };
}

function readFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
