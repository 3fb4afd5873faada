#!/usr/bin/env node
// Makes a clone ready to run: installs packages, compiles the addon and TypeScript, builds the page, each only when needed.
// `npm start` and `npm test` call it first, so both work as the first command in a fresh clone.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { hashSources } from "../native/sources.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const force = process.argv.includes("--force");

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) stop(`grok1 needs Node 20.19 or newer; this is ${process.version}`);

const compiled = join(root, "dist");
mkdirSync(compiled, { recursive: true });
takeTurn(join(compiled, ".ready-pid"));

// Packages: npm leaves a copy of the lock file it installed from; a change of ours means installing again.
const lockStamp = join(root, "node_modules", ".grok1-lock");
const lock = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .digest("hex");
if (force || read(lockStamp) !== lock) {
  step("Installing packages (once)", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
  writeFileSync(lockStamp, lock);
}

// The addon: build.mjs itself knows what is stale, says what it compiles, and where no compiler is, says so and succeeds.
step(undefined, process.execPath, [join(root, "native", "build.mjs"), "--quiet", ...(force ? ["--force"] : [])]);

// Which addon the compiled TypeScript goes with.
const addonSources = join(compiled, "addon-sources.txt");
if (read(addonSources) !== hashSources()) writeFileSync(addonSources, hashSources());

// TypeScript, and the page: made again when a source's name, size or time changed.
const page = join(compiled, "web");
whenChanged(".stamp", ["tsconfig.json", "tsconfig.build.json"], "src", () => {
  step("Compiling TypeScript", process.execPath, [
    join(root, "node_modules", "typescript", "bin", "tsc"),
    "-p",
    join(root, "tsconfig.build.json"),
  ]);
  removeStale(compiled, join(root, "src"));
});
whenChanged(".page-stamp", [], "web", () => {
  const vite = join(root, "node_modules", "vite", "bin", "vite.js");
  const config = join(root, "web", "vite.config.mjs");
  step("Building the page", process.execPath, [
    vite,
    "build",
    "--config",
    config,
    "--configLoader",
    "native",
    "--logLevel",
    "warn",
  ]);
});

// One at a time: two that install into one folder, or compile into it, leave neither whole. What a killed one left counts for nothing.
function takeTurn(path) {
  for (let waits = 0; ; waits++) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      process.on("exit", () => rmSync(path, { force: true }));
      return;
    } catch (error) {
      // Where nothing can be written there is nothing to make.
      if (error.code !== "EEXIST") return;
    }
    if (!isAtWork(path)) clearTurn(path);
    else if (waits === 0)
      process.stderr.write("Waiting for another npm start or npm test that makes this clone ready …\n");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

// Taken away before it is looked at again: of several who found it left behind one has it, and none removes what another has made since.
function clearTurn(path) {
  const taken = `${path}.${process.pid}`;
  try {
    renameSync(path, taken);
    if (isAtWork(taken)) linkSync(taken, path);
  } catch {
    // Somebody else was quicker.
  }
  rmSync(taken, { force: true });
}

function isAtWork(path) {
  const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  if (age > 60 * 60 * 1000) return false;
  try {
    // A number that is not written yet is 0: this process's own group.
    return process.kill(Number(read(path)), 0);
  } catch (error) {
    return error.code === "EPERM";
  }
}

function whenChanged(stampName, files, folder, make) {
  const hash = createHash("sha256").update(lock);
  for (const file of files) hash.update(readFileSync(join(root, file)));
  for (const file of listSources(join(root, folder))) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${file}\0${size}\0${mtimeMs}\n`);
  }
  const fingerprint = hash.digest("hex");
  const stamp = join(compiled, stampName);
  if (!force && read(stamp) === fingerprint) return;
  make();
  writeFileSync(stamp, fingerprint);
}

function listSources(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.isDirectory() ? listSources(join(folder, entry.name)) : [join(folder, entry.name)]));
}

// What was compiled from a source that is no more would still be found, tested and published.
function removeStale(compiled, from) {
  for (const file of listSources(compiled).filter((file) => !file.startsWith(page + sep))) {
    const source = /^(.*?)(\.d\.ts|\.js)$/.exec(file)?.[1];
    if (source !== undefined && !existsSync(`${join(from, relative(compiled, source))}.ts`)) rmSync(file);
  }
}

function read(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

function step(title, command, args) {
  if (title) process.stderr.write(`${title} …\n`);
  // npm is a script on Windows, which only a shell starts; the arguments are ours, so nothing needs quoting.
  const shell = process.platform === "win32" && command === "npm";
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], shell });
  if (error) stop(`${command} could not be started: ${error.message}`);
  if (status !== 0) stop(`${title ?? command} failed (exit status ${status})`);
}

function stop(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
