// Packages as files: what npm packs, and what stands in a packed one.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

/** Packs a folder with npm, without its scripts; returns the file. */
export function packFolder(folder, out) {
  const [{ filename }] = JSON.parse(npm(["pack", "--json", "--ignore-scripts", "--pack-destination", out], folder));
  // Some versions of npm name the file after the package, scope and all.
  return join(out, filename.replace(/^@/, "").replace("/", "-"));
}

/** What npm prints on standard output. @throws Error where it fails. */
export function npm(args, cwd) {
  // npm is a script on Windows, which only a shell starts.
  const shell = process.platform === "win32";
  const { status, stdout, error } = spawnSync("npm", args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", 2],
    shell,
  });
  if (status !== 0) throw new Error(`npm ${args.join(" ")} failed in ${cwd}${error ? `: ${error.message}` : ""}`);
  return stdout;
}

/** package.json of a packed package: in tar's blocks of 512 bytes, a header with name and octal size before each file. */
export function readManifest(file) {
  const tar = gunzipSync(readFileSync(file));
  for (let at = 0; at + 512 <= tar.length; ) {
    const name = tar.toString("utf8", at, at + 100).split("\0")[0];
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 136), 8) || 0;
    if (name === "package/package.json") return JSON.parse(tar.toString("utf8", at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new Error(`${file} has no package.json`);
}
