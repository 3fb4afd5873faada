import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { type AddonMachine, type AddonState, prebuiltPackages } from "../addon.ts";
import { buildCommand, cLibrary, findInstallation, type Installation, installCommand } from "./installation.ts";

/** The compiled addon: where it lies, what it was built with and what it chose; or why it is not there and what to do. */
export type AddonReport =
  | {
      readonly present: false;
      readonly cause: AddonCause;
      readonly reason: string;
      /** What to do, in sentences with the commands. */
      readonly remedy: string;
      /** Commands that mend it, each by itself, best first; they work from any folder. */
      readonly commands: readonly string[];
    }
  | ({
      readonly present: true;
      readonly path: string;
      /** The compiler and its version; undefined for one that was built elsewhere without a note. */
      readonly compiler: string | undefined;
      /** Instruction sets that its compiler did not know. */
      readonly missing: readonly string[];
    } & Pick<AddonMachine, "features" | "isas" | "best" | "l1d" | "l2" | "l3">);

export type AddonCause =
  /** Node was told to load no addons. */
  | "forbidden"
  | "other-sources"
  /** The system's C library is older than the one that the addon was linked for. */
  | "old-c-library"
  /** What is installed was made for another system, processor or C library. */
  | "other-platform"
  | "does-not-load"
  /** There is a prebuilt package for this platform, and it was not installed. */
  | "not-installed"
  | "no-prebuilt"
  | "no-compiler"
  | "does-not-compile"
  | "not-built";

export function reportAddon(state: AddonState, installation = findInstallation()): AddonReport {
  if (state.addon === undefined) return { present: false, ...explain(state, installation) };
  const { features, isas, best, l1d, l2, l3 } = state.addon.machine();
  const info = readBuildInfo(dirname(state.path));
  return { present: true, path: state.path, ...info, features, isas, best, l1d, l2, l3 };
}

/** The build leaves this note beside the addon. */
function readBuildInfo(folder: string): { compiler: string | undefined; missing: readonly string[] } {
  try {
    const { version, missing } = JSON.parse(readOptional(join(folder, "build-info.json")) ?? "{}") as {
      version?: unknown;
      missing?: unknown;
    };
    return {
      compiler: typeof version === "string" ? version : undefined,
      missing: Array.isArray(missing) ? missing.map(String) : [],
    };
  } catch {
    return { compiler: undefined, missing: [] };
  }
}

function explain(
  state: AddonState & { readonly addon: undefined },
  installation: Installation,
): Omit<AddonReport & { present: false }, "present"> {
  const library = cLibrary();
  const mine = prebuiltPackages().find((name) => library === undefined || name.endsWith(library.name))!;
  const platform = mine.slice("@grok1/".length);
  const compiler = `a C++20 compiler: ${compilers[process.platform] ?? ""}GCC 11, Clang 14 or newer`;
  const buildIt = buildCommand(installation);
  const build = { remedy: `Build it: ${buildIt} (needs ${compiler}).`, commands: [buildIt] };
  // A release that has no package for this platform, and a clone, can only build.
  const prebuilt = installation.listed.includes(mine);
  const installIt = installCommand(installation, mine);
  const orBuild = {
    remedy: `Install it: ${installIt} (or build it, which needs ${compiler}: ${buildIt}).`,
    commands: [installIt, buildIt],
  };
  const install = prebuilt ? orBuild : build;

  // Of what was found, what fits this platform says most.
  const found = state.tried.filter(({ problem }) => problem !== "absent");
  const attempt = found.find(({ from }) => from === mine) ?? found[0];
  if (attempt !== undefined) {
    const { reason, from } = attempt;
    const again = from === "build" ? build : install;
    const needed = /`?(GLIBC_[\d.]+)'? not found/.exec(reason)?.[1];
    if (/addons is disabled/.test(reason)) {
      const remedy = "Start Node without --no-addons, and under --permission with --allow-addons.";
      return { cause: "forbidden", reason, remedy, commands: [] };
    }
    if (attempt.problem === "outdated") return { cause: "other-sources", reason, ...again };
    if (needed !== undefined) {
      const has = `this system has glibc ${library?.version}, the addon needs ${needed.replace("_", " ")}`;
      return { cause: "old-c-library", reason: has, ...build };
    }
    // Linux says "cannot open" of a library for another processor, and of another C library's loader.
    const foreign =
      /ELF|\.node: cannot open|incompatible architecture|not a valid Win32|ld-linux|libc\.musl|mach-o/i.test(reason);
    if (foreign || (from !== "build" && from !== mine)) {
      return { cause: "other-platform", reason: `${from} is not for ${platform}: ${reason}`, ...again };
    }
    return { cause: "does-not-load", reason, ...again };
  }

  const failure = readOptional(join(installation.root, "build", "why-not.txt"))?.trim();
  const others = installedPackages();
  if (others.length > 0) {
    const reason = `${others.join(", ")} is installed, which is not for ${platform}`;
    return { cause: "other-platform", reason, ...install };
  }
  if (prebuilt) {
    const reason = `the package ${mine} is not installed: optional dependencies were left out, or come from another computer`;
    return { cause: "not-installed", reason, ...install };
  }
  if (failure !== undefined) {
    return {
      cause: /no C\+\+ compiler/.test(failure) ? "no-compiler" : "does-not-compile",
      reason: failure,
      ...build,
    };
  }
  if (installation.kind === "clone") return { cause: "not-built", reason: "it was not built yet", ...build };
  return { cause: "no-prebuilt", reason: `this release has no prebuilt package for ${platform}`, ...build };
}

/** Prebuilt packages that lie where grok1's would be found. */
function installedPackages(): string[] {
  const folders = createRequire(import.meta.url).resolve.paths("@grok1/any") ?? [];
  const names = folders.flatMap((folder) => {
    try {
      return readdirSync(join(folder, "@grok1")).map((name) => `@grok1/${name}`);
    } catch {
      return [];
    }
  });
  return [...new Set(names)].filter((name) => !prebuiltPackages().includes(name));
}

const compilers: Partial<Record<NodeJS.Platform, string>> = {
  linux: "apt install g++ on Debian and Ubuntu, dnf install gcc-c++ on Fedora, apk add g++ on Alpine; ",
  darwin: "xcode-select --install; ",
  win32: "the Build Tools for Visual Studio with C++ Clang tools, clang-cl; ",
};

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
