#!/usr/bin/env node
// Compiles the addon, build/grok1.node, with the C++ compiler that is there; downloads nothing and needs no other tool. Only
// what changed is compiled. Releases bring a compiled addon in a package of its own (docs/releasing.md); this is for clones, and
// for computers that no such package fits. With --quiet, as before every start of a clone, a failure is told once and is none:
// grok1 then runs on its TypeScript backend.
//
//   node native/build.mjs [--quiet] [--force] [--sanitize] [--out <folder>]
//
// CXX names the compiler, CXXFLAGS adds flags. A source named x.<isa>.cpp is compiled for that instruction set alone; build-info.json
// and, after a failure, why-not.txt in the build folder are what `grok1 doctor` shows.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { hashSources } from "./sources.mjs";

const folder = dirname(fileURLToPath(import.meta.url));
const flag = (name) => process.argv.includes(name);
const quiet = flag("--quiet");
const sanitize = flag("--sanitize");
const out = flag("--out") ? process.argv[process.argv.indexOf("--out") + 1] : join(folder, "..", "build");
const objects = join(out, "obj");
const windows = process.platform === "win32";

// The instruction sets of each architecture, and their flags; those of a list are tried in turn where older compilers lack some.
const isas = {
  x64: {
    avx2: [["-mavx2", "-mfma", "-mf16c"]],
    avxvnni: [["-mavx2", "-mfma", "-mf16c", "-mavxvnni"]],
    avx512: [
      "-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mprefer-vector-width=512".split(
        " ",
      ),
    ],
    avx512vbmi: [
      "-mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx512vbmi".split(" "),
    ],
  },
  arm64: {
    // simd.h uses Neon where it is told to: the portable kernels are compiled for Arm as well.
    neon: [["-march=armv8.2-a+dotprod+fp16", "-DGROK1_NEON"]],
    // GCC's scheduler would rather fill registers early than keep the tiles' in them.
    i8mm: [["-march=armv8.2-a+dotprod+fp16+i8mm", "-fno-schedule-insns"], ["-march=armv8.2-a+dotprod+fp16+i8mm"]],
  },
};

class BuildError extends Error {}

try {
  await build();
} catch (error) {
  mkdirSync(out, { recursive: true });
  const reason = error instanceof BuildError ? error.message : String(error?.stack ?? error);
  const note = join(out, "why-not.txt");
  // Said already: what runs without the addon says so itself, each time.
  const known = quiet && existsSync(note) && readFileSync(note, "utf8") === `${reason}\n`;
  writeFileSync(note, `${reason}\n`);
  rmSync(join(out, "build-info.json"), { force: true });
  // An addon from older sources must not serve newer callers.
  rmSync(join(out, "grok1.node"), { force: true });
  if (!known)
    process.stderr.write(
      `warning: the native addon could not be built (${reason.split("\n")[0]}); grok1 will run on its much slower TypeScript backend. ` +
        "A C++20 compiler (GCC 11, Clang 14 or newer; on Windows LLVM's clang-cl) builds it; grok1 doctor says more\n",
    );
  if (!quiet) process.exitCode = 1;
}

