import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { availableMemory, coreLimit, memoryLimit, processorLimit, processorQuota, type System } from "./limits.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-machine-"));
afterAll(() => rmSync(folder, { recursive: true }));
const GB = 2 ** 30;
let machines = 0;

/** A machine of 8 processors and 64 GB with these files. */
function machine(files: Readonly<Record<string, string | number>>): System {
  const root = join(folder, String(machines++));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), `${text}\n`);
  }
  return { root, processors: 8, memoryBytes: 64 * GB, freeBytes: 50 * GB };
}

const mount = (type: string, point: string, { group = "/", options = "rw" } = {}) =>
  `31 23 0:28 ${group} ${point} rw,nosuid - ${type} ${type} ${options}`;
const v2 = (own: string, group = "/") => ({
  "proc/self/cgroup": `0::${own}`,
  "proc/self/mountinfo": mount("cgroup2", "/sys/fs/cgroup", { group }),
});
const v1 = (own: string, group = "/") => ({
  "proc/self/cgroup": [`12:name=systemd:${own}`, `7:memory:${own}`, `3:cpu,cpuacct:${own}`].join("\n"),
  "proc/self/mountinfo": [
    "25 30 0:23 / /sys rw - sysfs sysfs rw",
    mount("cgroup", "/sys/fs/cgroup/cpu,cpuacct", { group, options: "rw,cpu,cpuacct" }),
    mount("cgroup", "/sys/fs/cgroup/memory", { group, options: "rw,memory" }),
  ].join("\n"),
});
const unlimitedV1 = { "memory.limit_in_bytes": "9223372036854771712", "cpu.cfs_quota_us": -1 };

