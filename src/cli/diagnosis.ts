import { formatBytes } from "../errors.ts";
import type { AddonReport } from "./addon-report.ts";
import type { Machine } from "./machine.ts";

/** What `grok1 doctor` found out. */
export interface Diagnosis extends Machine {
  readonly grok1: string;
  /** Threads that compute, unless told otherwise. */
  readonly threads: number;
  readonly addon: AddonReport;
  /** The model that is used when none is named, and what is free on its disk or, without one, in this folder. */
  readonly model: string | undefined;
  readonly freeDiskBytes: number | undefined;
  readonly configFile: string;
  readonly configFound: boolean;
  /** Why other commands refuse the config file. */
  readonly configProblem: string | undefined;
  /** Why the model does not run. */
  readonly modelProblem: string | undefined;
  /** What would help, most important first. */
  readonly advice: readonly string[];
}

/** What would make this computer run models faster or more safely. */
export function advise(machine: Machine, addon: AddonReport): string[] {
  const advice: string[] = [];
  if (!addon.present) {
    advice.push(`Without the compiled addon everything runs a hundred times slower or more. ${addon.remedy}`);
  } else if (addon.best === "scalar") {
    advice.push("The processor has none of the instruction sets that kernels are written for (AVX2, AVX-512, NEON).");
  } else if (addon.missing.length > 0) {
    advice.push(
      `The addon has no kernels for ${addon.missing.join(", ")}: a newer compiler than ${addon.compiler} knows them.`,
    );
  }
  if (machine.transparentHugePages === "never") {
    advice.push(
      "Transparent huge pages are off. As root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled helps decoding a little.",
    );
  }
  if (machine.clockGovernor === "powersave") {
    advice.push("The processor's clock is governed for saving power: with the performance governor it is faster.");
  }
  const memory = Math.min(machine.availableBytes, machine.memoryLimitBytes ?? Number.POSITIVE_INFINITY);
  if ((machine.swapUsedBytes ?? 0) > machine.memoryBytes / 20) {
    advice.push("Swap space is in use: other programs take memory that a model's file would be kept in.");
  }
  if (memory < machine.memoryBytes / 2) {
    advice.push(
      `${formatBytes(memory)} of ${formatBytes(machine.memoryBytes)} are available: a model whose file is larger is read from disk again and again.`,
    );
  }
  return advice;
}
