// Measures grok1 and llama.cpp side by side on the same files, with the same threads, in one run, and writes the table
// and the chart into docs/. One command: `npm run bench`.
//
// usage: node bench/run.mjs [--only NAME] [--threads 2] [--repeat 5] [--files FOLDER] [--no-write] [--isa avx2]
// Files are made once (about 30 GB in all; one case at a time with --only); SmolLM2 is taken from --smollm FILE.
// --isa avx2: both engines as they run on a processor that has no more than that; a table of its own.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { drawChart } from "./chart.mjs";
import { installPeer, limitPeer, peerVersion } from "./peers/ask.mjs";
import { median } from "./tokens.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    threads: { type: "string", default: String(Math.min(availableParallelism(), 64)) },
    repeat: { type: "string", default: "5" },
    files: { type: "string", default: join(root, "bench", "files") },
    smollm: { type: "string", default: join(root, "bench", "files", "smollm2-135m-instruct-q4_1.gguf") },
    "no-write": { type: "boolean", default: false },
    isa: { type: "string" },
  },
});

/**
 * Grok-1's own layer shapes: two layers, since both engines leave out the last layer's experts for rows whose logits nobody
 * wants; four experts where eight would not fit beside the peer's own copy. And a narrow model in which attention
 * over a long context weighs most.
 */
const slice = (experts, type) => ["--layers", "2", "--experts", String(experts), "--type", type];
const deep = ["--layers", "4", "--width", "1536", "--heads", "12", "--kv-heads", "2", "--hidden", "512"];
const cases = [
  { name: "smollm2", title: "SmolLM2-135M, q4_1", file: options.smollm, prefill: 512, decode: 128, start: true },
  {
    name: "slice-q4_0",
    title: "Grok-1 slice, 8 experts, q4_0",
    make: slice(8, "q4_0"),
    prefill: 512,
    decode: 32,
    start: true,
  },
  { name: "slice-q8_0", title: "Grok-1 slice, 4 experts, q8_0", make: slice(4, "q8_0"), prefill: 512, decode: 32 },
  { name: "slice-q4_k", title: "Grok-1 slice, 4 experts, q4_K", make: slice(4, "q4_k"), prefill: 512, decode: 32 },
  { name: "slice-q6_k", title: "Grok-1 slice, 4 experts, q6_K", make: slice(4, "q6_k"), prefill: 512, decode: 32 },
  {
    name: "long-q4_0",
    title: "grok, 4 layers of width 1536, 8,000 tokens, q4_0",
    make: [...deep, "--vocabulary", "32000", "--context", "16384", "--type", "q4_0"],
    prefill: 8000,
    decode: 32,
  },
];
const known = cases.map(({ name }) => name);
const unknown = options.only?.find((name) => !known.includes(name));
const refuse = (message) => {
  console.error(`run.mjs: ${message}`);
  process.exit(2);
};
if (unknown !== undefined) refuse(`--only: there is no case ${unknown}, expected some of ${known.join(", ")}`);
if (options.isa !== undefined && options.isa !== "avx2") refuse(`--isa is ${options.isa}, expected avx2`);
for (const [name, most] of Object.entries({ threads: availableParallelism(), repeat: 1000 })) {
  // More threads than processors would slow the peer alone: grok1 takes no more than there are.
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < 1 || value > most)
    refuse(`--${name} is ${options[name]}, expected 1 to ${most}`);
}
const peers = join(root, "bench", "peers");
installPeer();
mkdirSync(options.files, { recursive: true });
const ourIsa = options.isa ? ["--isa", options.isa] : [];
const peerIsa = options.isa ? ["--package", limitPeer(options.files)] : [];

const machine = {
  processor: cpus()[0].model.trim(),
  threads: Number(options.threads),
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  system: `${process.platform} ${release().split("-")[0]}, Node ${process.versions.node}`,
  peer: `llama.cpp ${peerVersion()}`,
  date: new Date().toISOString().slice(0, 10),
};

