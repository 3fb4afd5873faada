// Measures a model that is larger than memory: grok1 with --memory and llama.cpp with its mapped file, each in a control group with the same limit,
// in turn, on the same file, which is dropped from the page cache before. One command, as root on Linux:
//
// usage: node bench/memory.mjs FILE.gguf --limit 8G [--prefill 1] [--decode 16] [--threads 2] [--repeat 1] [--cold] [--no-peer]
//        [--peer-seconds 600] [--write TITLE]
//
// Prints tokens a second, the bytes that ours read, how long they alone take at the drive's bandwidth, measured before and after, and the
// most memory that was charged to each group. --cold: without a run to warm up. A peer that does not end in its seconds is ended, which
// bounds its speed. --write: as the row TITLE of the table of docs/memory.md.
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createGroup, parseBytes } from "./control-group.mjs";
import { installPeer, peerVersion } from "./peers/ask.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const text = (fallback) => ({ type: "string", default: fallback });
const flag = { type: "boolean", default: false };
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...{ limit: text("8G"), prefill: text("1"), decode: text("16"), threads: text("2"), repeat: text("1") },
    ...{ cold: flag, "no-peer": flag, "peer-seconds": text("600"), write: { type: "string" } },
  },
});
const [file] = positionals;
if (file === undefined) {
  console.error("usage: node bench/memory.mjs FILE.gguf --limit 8G");
  process.exit(2);
}
const { threads, repeat, cold } = values;
const [prefill, decode, repeats] = [values.prefill, values.decode, repeat].map(Number);
const limit = parseBytes(values.limit);

/** What a script says in a group of its own; where it did not end in time, or was killed, only what it took. */
function runIn(name, args, seconds) {
  spawnSync("dd", [`if=${file}`, "iflag=nocache", "count=0"]);
  const group = createGroup(name, limit);
  const began = performance.now();
  const { status, signal, stdout, stderr, error } = spawnSync(...group.command([process.execPath, ...args]), {
    ...{ encoding: "utf8", maxBuffer: 2 ** 26, killSignal: "SIGKILL" },
    ...(seconds && { timeout: 1000 * seconds }),
  });
  const taken = (performance.now() - began) / 1000;
  const peak = group.peak();
  const killed = group.killed() > 0;
  group.end();
  if (killed || error?.code === "ETIMEDOUT") return { peak, taken, killed };
  if (status !== 0) throw new Error(`${name} ended with ${signal ?? status}: ${stderr.trim().split("\n").at(-1)}`);
  return { ...JSON.parse(stdout), peak, taken };
}

const giga = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;

/** Bytes a second of the file itself past the page cache, by grok1's own readers when nothing is computed. */
const drive = () => Number(execFileSync(process.execPath, [join(root, "bench", "drive.mjs"), file]));

const before = drive();
const ours = runIn("grok1", [
  join(root, "bench", "streamed.mjs"),
  JSON.stringify({ file, memory: limit, threads: Number(threads), prefill, decode, repeats, cold }),
]);
const after = drive();
const bandwidth = (before + after) / 2;
const peer = values["no-peer"] ? undefined : runPeer();

function runPeer() {
  installPeer();
  return runIn(
    "llama.cpp",
    [
      ...[join(root, "bench", "peers", "llama-cpp.mjs"), "--model", file, "--threads", threads, "--repeat", repeat],
      ...["--prefill", String(Math.max(1, prefill)), "--decode", values.decode, ...(cold ? ["--cold"] : [])],
    ],
    Number(values["peer-seconds"]),
  );
}

