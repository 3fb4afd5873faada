import { readdirSync, readFileSync } from "node:fs";

/** What a process and all its descendants hold. */
export interface Usage {
  readonly processes: number;
  readonly residentBytes: number;
}

/** Of a process and its descendants, as Linux says it; undefined where it does not (other systems). */
export function usageOf(pid: number): Usage | undefined {
  let names: readonly string[];
  try {
    names = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return undefined;
  }
  const children = new Map<number, { readonly pid: number; readonly bytes: number }[]>();
  for (const name of names) {
    const status = statusOf(name);
    if (status === undefined) continue;
    const [parent, bytes] = [/^PPid:\s*(\d+)/m, /^VmRSS:\s*(\d+) kB/m].map((line) =>
      Number(line.exec(status)?.[1] ?? 0),
    );
    const siblings = children.get(parent!) ?? [];
    siblings.push({ pid: Number(name), bytes: bytes! * 1024 });
    children.set(parent!, siblings);
  }
  const sum = { processes: 0, residentBytes: 0 };
  const open = [...children.values()].flat().filter((each) => each.pid === pid);
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    sum.processes++;
    sum.residentBytes += next.bytes;
    open.push(...(children.get(next.pid) ?? []));
  }
  return sum;
}

function statusOf(name: string): string | undefined {
  try {
    return readFileSync(`/proc/${name}/status`, "latin1");
  } catch {
    // It has ended since.
    return undefined;
  }
}
