import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

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

/** Installs a prebuilt package where grok1 finds it. */
export function installCommand({ kind, prefix, version }: Installation, name: string): string {
  const how = kind === "global" ? "-g" : "--no-save";
  return `${asRoot(prefix)}npm install ${how} --prefix ${quote(prefix)} ${name}@${version}`;
}

/**
 * Compiles the addon in grok1's own folder. Run by itself, not by npm: the same for every way of installing, and no version of
 * npm has to allow it.
 */
export function buildCommand({ kind, root }: Installation): string {
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
