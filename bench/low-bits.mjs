#!/usr/bin/env node
// Products of one token with rows of the types below 4 bits, beside llama.cpp's own kernels (its build for the same instruction set) and beside
// reading the same bytes, in turn, in one run: with each thread's rows in its second cache, and with rows in memory. Times are the
// threads' own processor time, so that what else the machine does disturbs them less. x86 on Linux, with a C++ compiler.
//
// usage: node bench/low-bits.mjs [--types iq1_s,tq2_0] [--isas avx2,avx512,avx512vbmi] [--threads 1,2] [--rounds 15] [--columns 6144]
//                                [--peer FOLDER | --alone] [--write]
//
// --peer: a folder with libggml-base.so and libggml-cpu-*.so; otherwise llama.cpp's is installed into bench/peers/ once; --alone: without it.
// --write: the table of docs/performance.md as well.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { optional, readOptions } from "./options.mjs";
import { installPeer, peerVersion } from "./peers/ask.mjs";

const all = "iq1_s,iq1_m,tq1_0,iq2_xxs,tq2_0,iq2_xs,iq2_s,q2_k,iq3_xxs,q3_k,iq3_s,mxfp4";
const isas = "avx2,avx512,avx512vbmi";
const root = fileURLToPath(new URL("..", import.meta.url));
const options = readOptions(import.meta.url, {
  ...{ types: all, isas, threads: "1,2", rounds: 15, columns: 6144 },
  ...{ peer: optional, alone: false, write: false },
});
for (const [name, known] of Object.entries({ types: all, isas })) {
  const strange = options[name].split(",").find((word) => !known.split(",").includes(word));
  if (strange !== undefined) refuse(`--${name}: there is no ${strange}, expected some of ${known}`);
}
if (options.columns % 256 !== 0 || options.columns === 0)
  refuse(`--columns is ${options.columns}, expected a multiple of 256`);
if (process.platform !== "linux" || process.arch !== "x64")
  refuse("these kernels are compared on x86 with Linux alone");

const results = [];
const measuring = startMeasuring();
const ended = once(measuring, "close");
for await (const line of createInterface({ input: measuring.stdout })) {
  const result = JSON.parse(line);
  results.push(result);
  const { type, isa, threads, cached, ours, share, ratio } = result;
  const place = cached ? "in cache" : "from memory";
  const beside = ratio === undefined ? "" : `, ${ratio.toFixed(2)} x llama.cpp`;
  console.error(`${type} ${isa} x ${threads} ${place}: ${ours.toFixed(1)} ns, ${share.toFixed(2)} of reading${beside}`);
}
const [status] = await ended;
if (status !== 0) refuse(`the measurement ended with status ${status}`, 1);
const table = renderTable();
console.log(table);
if (options.write) {
  const page = join(root, "docs", "performance.md");
  const marked = /(<!-- bench:low-bits:begin -->\n)[\s\S]*(<!-- bench:low-bits:end -->)/;
  writeFileSync(
    page,
    readFileSync(page, "utf8").replace(marked, (_, begin, end) => `${begin}${table}\n${end}`),
  );
}

function startMeasuring() {
  if (!options.alone && options.peer === undefined) installPeer();
  const installed = join(root, "bench/peers/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
  const peer = options.alone ? "" : resolve(options.peer ?? installed);
  const { types, isas, threads, rounds, columns } = options;
  const command = [join(root, "native/test/run.sh"), "low-bits", peer, isas, types, threads, `${rounds}`, `${columns}`];
  return spawn("sh", command, { stdio: ["ignore", "pipe", "inherit"] });
}

/** A row for each type and instruction set: nanoseconds that a thread takes for 256 columns. */
function renderTable() {
  const threads = options.threads.split(",").map(Number);
  const places = [
    { title: "in cache", cached: true, threads: threads[0] },
    ...threads.map((count) => ({
      ...{ title: `from memory, ${count} thread${count === 1 ? "" : "s"}`, cached: false },
      threads: count,
    })),
  ];
  const nameOf = ({ type, isa }) => `${type}, ${isa}`;
  const peer = options.alone
    ? "no peer"
    : `the peer is llama.cpp ${options.peer === undefined ? peerVersion() : "as it was given"}`;
  const head = ["type", "bytes"];
  for (const { title, cached } of places) head.push(`${title}: ns`, ...(cached ? [] : ["of reading"]), "x llama.cpp");
  const lines = [head, head.map((_, i) => (i === 0 ? "---" : "---:"))];
  for (const name of new Set(results.map(nameOf))) {
    const found = results.filter((result) => nameOf(result) === name);
    const cells = [name, found[0].bytes];
    for (const { cached, threads } of places) {
      const one = found.find((result) => result.cached === cached && result.threads === threads);
      cells.push(one.ours.toFixed(1), ...(cached ? [] : [one.share.toFixed(2)]), one.ratio?.toFixed(2) ?? "");
    }
    lines.push(cells);
  }
  return [
    `Measured ${new Date().toISOString().slice(0, 10)}: ${cpus()[0].model.trim()}; ${peer}. Medians of ${options.rounds}.`,
    "",
    ...lines.map((cells) => `| ${cells.join(" | ")} |`),
  ].join("\n");
}

function refuse(message, status = 2) {
  console.error(`low-bits.mjs: ${message}`);
  process.exit(status);
}