/** Tokens a second of what was asked for: of answers where there are any, else of prompts. */
const field = decode > 0 ? "decodeTokensPerSecond" : "prefillTokensPerSecond";
const ratesOf = decode > 0 ? "decodeSeconds" : "prefillSeconds";
const rate = ours[field];
if (rate === undefined) throw new Error(`grok1 ${ours.killed ? "was killed for memory" : "did not end"}`);
const ended = peer?.[field] !== undefined;
const rounds = repeats + (cold ? 0 : 1);
const peerRate = peer && (peer[field] ?? (rounds * (decode > 0 ? decode : prefill)) / peer.taken);
const { runs, hitRate, bytesRead, seconds, stalledSeconds, bytes, all, ofPrompt } = ours.streamed ?? {};
const digits = (value) => (value < 10 ? value.toFixed(3) : value.toFixed(1));
const readAlone = bytesRead / bandwidth / seconds;

console.log(
  `grok1: ${digits(rate)} tokens/s, peak ${giga(ours.peak)} of ${giga(limit)}, each: ${ours[ratesOf].map((each) => each.toFixed(2))} s`,
);
if (peer?.killed) console.log(`llama.cpp ${peerVersion()}: killed for memory after ${peer.taken.toFixed(0)} s`);
else if (peer) {
  const said = ended ? digits(peerRate) : `did not end in ${peer.taken.toFixed(0)} s, at most ${digits(peerRate)}`;
  console.log(`llama.cpp ${peerVersion()}: ${said} tokens/s, peak ${giga(peer.peak)}`);
  console.log(`ours beside the peer's: ${ended ? "" : "at least "}${(rate / peerRate).toFixed(2)} x`);
}
if (ours.streamed) {
  console.log(
    `experts: ${giga(bytes)} of memory, ${(100 * hitRate).toFixed(1)} % there, ${giga(bytesRead / runs)} read a run of ${(seconds / runs).toFixed(1)} s, ${(stalledSeconds / runs).toFixed(1)} s of them with nothing to compute; all of them are ${giga(all)}${decode === 0 ? `, of which a prompt asks for ${giga(ofPrompt)}: read ${(bytesRead / runs / ofPrompt).toFixed(2)} times` : ""}`,
  );
  console.log(
    `drive: ${giga(before)}/s before, ${giga(after)}/s after; those bytes alone take ${(bytesRead / runs / bandwidth).toFixed(1)} s, ${readAlone.toFixed(2)} of the run`,
  );
}

if (values.write !== undefined) {
  const page = join(root, "docs", "memory.md");
  const mark = ended ? ["", ""] : ["< ", "> "];
  const beside = peer?.killed
    ? ["killed", ""]
    : [mark[0] + digits(peerRate), `${mark[1]}${(rate / peerRate).toFixed(2)} x`];
  const cells = [
    ...[values.write, giga(limit), digits(rate), ...(peer ? beside : ["", ""])],
    ...(ours.streamed
      ? [giga(bytesRead / runs), `${(100 * hitRate).toFixed(0)} %`, readAlone.toFixed(2)]
      : ["none", "", ""]),
    ...[`${giga(before)}/s, ${giga(after)}/s`, giga(ours.peak), peer ? giga(peer.peak) : ""],
  ];
  writeFileSync(page, withRow(readFileSync(page, "utf8"), cells));
}

/** The page with a row of its table changed, or added. */
function withRow(page, cells) {
  const [start, end] = ["<!-- bench:memory:begin -->\n", "<!-- bench:memory:end -->"];
  const [from, to] = [page.indexOf(start) + start.length, page.indexOf(end)];
  if (from < start.length || to < from) throw new Error("docs/memory.md has no table between its marks");
  const head = [
    "| what | memory | grok1, tokens/s | llama.cpp | ratio | experts read | hits | of the drive | the drive before, after | most charged | llama.cpp's |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
  ];
  const rows = page
    .slice(from, to)
    .split("\n")
    .filter((line) => line !== "")
    .slice(2);
  const row = `| ${cells.join(" | ")} |`;
  const at = rows.findIndex((line) => line.startsWith(`| ${cells[0]} |`));
  if (at < 0) rows.push(row);
  else rows[at] = row;
  return `${page.slice(0, from)}${[...head, ...rows].join("\n")}\n${page.slice(to)}`;
}
