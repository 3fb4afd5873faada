// Control groups that bound the memory of what runs in them, of either version; as root on Linux.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** "8G" in bytes. */
export const parseBytes = (text) =>
  Math.floor(
    Number.parseFloat(text) * 1024 ** (" KMGT".indexOf(text.at(-1).toUpperCase()) + (/\d$/.test(text) ? 1 : 0)),
  );

export function createGroup(name, limit) {
  const old = existsSync("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  const folder = join(old ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup", `grok1-bench-${name}-${process.pid}`);
  mkdirSync(folder);
  writeFileSync(join(folder, old ? "memory.limit_in_bytes" : "memory.max"), String(limit));
  if (!old) writeFileSync(join(folder, "memory.swap.max"), "0");
  const read = (path) => readFileSync(join(folder, path), "utf8");
  const count = (path, key) => Number(new RegExp(`^${key} (\\d+)$`, "m").exec(read(path))?.[1] ?? 0);
  return {
    /** A command and its arguments, for `spawn`, that run in the group. */
    command: (args) => ["sh", ["-c", `echo $$ > ${join(folder, "cgroup.procs")}; exec "$@"`, "sh", ...args]],
    /** Most bytes that were charged at a time. */
    peak: () => Number(read(old ? "memory.max_usage_in_bytes" : "memory.peak")),
    /** How many processes were killed for memory. */
    killed: () => (old ? count("memory.oom_control", "oom_kill") : count("memory.events", "oom_kill")),
    end: () => rmdirSync(folder),
  };
}
