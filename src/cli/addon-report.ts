import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type AddonMachine, type AddonState, prebuiltPackages } from "../addon.ts";

/** The compiled addon: where it lies, what it was built with and what it chose; or why it is not there and what to do. */
export type AddonReport =
  | {
      readonly present: false;
      readonly cause: AddonCause;
      readonly reason: string;
      /** A sentence with the command that mends it, as it works from any folder. */
      readonly remedy: string;
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

/** grok1's own folder, and how it came to be there. */
export interface Installation {
  readonly root: string;
  readonly kind: "clone" | "global" | "project";
  /** Where installing a package makes grok1 find it: npm's prefix, or the project. */
  readonly prefix: string;
  readonly version: string;
  /** The prebuilt packages that this release lists. */
  readonly listed: readonly string[];
}

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

export function findInstallation(root = resolve(fileURLToPath(new URL("../..", import.meta.url)))): Installation {
  const { version, optionalDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    version: string;
    optionalDependencies?: Record<string, string>;
  };
  const listed = Object.keys(optionalDependencies ?? {});
  const place = { root, version, listed };
  if (existsSync(join(root, "scripts", "ready.mjs"))) return { ...place, kind: "clone", prefix: root };
  // The outermost node_modules: a dependency's own may lie in it.
  const [above] = root.split(/[\\/]node_modules[\\/]/);
  if (existsSync(join(above!, "package.json"))) return { ...place, kind: "project", prefix: above! };
  return { ...place, kind: "global", prefix: process.platform === "win32" ? above! : dirname(above!) };
}

/** The C library of this process: "gnu", "musl"; undefined where there is no choice. */
export function cLibrary(): { readonly name: "gnu" | "musl"; readonly version: string } | undefined {
  if (process.platform !== "linux") return undefined;
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const version = header?.glibcVersionRuntime;
  return version === undefined ? { name: "musl", version: "" } : { name: "gnu", version };
}

function explain(
  state: AddonState & { readonly addon: undefined },
  installation: Installation,
): { cause: AddonCause; reason: string; remedy: string } {
  const library = cLibrary();
  const mine = prebuiltPackages().find((name) => library === undefined || name.endsWith(library.name))!;
  const platform = mine.slice("@grok1/".length);
  const build = `Build it: ${buildCommand(installation)} (needs a C++20 compiler: ${compilers[process.platform] ?? ""}GCC 11, Clang 14 or newer).`;
  // A release that has no package for this platform, and a clone, can only build.
  const prebuilt = installation.listed.includes(mine);
  const install = prebuilt ? `Install it: ${installCommand(installation, mine)}` : build;

  // Of what was found, what fits this platform says most.
  const found = state.tried.filter(({ problem }) => problem !== "absent");
  const attempt = found.find(({ from }) => from === mine) ?? found[0];
  if (attempt !== undefined) {
    const { reason, from } = attempt;
    const again = from === "build" ? build : install;
    const needed = /`?(GLIBC_[\d.]+)'? not found/.exec(reason)?.[1];
    if (/addons is disabled/.test(reason)) {
      const remedy = "Start Node without --no-addons, and under --permission with --allow-addons.";
      return { cause: "forbidden", reason, remedy };
    }
    if (attempt.problem === "outdated") return { cause: "other-sources", reason, remedy: again };
    if (needed !== undefined) {
      const has = `this system has glibc ${library?.version}, the addon needs ${needed.replace("_", " ")}`;
      return { cause: "old-c-library", reason: has, remedy: build };
    }
    // Linux says "cannot open" of a library for another processor, and of another C library's loader.
    const foreign =
      /ELF|\.node: cannot open|incompatible architecture|not a valid Win32|ld-linux|libc\.musl|mach-o/i.test(reason);
    if (foreign || (from !== "build" && from !== mine)) {
      return { cause: "other-platform", reason: `${from} is not for ${platform}: ${reason}`, remedy: again };
    }
    return { cause: "does-not-load", reason, remedy: again };
  }

  const failure = readOptional(join(installation.root, "build", "why-not.txt"))?.trim();
  const others = installedPackages();
  if (others.length > 0) {
    const reason = `${others.join(", ")} is installed, which is not for ${platform}`;
    return { cause: "other-platform", reason, remedy: install };
  }
  if (prebuilt) {
    const reason = `the package ${mine} is not installed: optional dependencies were left out, or come from another computer`;
    return { cause: "not-installed", reason, remedy: install };
  }
  if (failure !== undefined) {
    return {
      cause: /no C\+\+ compiler/.test(failure) ? "no-compiler" : "does-not-compile",
      reason: failure,
      remedy: build,
    };
  }
  if (installation.kind === "clone") return { cause: "not-built", reason: "it was not built yet", remedy: build };
  return { cause: "no-prebuilt", reason: `this release has no prebuilt package for ${platform}`, remedy: build };
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

function installCommand({ kind, prefix, version }: Installation, name: string): string {
  const how = kind === "global" ? "-g" : "--no-save";
  return `${asRoot(prefix)}npm install ${how} --prefix ${quote(prefix)} ${name}@${version}`;
}

/** Run by itself, not by npm: the same for every way of installing, and no version of npm has to allow it. */
function buildCommand({ kind, root }: Installation): string {
  if (kind === "clone") return `npm run build --prefix ${quote(root)}`;
  return `${asRoot(root)}node ${quote(join(root, "native", "build.mjs"))}`;
}

function asRoot(folder: string): string {
  if (process.platform === "win32") return "";
  try {
    accessSync(folder, constants.W_OK);
    return "";
  } catch {
    return "sudo ";
  }
}

function quote(path: string): string {
  if (/^[\w@%+=:,./\\-]+$/.test(path)) return path;
  return process.platform === "win32" ? `"${path}"` : `'${path.replaceAll("'", "'\\''")}'`;
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