const rows = [];
for (const bench of cases.filter(({ name }) => !options.only || options.only.includes(name))) {
  const file = bench.file ?? join(options.files, `${bench.name}.gguf`);
  if (!existsSync(file)) {
    if (bench.file) {
      if (options.only) process.exitCode = 1;
      console.error(`${bench.name}: left out, there is no ${file} (bench/README.md says how to get it)`);
      continue;
    }
    console.error(`${bench.name}: making ${file} …`);
    run(process.execPath, [join(root, "bench", "make-model.mjs"), file, ...bench.make]);
  }
  readWhole(file); // both meet a warm file
  console.error(`${bench.name}: grok1 …`);
  const counts = ["-p", String(bench.prefill), "-n", String(bench.decode), "-t", options.threads];
  const context = ["--context", String(bench.prefill + bench.decode + 8)];
  const ours = json(process.execPath, [
    join(root, "dist/cli/main.js"),
    "bench",
    "-m",
    file,
    ...counts,
    ...context,
    ...ourIsa,
    "--repeat",
    options.repeat,
    "--json",
  ]);
  console.error(`${bench.name}: llama.cpp …`);
  const peerScript = join(peers, "llama-cpp.mjs");
  const theirs = json(process.execPath, [
    peerScript,
    ...["--model", file, "--prefill", String(bench.prefill), "--decode", String(bench.decode)],
    ...["--threads", options.threads, "--repeat", options.repeat],
    ...peerIsa,
  ]);
  const row = { ...bench, file: undefined, make: undefined, ours, theirs };
  if (bench.start) {
    // The time to a first token includes starting the process: measured from outside, alternating, medians of three.
    const starts = { ours: [], theirs: [] };
    for (let i = 0; i < 3; i++) {
      starts.ours.push(
        await firstOutput([
          join(root, "dist/cli/main.js"),
          "run",
          "-m",
          file,
          "-t",
          options.threads,
          ...ourIsa,
          "-p",
          "tok1 tok2 tok3",
          "-n",
          "1",
          "--temperature",
          "0",
        ]),
      );
      starts.theirs.push(
        await firstOutput([peerScript, "--model", file, "--threads", options.threads, "--first-token", ...peerIsa]),
      );
    }
    row.start = { ours: median(starts.ours), theirs: median(starts.theirs) };
  }
  rows.push(row);
  console.error(describe(row));
  if (!options["no-write"] && !options.only) publish();
}
console.log(renderTable(machine, rows));

/** Rows are written as they come, so that a run that is cut leaves what it measured. */
function publish() {
  const page = join(root, "docs", "performance.md");
  const text = readFileSync(page, "utf8");
  const table = options.isa ? `bench:${options.isa}` : "bench";
  const marked = new RegExp(`(<!-- ${table}:begin -->\\n)[\\s\\S]*(<!-- ${table}:end -->)`);
  writeFileSync(
    page,
    text.replace(marked, (_, begin, end) => `${begin}${renderTable(machine, rows)}\n${end}`),
  );
  if (!options.isa) writeFileSync(join(root, "docs", "performance.svg"), drawChart(rows));
}

function renderTable(machine, rows) {
  const number = (value, digits = 1) =>
    value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits });
  const lines = [
    `Measured ${machine.date}: ${machine.processor}, ${machine.threads} threads${options.isa ? ", AVX2 alone" : ""}, ${machine.memoryGiB} GiB, ${machine.system}; the peer is ${machine.peer}. Medians of ${options.repeat} runs after a warm-up.`,
    "",
    "| what | grok1 | llama.cpp | ratio | floor | of the floor |",
    "|---|---:|---:|---:|---:|---:|",
  ];
  for (const { title, prefill, ours, theirs, start } of rows) {
    const decodeFloor = ours.memoryBandwidth / ours.bytesPerToken;
    lines.push(
      `| ${title}: prefill of ${number(prefill, 0)}, tokens/s | ${number(ours.prefillTokensPerSecond)} | ${number(theirs.prefillTokensPerSecond)} | **${number(ours.prefillTokensPerSecond / theirs.prefillTokensPerSecond, 2)} x** | | |`,
      `| ${title}: decode, tokens/s | ${number(ours.decodeTokensPerSecond, 2)} | ${number(theirs.decodeTokensPerSecond, 2)} | **${number(ours.decodeTokensPerSecond / theirs.decodeTokensPerSecond, 2)} x** | ${number(decodeFloor, 2)} | ${number(100 * ours.decodeFractionOfBandwidth, 0)} % |`,
    );
    if (start) {
      lines.push(
        `| ${title}: process start to first token, warm file, s | ${number(start.ours, 2)} | ${number(start.theirs, 2)} | **${number(start.ours / start.theirs, 3)} x** | | |`,
      );
    }
  }
  return lines.join("\n");
}

function describe({ name, ours, theirs, start }) {
  const ratio = (a, b) => `${a.toFixed(2)} : ${b.toFixed(2)} = ${(a / b).toFixed(2)}`;
  return [
    `${name}: prefill ${ratio(ours.prefillTokensPerSecond, theirs.prefillTokensPerSecond)}`,
    `decode ${ratio(ours.decodeTokensPerSecond, theirs.decodeTokensPerSecond)} (${(100 * ours.decodeFractionOfBandwidth).toFixed(0)} % of bandwidth)`,
    ...(start ? [`first token ${ratio(start.ours, start.theirs)}`] : []),
  ].join(", ");
}

/** Seconds from starting a Node process until it first writes to standard output. */
function firstOutput(args) {
  return new Promise((resolve, reject) => {
    const from = performance.now();
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    let seconds;
    child.stdout.once("data", () => {
      seconds = (performance.now() - from) / 1000;
    });
    child.stdout.resume();
    child.on("close", (code) =>
      code === 0 && seconds !== undefined ? resolve(seconds) : reject(new Error(`${args[0]} ended with ${code}`)),
    );
  });
}

function json(command, args) {
  return JSON.parse(run(command, args));
}

function run(command, args) {
  const { status, stdout } = spawnSync(command, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`${command} ${args.slice(0, 2).join(" ")} ended with status ${status}`);
  return stdout;
}

function readWhole(file) {
  if (process.platform !== "win32") spawnSync("sh", ["-c", 'cat "$0" > /dev/null', file], { cwd: dirname(file) });
}
