import { execFile } from "node:child_process";

/** A graphics processor, as the system's own tools tell of it. */
export interface Gpu {
  readonly name: string;
  /** Undefined where the tool does not say. */
  readonly memoryBytes: number | undefined;
  /** Shares the processor's memory. */
  readonly unified: boolean;
  /** What drives it: cuda, rocm, metal, vulkan. */
  readonly interface: string;
}

/** All that are found. A tool that is missing, fails or takes more than some seconds tells of none. */
export async function findGpus(platform: string = process.platform): Promise<Gpu[]> {
  if (platform === "darwin") return parseSystemProfiler(await run("system_profiler", ["SPDisplaysDataType", "-json"]));
  const [nvidia, amd] = await Promise.all([
    run("nvidia-smi", ["--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]),
    run("rocm-smi", ["--showproductname", "--showmeminfo", "vram", "--json"]),
  ]);
  const found = [...parseNvidiaSmi(nvidia), ...parseRocmSmi(amd)];
  return found.length > 0 ? found : parseVulkanInfo(await run("vulkaninfo", ["--summary"]));
}

function run(program: string, parts: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, parts, { timeout: 10_000, maxBuffer: 2 ** 24 }, (error, stdout) => resolve(error ? "" : stdout));
  });
}

/** Lines such as "NVIDIA GeForce RTX 4090, 24564": MiB. */
export function parseNvidiaSmi(text: string): Gpu[] {
  return text.split("\n").flatMap((line) => {
    const [, name, mebibytes] = /^(.+?),\s*(\d+|\[N\/A\])\s*$/.exec(line) ?? [];
    if (name === undefined) return [];
    const memoryBytes = /^\d/.test(mebibytes!) ? Number(mebibytes) * 2 ** 20 : undefined;
    // Grace Hopper's and Jetson's tools do not say: their memory is the processor's.
    return [{ name, memoryBytes, unified: memoryBytes === undefined, interface: "cuda" }];
  });
}

/** {"card0": {"Card Series": ..., "VRAM Total Memory (B)": "25753026560"}} */
export function parseRocmSmi(text: string): Gpu[] {
  return Object.entries(parseJson(text)).flatMap(([card, fields]) => {
    if (!card.startsWith("card") || typeof fields !== "object" || fields === null) return [];
    const {
      "Card series": lower,
      "Card Series": name = lower,
      "VRAM Total Memory (B)": bytes,
    } = fields as Record<string, string>;
    return [{ name: name ?? card, memoryBytes: Number(bytes) || undefined, unified: false, interface: "rocm" }];
  });
}

/** macOS: {"SPDisplaysDataType": [{"sppci_model": "Apple M2 Ultra", "spdisplays_vram": ...}]} */
export function parseSystemProfiler(text: string): Gpu[] {
  const { SPDisplaysDataType: found } = parseJson(text);
  return (Array.isArray(found) ? found : []).flatMap((entry: Record<string, unknown>) => {
    if (typeof entry?.sppci_model !== "string") return [];
    const [, amount, unit] = /^(\d+) (MB|GB)$/.exec(String(entry.spdisplays_vram ?? "")) ?? [];
    const memoryBytes = amount === undefined ? undefined : Number(amount) * (unit === "GB" ? 2 ** 30 : 2 ** 20);
    return [{ name: entry.sppci_model, memoryBytes, unified: memoryBytes === undefined, interface: "metal" }];
  });
}

/** Blocks of "key = value" lines; those that are a processor's own emulation are none. */
export function parseVulkanInfo(text: string): Gpu[] {
  return text
    .split(/^GPU\d+:/m)
    .slice(1)
    .flatMap((block) => {
      const name = /^\s*deviceName\s*=\s*(.+)$/m.exec(block)?.[1]?.trim();
      const type = /^\s*deviceType\s*=\s*(\S+)/m.exec(block)?.[1] ?? "";
      if (name === undefined || type.endsWith("_CPU")) return [];
      return [{ name, memoryBytes: undefined, unified: type.endsWith("INTEGRATED_GPU"), interface: "vulkan" }];
    });
}

function parseJson(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
