// Measures a model that is larger than memory: grok1 with --memory and llama.cpp with its mapped file, each in a control group with the same limit,
// in turn, on the same file, which is dropped from the page cache before. One command, as root on Linux:
//
// usage: node bench/memory.mjs FILE.gguf --limit 8G [--prefill 0] [--decode 16] [--threads 2] [--repeat 1] [--no-peer]
//
// Prints a table: tokens a second, the bytes that ours read, how long they alone take at the drive's bandwidth, measured before and after, and the
// most memory that was charged to each group.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { installPeer, peerVersion } from "./peers/ask.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const text = (fallback) => ({ type: "string", default: fallback });
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...{ limit: text("8G"), prefill: text("0"), decode: text("16"), threads: text("2"), repeat: text("1") },
    "no-peer": { type: "boolean", default: false },
  },
});
const [file] = positionals;
if (file === undefined) {
  console.error("usage: node bench/memory.mjs FILE.gguf --limit 8G");
  process.exit(2);
}
const { prefill, decode, threads, repeat } = values;
const limit = Number.parseFloat(values.limit) * 1024 ** ("KMGT".indexOf(values.limit.at(-1).toUpperCase()) + 1);

/** A group with a limit for what runs in it, of either version of control groups. */
function createGroup(name) {
  const old = existsSync("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  const folder = join(old ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup", `grok1-bench-${name}-${process.pid}`);
  mkdirSync(folder);
  writeFileSync(join(folder, old ? "memory.limit_in_bytes" : "memory.max"), String(limit));
  if (!old) writeFileSync(join(folder, "memory.swap.max"), "0");
  const read = (path) => Number(readFileSync(join(folder, path), "utf8"));
  return {
    processes: join(folder, "cgroup.procs"),
    peak: () => read(old ? "memory.max_usage_in_bytes" : "memory.peak"),
    end: () => rmdirSync(folder),
  };
}

function runIn(name, args) {
  spawnSync("dd", [`if=${file}`, "iflag=nocache", "count=0"]);
  const group = createGroup(name);
  const script = `echo $$ > ${group.processes}; exec "$@"`;
  const { status, signal, stdout, stderr } = spawnSync("sh", ["-c", script, "sh", process.execPath, ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  const peak = group.peak();
  group.end();
  if (status !== 0) throw new Error(`${name} ended with ${signal ?? status}: ${stderr.trim().split("\n").at(-1)}`);
  return { ...JSON.parse(stdout), peak };
}

const giga = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;

/** Bytes a second of the file itself past the page cache, by as many readers as grok1 has. */
async function drive() {
  const readers = 8;
  const pieces = 40;
  const step = Math.floor(statSync(file).size / readers / 2 ** 22);
  const began = performance.now();
  await Promise.all(
    Array.from({ length: readers }, (_, i) => {
      const args = [`if=${file}`, "of=/dev/null", "bs=4M", "iflag=direct", `skip=${i * step}`, `count=${pieces}`];
      const child = spawn("dd", args, { stdio: "ignore" });
      return new Promise((resolve) => child.on("exit", resolve));
    }),
  );
  return (readers * pieces * 2 ** 22) / ((performance.now() - began) / 1000);
}

const rows = [];
const before = await drive();
const some = Math.max(1, Number(prefill));
const ours = runIn("grok1", [
  join(root, "bench", "streamed.mjs"),
  JSON.stringify({
    file,
    memory: limit,
    threads: Number(threads),
    prefill: some,
    decode: Number(decode),
    repeats: Number(repeat),
  }),
]);
const between = await drive();
const bandwidth = (before + between) / 2;
rows.push(["grok1", ours.prefillTokensPerSecond, ours.decodeTokensPerSecond, giga(ours.peak)]);
if (!values["no-peer"]) {
  installPeer();
  const peer = runIn("llama.cpp", [
    ...[join(root, "bench", "peers", "llama-cpp.mjs"), "--model", file, "--threads", threads, "--repeat", repeat],
    ...["--prefill", String(some), "--decode", decode],
  ]);
  rows.push([`llama.cpp ${peerVersion()}`, peer.prefillTokensPerSecond, peer.decodeTokensPerSecond, giga(peer.peak)]);
}
for (const [name, prefilled, decoded, peak] of rows) {
  console.log(
    `${name}: prefill ${prefilled.toFixed(3)} tokens/s, decode ${decoded.toFixed(3)} tokens/s, peak ${peak} of ${giga(limit)}`,
  );
}
if (rows.length > 1) {
  console.log(
    `ours beside the peer's: prefill ${(rows[0][1] / rows[1][1]).toFixed(2)} x, decode ${(rows[0][2] / rows[1][2]).toFixed(2)} x`,
  );
}
const { runs, hitRate, bytesRead, seconds, stalledSeconds, bytes } = ours.streamed;
console.log(
  `experts: ${giga(bytes)} of memory, ${(100 * hitRate).toFixed(1)} % there, ${giga(bytesRead / runs)} read a run of ${(seconds / runs).toFixed(1)} s, ${(stalledSeconds / runs).toFixed(1)} s of them with nothing to compute`,
);
console.log(
  `drive: ${giga(before)}/s before, ${giga(between)}/s after; those bytes alone take ${(bytesRead / runs / bandwidth).toFixed(1)} s, ${(bytesRead / bandwidth / seconds).toFixed(2)} of the run`,
);
