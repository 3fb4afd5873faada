#!/usr/bin/env node
// Checks what a release's packages do on a computer without a compiler: packs them (pack.mjs), offers them on a registry of its
// own on this computer, installs them from there with npm, and asks doctor and the model. Prints a table; fails where one fails.
//
//   node scripts/check-packages.mjs [--npm 10,11,12] [--node 20,22,24,26] [--json]
//
// Without --npm and --node it takes those that are here, and needs no network; named versions come from npm's registry.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { hashSources } from "../native/sources.mjs";
import { npm, packFolder, readManifest } from "./tarball.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const { values } = parseArgs({
  options: { npm: { type: "string" }, node: { type: "string" }, json: { type: "boolean" } },
});
const home = realpathSync(mkdtempSync(join(tmpdir(), "grok1-packages-")));
const packages = join(home, "packages");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

let failed = false;
const server = createServer();
try {
  const registry = await offer();
  const rows = [];
  const nodes = versions("node", values.node);
  for (const npmProgram of versions("npm", values.npm)) {
    for (const node of nodes) rows.push(await check(npmProgram, node, registry));
  }
  print(rows);
} finally {
  server.close();
  rmSync(home, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;

/** One npm on one Node: a global install, its first answer, and installs without the optional package, mended as doctor says. */
async function check(npmProgram, node, registry) {
  const folder = mkdtempSync(join(home, "check-"));
  const env = environment(folder, npmProgram, node, registry);
  const sh = (command) => shell(command, folder, env);
  const about = await sh("npm -v && node -v");
  const [npmVersion, nodeVersion] = about.stdout.trim().split("\n");
  const row = { npm: npmVersion, node: nodeVersion };
  if (/does not support/.test(about.stderr)) return { ...row, note: "this npm does not run on this Node" };

  const step = async (name, action) => {
    try {
      row[name] = await action();
    } catch (error) {
      failed = true;
      row[name] = `FAILED: ${error.message}`;
    }
  };
  const ask = async (program) => JSON.parse(await good(sh(`${program} doctor --json`))).addon;
  const present = async (program) => {
    const addon = await ask(program);
    if (!addon.present) throw new Error(`${addon.cause}: ${addon.reason}`);
    return addon;
  };
  await step("install -g", async () => {
    await good(sh("npm install -g --prefix global grok1"));
    const { path, isas } = await present("global/bin/grok1");
    return `${/@grok1\/[\w-]+/.exec(path)?.[0]}: ${isas.join(", ")}`;
  });
  await step("first answer", async () => {
    const { text } = JSON.parse(await good(sh('global/bin/grok1 run -p "Once upon a time" -n 8 --seed 1 --json')));
    if (typeof text !== "string" || text.trim() === "") throw new Error("no text");
    return text.trim();
  });
  const mended = async (program) => {
    const { cause, commands } = await ask(program);
    if (cause !== "not-installed") throw new Error(`doctor sees ${cause}`);
    await good(sh(commands[0]));
    await present(program);
    return "mended";
  };
  // npm heeds --omit for projects only; a package that was lost is the same to a global install.
  await step("-g without it", async () => {
    rmSync(join(folder, "global", "lib", "node_modules", "grok1", "node_modules", "@grok1"), { recursive: true });
    return mended("global/bin/grok1");
  });
  await step("project without it", async () => {
    mkdirSync(join(folder, "a project"));
    writeFileSync(join(folder, "a project", "package.json"), "{}\n");
    await good(sh("cd 'a project' && npm install --omit=optional grok1"));
    return mended("'a project/node_modules/.bin/grok1'");
  });
  rmSync(folder, { recursive: true, force: true });
  return row;
}

/** Nothing of the caller's but a shell, and one npm on one Node: no compiler is in the path. */
function environment(folder, npmProgram, node, registry) {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  symlinkSync(node, join(bin, "node"));
  for (const tool of ["sh", "uname"]) {
    const path = find(tool);
    if (path) symlinkSync(path, join(bin, tool));
  }
  writeFileSync(join(bin, "npm"), `#!/bin/sh\nexec node "${npmProgram}" "$@"\n`);
  chmodSync(join(bin, "npm"), 0o755);
  const settings = { registry, cache: join(folder, "cache"), audit: "false", fund: "false", update_notifier: "false" };
  const named = Object.fromEntries(Object.entries(settings).map(([name, value]) => [`npm_config_${name}`, value]));
  return { PATH: bin, HOME: folder, ...named };
}

/** Packs everything and serves it as a registry does: the release, packages for other platforms, and what it depends on. */
async function offer() {
  mkdirSync(packages);
  const sources = hashSources();
  const foreign = {
    "win32-x64": ["win32", "x64"],
    "linux-s390x-gnu": ["linux", "s390x", "glibc"],
    "linux-x64-musl": ["linux", "x64", "musl"],
  };
  for (const [name, [os, cpu, libc]] of Object.entries(foreign)) {
    const folder = join(home, name);
    mkdirSync(folder);
    const fields = {
      name: `@grok1/${name}`,
      version: manifest.version,
      os: [os],
      cpu: [cpu],
      ...(libc && { libc: [libc] }),
      sources,
    };
    writeFileSync(join(folder, "package.json"), JSON.stringify(fields));
    writeFileSync(join(folder, "grok1.node"), "of another platform");
    packFolder(folder, packages);
  }
  // What is installed beside it, as the lock file has it: dependencies, theirs, and nothing that only a clone needs.
  const { packages: locked } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  for (const [path, { dev }] of Object.entries(locked)) if (path !== "" && !dev) packFolder(join(root, path), packages);
  const made = spawnSync(process.execPath, [join(root, "scripts", "pack.mjs"), "--out", packages], {
    encoding: "utf8",
  });
  if (made.status !== 0) throw new Error(made.stderr);

  const offered = new Map();
  for (const file of readdirSync(packages)) {
    const found = readManifest(join(packages, file));
    const integrity = `sha512-${createHash("sha512")
      .update(readFileSync(join(packages, file)))
      .digest("base64")}`;
    offered.set(found.name, { file, manifest: found, integrity });
  }
  const address = () => `http://127.0.0.1:${server.address().port}/`;
  server.on("request", (request, response) => {
    const name = decodeURIComponent(request.url.slice(1));
    const found = offered.get(name);
    if (name.startsWith("-/") && existsSync(join(packages, name.slice(2)))) {
      response.end(readFileSync(join(packages, name.slice(2))));
    } else if (found) {
      const version = {
        ...found.manifest,
        dist: { tarball: `${address()}-/${found.file}`, integrity: found.integrity },
      };
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({ name, "dist-tags": { latest: version.version }, versions: { [version.version]: version } }),
      );
    } else response.writeHead(404).end("{}");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return address();
}

/** The programs of the versions asked for, from npm's registry; or the one that is here. */
function versions(name, list) {
  if (list === undefined) return [name === "npm" ? realpathSync(find("npm")) : process.execPath];
  // The package node would fetch this one in an install script.
  const from = name === "node" ? `node-${process.platform}-${process.arch}` : name;
  return list.split(",").map((version) => {
    const prefix = join(home, `${name}-${version}`);
    mkdirSync(prefix);
    npm(["install", "--silent", "--no-audit", "--no-fund", "--prefix", prefix, `${from}@${version}`], prefix);
    return join(prefix, "node_modules", from, "bin", name === "npm" ? "npm-cli.js" : "node");
  });
}

function find(tool) {
  return process.env.PATH.split(delimiter)
    .map((folder) => join(folder, tool))
    .find((path) => existsSync(path));
}

/** Not spawnSync: the registry answers from this process. */
function shell(command, cwd, env) {
  return new Promise((done, fail) => {
    const child = spawn("/bin/sh", ["-c", command], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const text = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"]) {
      child[stream].on("data", (chunk) => {
        text[stream] += chunk;
      });
    }
    child.on("error", fail);
    child.on("close", (status) => done({ ...text, status, command }));
  });
}

/** Standard output of a command that has to succeed. */
async function good(running) {
  const { stdout, stderr, status, command } = await running;
  if (status !== 0) throw new Error(`${command}: status ${status}: ${stderr.trim() || stdout.trim()}`);
  return stdout;
}

function print(rows) {
  if (values.json) return console.log(JSON.stringify(rows, null, 2));
  const names = ["npm", "node", "install -g", "first answer", "-g without it", "project without it"];
  const line = (cells) =>
    console.log(`| ${cells.map((cell) => String(cell ?? "").replaceAll(/\s+/g, " ")).join(" | ")} |`);
  line(names);
  line(names.map(() => "---"));
  for (const row of rows) line(names.map((name) => row[name] ?? (name === "install -g" ? row.note : "")));
}
