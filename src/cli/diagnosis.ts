import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AddonMachine, AddonState } from "../addon.ts";
import type { Machine } from "./machine.ts";
import { formatBytes } from "./terminal.ts";

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
  /** What would help, most important first. */
  readonly advice: readonly string[];
}

/** The compiled addon: what it was built with and what it chose, or why it is not there. */
export type AddonReport =
  | { readonly present: false; readonly reason: string }
  | ({
      readonly present: true;
      /** The compiler and its version; undefined for one that was built elsewhere. */
      readonly compiler: string | undefined;
    } & Pick<AddonMachine, "features" | "isas" | "best" | "l1d" | "l2" | "l3">);

/** The addon's build leaves these two files in its folder. */
const buildFolder = fileURLToPath(new URL("../../build", import.meta.url));

export function reportAddon(state: AddonState): AddonReport {
  if (state.addon === undefined) {
    return { present: false, reason: readOptional("why-not.txt")?.trim() || state.reason };
  }
  const { features, isas, best, l1d, l2, l3 } = state.addon.machine();
  return { present: true, compiler: readCompiler(), features, isas, best, l1d, l2, l3 };
}

function readCompiler(): string | undefined {
  try {
    const { version } = JSON.parse(readOptional("build-info.json") ?? "{}") as { version?: unknown };
    return typeof version === "string" ? version : undefined;
  } catch {
    return undefined;
  }
}

function readOptional(name: string): string | undefined {
  try {
    return readFileSync(join(buildFolder, name), "utf8");
  } catch {
    return undefined;
  }
}

const compilers: Partial<Record<NodeJS.Platform, string>> = {
  linux: "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora) or the like",
  darwin: "xcode-select --install",
  win32: "the Build Tools for Visual Studio, with C++ and, among their components, C++ Clang tools: clang-cl",
};

/** What would make this computer run models faster or more safely. */
export function advise(machine: Machine, addon: AddonReport): string[] {
  const advice: string[] = [];
  if (!addon.present) {
    const compiler = compilers[process.platform] ?? "a C++ compiler";
    advice.push(
      `Without the compiled addon everything runs on the plain TypeScript backend, a hundred times slower or more. Install a C++20 compiler (${compiler}), GCC 11, Clang 14 or newer, then run: npm rebuild grok1 (in a clone: npm run build).`,
    );
  } else if (addon.best === "scalar") {
    advice.push("The processor has none of the instruction sets that kernels are written for (AVX2, AVX-512, NEON).");
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