describe("limits of this process", () => {
  it("are the machine's where nobody bounds it", () => {
    const bare = machine({});
    expect([processorLimit(bare), processorQuota(bare), memoryLimit(bare)]).toEqual([8, undefined, 64 * GB]);
    expect(availableMemory(bare)).toBe(50 * GB);
    const version2 = machine({ ...v2("/user.slice/me"), "sys/fs/cgroup/user.slice/me/memory.max": "max" });
    expect([processorLimit(version2), memoryLimit(version2)]).toEqual([8, 64 * GB]);
    const version1 = machine({
      ...v1("/"),
      "sys/fs/cgroup/memory/memory.limit_in_bytes": unlimitedV1["memory.limit_in_bytes"],
      "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": -1,
      "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": 100_000,
    });
    expect([processorLimit(version1), memoryLimit(version1)]).toEqual([8, 64 * GB]);
  });

  it.each([
    ["100000 100000", 1, 1],
    ["150000 100000", 1.5, 1],
    ["200000 100000", 2, 2],
    ["25000 50000", 0.5, 1],
    ["390000 100000", 3.9, 3],
    ["1600000 100000", 16, 8],
    ["max 100000", undefined, 8],
    ["100000", undefined, 8],
    ["0 0", undefined, 8],
    ["", undefined, 8],
  ])("a quota of %j is %s processors: %s threads", (text, quota, threads) => {
    const one = machine({ ...v2("/a"), "sys/fs/cgroup/a/cpu.max": text });
    expect([processorQuota(one), processorLimit(one)]).toEqual([quota, threads]);
  });

  it("are the least of all groups on the way up", () => {
    const nested = machine({
      ...v2("/pods/pod 1/container"),
      "sys/fs/cgroup/pods/pod 1/container/cpu.max": "400000 100000",
      "sys/fs/cgroup/pods/pod 1/container/memory.max": 8 * GB,
      "sys/fs/cgroup/pods/pod 1/memory.max": 4 * GB,
      "sys/fs/cgroup/pods/cpu.max": "300000 100000",
      "sys/fs/cgroup/elsewhere/memory.max": GB,
    });
    expect([processorLimit(nested), memoryLimit(nested)]).toEqual([3, 4 * GB]);
    const throttled = machine({
      ...v2("/a"),
      "sys/fs/cgroup/a/memory.max": 4 * GB,
      "sys/fs/cgroup/a/memory.high": 3 * GB,
    });
    expect(memoryLimit(throttled)).toBe(3 * GB);
  });

  it("are found as version 1 and as both versions show them", () => {
    const files = {
      "sys/fs/cgroup/memory/jobs/one/memory.limit_in_bytes": 2 * GB,
      "sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": 3 * GB,
      "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": 250_000,
      "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": 100_000,
      "sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_quota_us": -1,
      "sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_period_us": 100_000,
    };
    const version1 = machine({ ...v1("/jobs/one"), ...files });
    expect([processorLimit(version1), memoryLimit(version1)]).toEqual([2, 2 * GB]);
    const both = v1("/jobs/one");
    const hybrid = machine({
      ...files,
      "proc/self/cgroup": `${both["proc/self/cgroup"]}\n0::/jobs/one`,
      "proc/self/mountinfo": `${both["proc/self/mountinfo"]}\n${mount("cgroup2", "/sys/fs/cgroup/unified")}`,
      "sys/fs/cgroup/unified/jobs/one/memory.max": GB,
    });
    expect([processorLimit(hybrid), memoryLimit(hybrid)]).toEqual([2, GB]);
  });

  it("are a container's, whether it sees its own group as the root or by the name outside", () => {
    const own = "/docker/0123456789abcdef";
    for (const [path, group] of [
      [own, own],
      [`${own}/inner`, own],
      ["/", "/"],
      ["/", "/../.."],
      ["/../../other", "/"],
    ] as const) {
      const version2 = machine({
        ...v2(path, group),
        "sys/fs/cgroup/cpu.max": "100000 100000",
        "sys/fs/cgroup/memory.max": GB,
      });
      expect([processorLimit(version2), memoryLimit(version2)]).toEqual([1, GB]);
      const version1 = machine({
        ...v1(path, group),
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": 100_000,
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": 100_000,
        "sys/fs/cgroup/memory/memory.limit_in_bytes": GB,
      });
      expect([processorLimit(version1), memoryLimit(version1)]).toEqual([1, GB]);
    }
    const above = machine({
      ...v1("/", "/"),
      "sys/fs/cgroup/memory/memory.limit_in_bytes": unlimitedV1["memory.limit_in_bytes"],
      "sys/fs/cgroup/memory/memory.stat": `cache 0\nhierarchical_memory_limit ${GB}\n`,
    });
    expect(memoryLimit(above)).toBe(GB);
  });

  it("read mount points with spaces in their names", () => {
    const spaced = machine({
      "proc/self/cgroup": "0::/a",
      "proc/self/mountinfo": mount("cgroup2", "/my\\040groups"),
      "my groups/a/memory.max": GB,
    });
    expect(memoryLimit(spaced)).toBe(GB);
  });

  it("are the user's resource limits too", () => {
    const limits =
      "Limit Soft Limit Hard Limit Units\nMax data size             1073741824           unlimited            bytes\n";
    expect(memoryLimit(machine({ "proc/self/limits": limits }))).toBe(GB);
    expect(memoryLimit(machine({ "proc/self/limits": limits.replace("1073741824", "unlimited") }))).toBe(64 * GB);
    expect(memoryLimit(machine({ "proc/self/limits": limits.replace("data size    ", "address space") }))).toBe(GB);
  });

  it("leave what others of the group have taken, but for pages of files", () => {
    const shared = {
      "proc/meminfo": `MemTotal: 1 kB\nMemAvailable: ${(10 * GB) / 1024} kB`,
      "sys/fs/cgroup/a/memory.max": 4 * GB,
      "sys/fs/cgroup/a/memory.current": 3 * GB,
      "sys/fs/cgroup/a/memory.stat": `anon 1\ninactive_file ${GB}\nactive_file ${GB / 2}`,
    };
    expect(availableMemory(machine({ ...v2("/a"), ...shared }))).toBe(2.5 * GB);
    expect(availableMemory(machine({ ...v2("/b"), ...shared }))).toBe(10 * GB);
    expect(availableMemory(machine({ ...v2("/a"), ...shared, "proc/meminfo": "MemAvailable: 1024 kB" }))).toBe(2 ** 20);
  });

  it("count physical cores among the processors that are allowed", () => {
    const topology = Object.fromEntries(
      [0, 1, 2, 3, 4, 5, 6, 7].map((cpu) => [
        `sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`,
        `${cpu % 4},${(cpu % 4) + 4}`,
      ]),
    );
    const allow = (list: string) => ({ "proc/self/status": `Name: node\nCpus_allowed_list:\t${list}\n` });
    expect(coreLimit(machine(topology))).toBe(4);
    expect(coreLimit(machine({ ...topology, ...allow("0-1,4-5") }))).toBe(2);
    expect(
      coreLimit(machine({ ...topology, ...allow("0-7"), ...v2("/"), "sys/fs/cgroup/cpu.max": "300000 100000" })),
    ).toBe(3);
    expect(coreLimit(machine({ "sys/devices/system/cpu/cpu0/online": 1 }))).toBe(8);
  });

  it("are at most this machine's own", () => {
    expect(processorLimit()).toBeGreaterThanOrEqual(1);
    expect(processorLimit()).toBeLessThanOrEqual(availableParallelism());
    expect(memoryLimit()).toBeGreaterThan(2 ** 26);
    expect(memoryLimit()).toBeLessThanOrEqual(totalmem());
    expect(availableMemory()).toBeLessThanOrEqual(memoryLimit());
  });
});
