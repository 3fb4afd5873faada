#!/usr/bin/env node
// Makes what a release consists of (docs/releasing.md): this platform's package, which holds the compiled addon, and the
// main package, whose optional dependencies are the platform packages of the same version that lie in the same folder.
//
//   node scripts/pack.mjs [--out <folder>]      default: build/packages
//
// Prints the files it wrote, the main one last. Nothing in the clone changes.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { hashSources } from "../native/sources.mjs";
import { npm, packFolder, readManifest } from "./tarball.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const { values } = parseArgs({ options: { out: { type: "string", default: join(root, "build", "packages") } } });
const out = resolve(values.out);

/** Node's own builds run from this version of glibc on: an addon that needs a newer one runs on fewer systems than Node. */
const nodesGlibc = [2, 28];

if (spawnSync(process.execPath, [join(root, "scripts", "ready.mjs")], { stdio: ["ignore", 2, 2] }).status !== 0)
  process.exit(1);
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const { version, description, license, engines } = manifest;
const sources = hashSources();
mkdirSync(out, { recursive: true });
const staging = mkdtempSync(join(tmpdir(), "grok1-pack-"));
try {
  console.log(await packPlatform());
  console.log(packMain());
} finally {
  rmSync(staging, { recursive: true, force: true });
}

async function packPlatform() {
  const { loadAddon, prebuiltPackages } = await import(pathToFileURL(join(root, "dist", "addon.js")).href);
  const { cLibrary } = await import(pathToFileURL(join(root, "dist", "cli", "installation.js")).href);
  const state = loadAddon();
  if (state.addon === undefined) stop(`no addon to pack: ${state.reason}`);
  const info = JSON.parse(readFileSync(join(root, "build", "build-info.json"), "utf8"));
  if (info.missing.length > 0)
    stop(`${info.version} does not know ${info.missing.join(", ")}: a release has every kernel`);
  const library = cLibrary();
  const name = prebuiltPackages().find((name) => library === undefined || name.endsWith(`-${library.name}`));
  const folder = join(staging, "platform");
  mkdirSync(folder);
  for (const file of ["grok1.node", "build-info.json"]) cpSync(join(root, "build", file), join(folder, file));
  for (const file of ["LICENSE", "NOTICE"]) cpSync(join(root, file), join(folder, file));
  writeFileSync(
    join(folder, "README.md"),
    `# ${name}\n\nThe compiled addon of the package grok1, which installs it by itself.\n`,
  );
  const glibc = library?.name === "gnu" ? newestGlibc(join(folder, "grok1.node")) : undefined;
  if (glibc !== undefined && (glibc[0] - nodesGlibc[0] || glibc[1] - nodesGlibc[1]) > 0) {
    const warning = `${name} needs glibc ${glibc.join(".")}, Node itself only ${nodesGlibc.join(".")}: docs/releasing.md`;
    process.stderr.write(`warning: ${warning}\n`);
  }
  return pack(folder, {
    ...{ name, version, description: `${description} The addon for ${name.split("/")[1]}.`, license, engines },
    ...{ os: [process.platform], cpu: [process.arch] },
    ...(library && { libc: [library.name === "gnu" ? "glibc" : "musl"] }),
    ...(glibc && { glibc: glibc.join(".") }),
    sources,
    files: ["grok1.node", "build-info.json", "NOTICE"],
  });
}

function packMain() {
  const [{ files }] = JSON.parse(npm(["pack", "--dry-run", "--json", "--ignore-scripts"], root));
  const folder = join(staging, "main");
  for (const { path } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(root, path), join(folder, path));
  }
  const { private: _, scripts: __, devDependencies: ___, ...kept } = manifest;
  const optionalDependencies = Object.fromEntries(platformPackages().map((name) => [name, version]));
  return pack(folder, { ...kept, optionalDependencies });
}

/** The platform packages in the folder: of this version, which have to be of these sources. */
function platformPackages() {
  return readdirSync(out)
    .filter((file) => file.startsWith("grok1-") && file.endsWith(`-${version}.tgz`))
    .map((file) => ({ file, ...readManifest(join(out, file)) }))
    .filter(({ name }) => name.startsWith("@grok1/"))
    .map(({ file, name, ...found }) => {
      if (found.sources !== sources) stop(`${join(out, file)} was built from other sources than these`);
      return name;
    })
    .sort();
}

/** The newest version of glibc's symbols that a library asks for: their names stand in it as text. */
function newestGlibc(file) {
  return [...readFileSync(file, "latin1").matchAll(/GLIBC_(\d+)\.(\d+)/g)]
    .map(([, major, minor]) => [Number(major), Number(minor)])
    .sort((a, b) => b[0] - a[0] || b[1] - a[1])[0];
}

function pack(folder, json) {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(json, null, 2)}\n`);
  return packFolder(folder, out);
}

function stop(message) {
  rmSync(staging, { recursive: true, force: true });
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
