import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A file of the system's; undefined where it is not there. */
export function readSystemFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * Folders of the Linux control groups that bind this process, for one controller ("cpu", "memory"), its own first and then those
 * above it, as far as they are mounted where the process sees them: of version 1's hierarchy of that controller and of version 2's, since
 * a system can have both. Empty on other systems.
 *
 * `root` stands for "/", so that tests can show another machine.
 */
export function controlGroups(controller: string, root: string): string[] {
  const groups = (readSystemFile(join(root, "proc/self/cgroup")) ?? "").split("\n").flatMap((line) => {
    const [, id, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) return [];
    if (id === "0" && controllers === "") return [{ version: 2, path }];
    return controllers!.split(",").includes(controller) ? [{ version: 1, path }] : [];
  });
  if (groups.length === 0) return [];
  const mounts = readMounts(root);
  return groups.flatMap(({ version, path }) => {
    const fitting = mounts.filter((mount) =>
      version === 2 ? mount.type === "cgroup2" : mount.type === "cgroup" && mount.options.includes(controller),
    );
    return foldersBetween(path, fitting).map((folder) => join(root, folder));
  });
}

interface Mount {
  readonly type: string;
  /** The group that the mount point shows. */
  readonly group: string;
  readonly point: string;
  readonly options: readonly string[];
}

/** Lines such as `36 35 98:0 /group /mount/point rw,noatime shared:1 - cgroup cgroup rw,cpu,cpuacct`: proc(5). */
function readMounts(root: string): Mount[] {
  return (readSystemFile(join(root, "proc/self/mountinfo")) ?? "").split("\n").flatMap((line) => {
    const [place, kind] = line.split(" - ");
    const [type, , options] = kind?.split(" ") ?? [];
    const [, , , group, point] = place!.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") return [];
    return [{ type, group: unescapeOctal(group!), point: unescapeOctal(point!), options: options?.split(",") ?? [] }];
  });
}

/** Spaces and the like are written as octal numbers there. */
const unescapeOctal = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/**
 * From the folder of the group `path` up to its mount point. Of several mounts the one that shows the most of the way. A container
 * may see its own group as the mount point whatever its path is called outside: then that one folder.
 */
function foldersBetween(path: string, mounts: readonly Mount[]): string[] {
  const below = mounts
    .filter(({ group }) => group === "/" || path === group || path.startsWith(`${group}/`))
    .sort((a, b) => a.group.length - b.group.length)[0];
  const names = path.split("/").filter((name) => name !== "");
  if (below === undefined || names.includes("..")) return mounts.slice(0, 1).map(({ point }) => point);
  const shown = names.slice(below.group.split("/").filter((name) => name !== "").length);
  return Array.from({ length: shown.length + 1 }, (_, up) => join(below.point, ...shown.slice(0, shown.length - up)));
}