async function build() {
  const started = performance.now();
  const sources = readdirSync(folder)
    .filter((file) => file.endsWith(".cpp"))
    .sort();
  const hash = (...parts) => {
    const sum = createHash("sha256");
    for (const part of parts) sum.update(part).update("\0");
    return sum.digest("hex");
  };
  const script = readFileSync(fileURLToPath(import.meta.url));
  const sourceHashes = new Map(sources.map((file) => [file, hash(...withIncludes(file))]));
  const environment = [
    process.env.CXX ?? "",
    process.env.CXXFLAGS ?? "",
    process.platform,
    process.arch,
    String(sanitize),
  ];
  const fingerprint = hashSources(folder);
  const stamp = hash(script, fingerprint, ...environment, ...[...sourceHashes].flat());
  const target = join(out, "grok1.node");
  const stampFile = join(out, "stamp");
  // Nothing changed: not even the compiler is looked for, since this runs before every start.
  if (!flag("--force") && existsSync(target) && read(stampFile) === stamp) return;

  const compiler = findCompiler();
  const include = findHeaders();
  mkdirSync(objects, { recursive: true });
  const known = isas[process.arch] ?? {};
  const enabled = new Map();
  // A compiler that compiles nothing, on a full disk say, must not look like one that does not know the instruction sets.
  probe(compiler, [], true);
  for (const [isa, lists] of Object.entries(known)) {
    const flags = lists.find((flags) => probe(compiler, flags));
    if (flags) enabled.set(isa, flags);
  }
  const missing = Object.keys(known).filter((isa) => !enabled.has(isa));
  if (missing.length > 0)
    process.stderr.write(`warning: ${compiler.version} does not know ${missing.join(", ")}: without those kernels\n`);
  const defines = ["NAPI_VERSION=8", "NODE_GYP_MODULE_NAME=grok1", "BUILDING_NODE_EXTENSION"].concat(
    [...enabled.keys()].map((isa) => `GROK1_HAVE_${isa.toUpperCase()}=1`),
  );
  const extra = (process.env.CXXFLAGS ?? "").split(" ").filter(Boolean);
  const common = compiler.cl
    ? [
        "/nologo",
        "/std:c++20",
        "/O2",
        "/EHsc",
        "/MT",
        "/utf-8",
        "/Zc:__cplusplus",
        "/clang:-ffp-contract=off",
        ...defines.map((d) => `/D${d}`),
        `/I${include}`,
      ]
    : [
        "-std=c++20",
        ...(sanitize ? ["-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"] : ["-O3", "-DNDEBUG"]),
        "-fPIC",
        // What is fused is written so: results then do not depend on the compiler's taste.
        "-ffp-contract=off",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Wno-psabi",
        // GCC 12 warns about its own AVX-512 headers.
        "-Wno-maybe-uninitialized",
        "-Wno-uninitialized",
        "-pthread",
        ...defines.map((d) => `-D${d}`),
        `-I${include}`,
      ];

  const jobs = [];
  const list = [];
  for (const file of sources) {
    const isa = isaOf(file);
    const isaFlags = isa === undefined || isa === "scalar" ? [] : enabled.get(isa);
    if (isaFlags === undefined) continue; // another architecture's, or beyond this compiler
    const args = [
      ...common,
      ...extra,
      ...isaFlags,
      ...(isa ? [`${compiler.cl ? "/D" : "-D"}GROK1_${isa.toUpperCase()}=1`] : []),
      ...(file === "addon.cpp" ? [`${compiler.cl ? "/D" : "-D"}GROK1_SOURCES=${fingerprint}`] : []),
    ];
    const object = join(objects, `${file.slice(0, -4)}.${compiler.cl ? "obj" : "o"}`);
    const key = hash(sourceHashes.get(file), compiler.version, ...args);
    list.push(object);
    if (flag("--force") || !existsSync(object) || read(`${object}.key`) !== key) jobs.push({ file, object, key, args });
  }

  const note = (text) => quiet || process.stderr.write(`${text}\n`);
  const progress = showProgress(jobs.length);
  let next = 0;
  const lanes = Math.max(2, Math.min(8, availableParallelism()));
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (next < jobs.length) {
        const { file, object, key, args } = jobs[next++];
        progress.show(file, next);
        rmSync(`${object}.key`, { force: true });
        const part = `${object}.${process.pid}.tmp`; // another build may run at the same time
        const io = compiler.cl ? ["/c", join(folder, file), `/Fo${part}`] : ["-c", join(folder, file), "-o", part];
        await run(compiler, [...args, ...io], file);
        renameSync(part, object);
        writeFileSync(`${object}.key`, key);
      }
    }),
  ).finally(progress.end);

  // Beside, then renamed: a process that has the old addon open keeps it.
  const fresh = join(out, `grok1.${process.pid}.tmp`);
  await link(compiler, list, fresh);
  if (!sanitize) checkLoads(fresh);
  if (windows && existsSync(target)) renameSync(target, join(out, `grok1.${Date.now()}.old`));
  renameSync(fresh, target);
  writeFileSync(
    join(out, "build-info.json"),
    `${JSON.stringify(
      {
        compiler: compiler.command,
        version: compiler.version,
        platform: process.platform,
        arch: process.arch,
        flags: [...common.filter((f) => f !== `-I${include}` && f !== `/I${include}`), ...extra],
        isas: ["scalar", ...enabled.keys()],
        missing,
        isaFlags: Object.fromEntries(enabled),
        seconds: Math.round((performance.now() - started) / 100) / 10,
      },
      null,
      2,
    )}\n`,
  );
  rmSync(join(out, "why-not.txt"), { force: true });
  writeFileSync(stampFile, stamp);
  note(`built ${target} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

/**
 * Says what is compiled: on a terminal in one line that changes, of which nothing stays; elsewhere a line for each file or, with
 * --quiet, one for all.
 */
function showProgress(count) {
  const { stderr } = process;
  const columns = stderr.isTTY && process.env.TERM !== "dumb" ? stderr.columns || 80 : 0;
  if (columns === 0 && quiet && count > 0) stderr.write(`Compiling the addon: ${count} of its files …\n`);
  return {
    show(file, number) {
      const line = `Compiling the addon: ${file} (${number} of ${count})`;
      if (columns > 0) stderr.write(`\r\u001b[K${line.slice(0, columns - 1)}`);
      else if (!quiet) stderr.write(`${line}\n`);
    },
    end() {
      if (columns > 0 && count > 0) stderr.write("\r\u001b[K");
    },
  };
}

/** The contents of a source and of every header of ours that it includes, directly or not. */
function withIncludes(file, seen = new Map()) {
  if (seen.has(file) || !existsSync(join(folder, file))) return seen.values();
  const text = readFileSync(join(folder, file), "utf8");
  seen.set(file, text);
  for (const [, header] of text.matchAll(/^\s*#include "([^"]+)"/gm)) withIncludes(header, seen);
  return seen.values();
}

function isaOf(file) {
  return /\.(\w+)\.cpp$/.exec(file)?.[1];
}

function findCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : windows ? ["clang-cl"] : ["c++", "g++", "clang++"];
  for (const candidate of candidates) {
    const [command, ...args] = candidate.split(" ");
    const { status, stdout, error } = spawnSync(command, [...args, "--version"], { encoding: "utf8" });
    if (error || status !== 0) continue;
    // LLVM's driver that takes the options of Microsoft's cl. That compiler itself lacks the vector extensions that kernels use.
    const cl = /(^|[\\/])clang-cl(\.exe)?$/i.test(command);
    const version = stdout.split(/\r?\n/)[0].trim();
    return { command, args, cl, version, clang: /clang/i.test(version) };
  }
  throw new BuildError(`no C++ compiler that will do was found: tried ${candidates.join(", ")}`);
}

function findHeaders() {
  try {
    const { include_dir: include } = createRequire(import.meta.url)("node-api-headers");
    if (existsSync(join(include, "node_api.h"))) return include;
  } catch {
    // Not installed: Node itself may have brought its headers.
  }
  const beside = join(dirname(process.execPath), "..", "include", "node");
  if (existsSync(join(beside, "node_api.h"))) return beside;
  throw new BuildError("no Node-API headers: neither the package node-api-headers nor Node's include folder is there");
}

/** Whether the compiler takes these flags. */
function probe(compiler, flags, needed = false) {
  const source = join(objects, "probe.cpp");
  writeFileSync(source, "int probe() { return 0; }\n");
  const args = [...compiler.args, ...flags, "-Werror", "-c", source, "-o", join(objects, "probe.o")];
  const { status, stderr, error } = spawnSync(compiler.command, args, { encoding: "utf8" });
  if (needed && status !== 0)
    throw new BuildError(
      `${compiler.version} compiles nothing: ${(error?.message ?? stderr.trim().split("\n")[0]) || `status ${status}`}`,
    );
  return status === 0;
}

async function link(compiler, list, target) {
  if (compiler.cl) {
    // Node's own symbols are found when the addon loads, from the executable, through an import library made of the list of names.
    const { def_paths: paths } = createRequire(import.meta.url)("node-api-headers");
    const library = join(objects, "node.lib");
    const lib = { command: "lib", args: [] };
    await run(
      lib,
      ["/nologo", `/def:${paths.node_api_def}`, `/out:${library}`, `/machine:${process.arch}`],
      "node.lib",
    );
    await run(
      compiler,
      ["/nologo", "/LD", ...list, library, "delayimp.lib", `/Fe${target}`, "/link", "/DELAYLOAD:node.exe"],
      "grok1.node",
    );
    return;
  }
  // All symbols are bound when the addon loads: a missing one is then an error to report, not a crash at its first call.
  const shape =
    process.platform === "darwin" ? ["-bundle", "-undefined", "dynamic_lookup"] : ["-shared", "-pthread", "-Wl,-z,now"];
  // The C++ library inside: an addon built here then loads on a machine with an older one, or none.
  const standalone =
    process.platform === "linux" && !compiler.clang && !sanitize ? ["-static-libstdc++", "-static-libgcc"] : [];
  const checks = sanitize ? ["-fsanitize=address,undefined"] : [];
  await run(compiler, [...shape, ...standalone, ...checks, ...list, "-o", target], "grok1.node");
}

/** In another process, so that what does not load cannot stay half loaded here. */
function checkLoads(file) {
  const code = "process.dlopen({ exports: {} }, process.argv[1])";
  const { status, stderr } = spawnSync(process.execPath, ["-e", code, file], { encoding: "utf8" });
  if (status === 0) return;
  rmSync(file, { force: true });
  const line = stderr.split("\n").find((text) => /error/i.test(text)) ?? `exit status ${status}`;
  throw new BuildError(`the addon was compiled but does not load: ${line}`);
}

function run({ command, args: first, version }, args, what) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...first, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    child.on("error", (error) => reject(new BuildError(`${command} could not be started: ${error.message}`)));
    child.on("close", (status) => {
      if (status === 0) resolve();
      else {
        const firstError = output.split("\n").find((line) => /error/i.test(line)) ?? output.split("\n")[0];
        reject(new BuildError(`${what} does not compile with ${version ?? command}: ${firstError}\n\n${output}`));
      }
    });
  });
}

function read(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}
