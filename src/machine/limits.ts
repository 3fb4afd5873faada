import { readdirSync } from "node:fs";
import { availableParallelism, freemem, totalmem } from "node:os";
import { join } from "node:path";
import { controlGroups, readSystemFile } from "./control-groups.ts";

/** Everything that plans threads or memory asks here: what this process may use, which is less than the machine in a container. */

/** Where the system's files are, and what Node says of it. Tests show other machines. */
export interface System {
  readonly root: string;
  /** Logical processors that the process may run on: its affinity, a cpuset's with it. */
  readonly processors: number;
  readonly memoryBytes: number;
  readonly freeBytes: number;
}

const thisSystem = (): System => ({
  root: "/",
  processors: availableParallelism(),
  memoryBytes: totalmem(),
  freeBytes: freemem(),
});

/**
 * Logical processors that the process has for itself: those that it may run on, or as many as the least quota of processor time of its
 * control groups pays for, rounded down. Threads that compute together wait for each other: of one more than the quota
 * pays for, all stand still for the rest of each period (100 ms). Never less than 1.
 */
export function processorLimit(system = thisSystem()): number {
  return Math.max(1, Math.min(system.processors, Math.floor(processorQuota(system) ?? Number.POSITIVE_INFINITY)));
}

/** Processors that the control groups' quota of time amounts to (1.5: 150 ms in 100 ms); undefined without one. */
export function processorQuota({ root } = thisSystem()): number | undefined {
  return least(
    controlGroups("cpu", root).map((group) => {
      const [quota, period] = readSystemFile(join(group, "cpu.max"))?.trim().split(/\s+/) ?? [
        readSystemFile(join(group, "cpu.cfs_quota_us")),
        readSystemFile(join(group, "cpu.cfs_period_us")),
      ];
      return Number(quota) / Number(period);
    }),
  );
}

/**
 * Physical cores that the process may use, at most {@link processorLimit}. Arithmetic fills a core's units: a second thread on the
 * same core only gets in its way. Where the system does not tell siblings apart (only Linux does, here), every processor counts.
 */
export function coreLimit(system = thisSystem()): number {
  return Math.min(processorLimit(system), physicalCores(system.root) ?? Number.POSITIVE_INFINITY);
}

function physicalCores(root: string): number | undefined {
  const folder = join(root, "sys/devices/system/cpu");
  const status = readSystemFile(join(root, "proc/self/status")) ?? "";
  const list = /^Cpus_allowed_list:\s*([\d,-]+)$/m.exec(status)?.[1];
  const allowed = list === undefined ? undefined : parseList(list);
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return undefined;
  }
  const siblings = names
    .filter((name) => /^cpu\d+$/.test(name) && (allowed?.has(Number(name.slice(3))) ?? true))
    .map((name) => readSystemFile(join(folder, name, "topology/thread_siblings_list")));
  return siblings.includes(undefined) ? undefined : new Set(siblings).size || undefined;
}

/** "0-2,8" as {0, 1, 2, 8}. */
function parseList(text: string): Set<number> {
  return new Set(
    text.split(",").flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    }),
  );
}

/**
 * Bytes of memory that the process may use: the machine's, or the least of its control groups' limits (`memory.high` too, past which a
 * process is slowed until it stands) and of its resource limits (ulimit -d, -v).
 */
export function memoryLimit(system = thisSystem()): number {
  return Math.min(
    system.memoryBytes,
    groupMemory(system.root) ?? Number.POSITIVE_INFINITY,
    resourceLimit(system.root) ?? Number.POSITIVE_INFINITY,
  );
}

function groupMemory(root: string): number | undefined {
  return least(
    controlGroups("memory", root).flatMap((group) => [
      ...["memory.max", "memory.high", "memory.limit_in_bytes"].map((name) => toNumber(join(group, name))),
      // Version 1 tells what groups above allow, also those that a container does not see.
      statistic(group, "hierarchical_memory_limit"),
    ]),
  );
}

function resourceLimit(root: string): number | undefined {
  const limits = readSystemFile(join(root, "proc/self/limits")) ?? "";
  return least(
    ["data size", "address space"].map((name) => Number(new RegExp(`^Max ${name}\\s+(\\d+)`, "m").exec(limits)?.[1])),
  );
}

/** Bytes that can be taken without others' giving way: on the machine, and in each control group with a limit. */
export function availableMemory(system = thisSystem()): number {
  return watchAvailableMemory(system)();
}

/** Control groups with a limit, for who reads them without us: a line for each, of usage, statistics and limit, with tabs between them. */
export function memoryGroups({ root } = thisSystem()): string {
  const lines = controlGroups("memory", root).flatMap((group) => {
    const limit = least(["memory.max", "memory.limit_in_bytes"].map((name) => toNumber(join(group, name))));
    const usage = ["memory.current", "memory.usage_in_bytes"]
      .map((name) => join(group, name))
      .find((path) => readSystemFile(path) !== undefined);
    return limit === undefined || usage === undefined ? [] : [`${usage}\t${join(group, "memory.stat")}\t${limit}\n`];
  });
  return lines.join("");
}

/** The same for who asks often: where the system tells is found once. */
export function watchAvailableMemory(system = thisSystem()): () => number {
  const { root } = system;
  const most = memoryLimit(system);
  const groups = controlGroups("memory", root).flatMap((group) => {
    const limit = least(
      ["memory.max", "memory.high", "memory.limit_in_bytes"].map((name) => toNumber(join(group, name))),
    );
    return limit === undefined ? [] : [{ group, limit }];
  });
  const meminfo = join(root, "proc/meminfo");
  return () => {
    const kilobytes = Number(/^MemAvailable:\s+(\d+) kB/m.exec(readSystemFile(meminfo) ?? "")?.[1]);
    const inGroups = groups.map(({ group, limit }) => {
      const used = least(["memory.current", "memory.usage_in_bytes"].map((name) => toNumber(join(group, name))));
      if (used === undefined) return Number.NaN;
      // Pages of files count as used, and give way: version 1 counts a group's alone, and with those below it under total_.
      const files = ["inactive_file", "active_file"].map(
        (name) => statistic(group, `total_${name}`) || statistic(group, name) || 0,
      );
      return Math.max(1, limit - used + files[0]! + files[1]!);
    });
    return Math.min(most, kilobytes * 1024 || system.freeBytes, least(inGroups) ?? Number.POSITIVE_INFINITY);
  };
}

const toNumber = (path: string) => Number(readSystemFile(path)?.trim() || Number.NaN);

const statistic = (group: string, name: string) =>
  Number(new RegExp(`^${name} (\\d+)$`, "m").exec(readSystemFile(join(group, "memory.stat")) ?? "")?.[1]);

/** Of the numbers that say something: "max", -1 and what is not there are no limits. */
function least(values: readonly number[]): number | undefined {
  const limits = values.filter((value) => value > 0 && value < 2 ** 60);
  return limits.length === 0 ? undefined : Math.min(...limits);
}
