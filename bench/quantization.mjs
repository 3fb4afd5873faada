// What quantized files lose, ours and llama.cpp's of the same source: KL divergence of next-token distributions from the source's, by
// mixture; and whether both engines read ours alike.
//
// usage: node bench/quantization.mjs --model model-f16.gguf --calibrate calibration.txt --text test.txt
//        [--mixtures Q2_K,Q3_K_M,...] [--kinds plain,importance,compensated,fit] [--read Q2_K,...] [--calibration-chunks 32]
//        [--chunks 12] [--context 512] [--rows FILE] [--keep FOLDER] [--python python3] [--requantize] [--threads 2]
//
// For each mixture llama.cpp's quantizer makes a file with importance that `grok1 imatrix` measured, and grok1 makes one of each kind:
// the mixture without and with that importance, with errors compensated, and --fit to the size of llama.cpp's file. All are
// calibrated on the same chunks of one text and measured, by grok1, on another. Mixtures of --read are
// read by llama.cpp too, as they are and decoded to f32, on the same tokens: what is left of a difference there is how the engines
// compute, not what they read. With --rows what was measured is kept, and a later run goes on from there. llama.cpp's quantizer is
// called through Python's ctypes: the libraries are those of node-llama-cpp.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { meanSquares } from "../dist/convert/importance.js";
import { mixtureNamed } from "../dist/convert/mixtures.js";
import { openSource } from "../dist/convert/open-source.js";
import { openCalibration } from "../dist/eval/calibration.js";
import { cutChunks, firstScored } from "../dist/eval/chunks.js";
import { fitModel } from "../dist/eval/fit.js";
import { compareModels, loadModel, measureImportance, quantizeModel, writeImportance } from "../dist/index.js";
import { decodedCopy, mean, openRows, readText } from "./distributions.mjs";
import { optional, readOptions, required } from "./options.mjs";
import { installPeer, startPeer } from "./peers/ask.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const options = readOptions(import.meta.url, {
  ...{
    model: required,
    calibrate: required,
    text: required,
    kinds: "plain,importance,compensated,fit",
    read: optional,
  },
  ...{
    mixtures: "Q2_K,Q3_K_S,Q3_K_M,Q4_K_S,Q4_K_M,Q5_K_M,Q6_K,IQ2_XS,IQ3_S,IQ4_XS",
    "calibration-chunks": 32,
    chunks: 12,
  },
  ...{ context: 512, rows: optional, keep: optional, python: "python3", requantize: false, threads: 2 },
});
const { model: source, threads, context, chunks, requantize } = options;
const folder = options.keep ?? mkdtempSync(join(tmpdir(), "grok1-quantization-"));
mkdirSync(folder, { recursive: true });
const [calibrationText, text] = [readText(options.calibrate), readText(options.text)];
const calibration = { chunks: options["calibration-chunks"], threads };
const { rows, add } = openRows(options.rows);
const importance = await makeImportance();
const libraries = peerLibraries();

const makers = {
  plain: async (type, out) => void (await quantizeModel({ source, out, type, threads, requantize })),
  importance: async (type, out) =>
    void (await quantizeModel({ source, out, type, threads, requantize, importance: importance.gguf })),
  async compensated(type, out) {
    const calibrated = openCalibration(source, calibrationText, calibration);
    try {
      await quantizeModel({ source, out, type, threads, requantize, rounding: calibrated.rounding });
    } finally {
      calibrated.close();
    }
  },
  async fit(_, out, size) {
    const { expectedDivergence, choices } = await fitModel({
      ...{ source, out, size, text: calibrationText, requantize, ...calibration },
      sensitivity: options.rows ? `${options.rows}.sensitivity.json` : join(folder, "sensitivity.json"),
      onMeasured: ({ tensor }, done, of) => console.error(`measured ${done} of ${of}: ${tensor}`),
    });
    const types = {};
    for (const { type } of choices) types[type] = (types[type] ?? 0) + 1;
    return { expectedDivergence, types };
  },
};

const mixtures = options.mixtures.split(",").filter(Boolean);
const kinds = options.kinds.split(",");
const read = options.read?.split(",") ?? [];
for (const mixture of mixtures) {
  const theirs = await measured(mixture, "llama.cpp", (out) => quantizeByPeer(mixture, out));
  for (const kind of kinds) await measured(mixture, kind, (out) => makers[kind](mixture, out, theirs.bytes));
}
for (const mixture of read) await readByBoth(mixture);
printTables();
if (options.keep === undefined) rmSync(folder, { recursive: true });

/** The row of a file, from an earlier run or of one that is made, measured and removed unless it is kept. */
async function measured(mixture, kind, make) {
  const known = rows.find((row) => row.mixture === mixture && row.kind === kind);
  if (known !== undefined) return known;
  const out = join(folder, `${mixture}-${kind}.gguf`);
  const began = performance.now();
  const more = await make(out);
  const seconds = (performance.now() - began) / 1000;
  const { divergence, perplexity } = await compareModels(source, out, text, { context, chunks, threads });
  const row = { mixture, kind, bytes: statSync(out).size, divergence, perplexity, seconds, ...more };
  add(row);
  console.error(`${mixture} ${kind}: ${row.bytes} bytes, KL ${divergence.mean.toFixed(5)}, in ${seconds.toFixed(0)} s`);
  if (options.keep === undefined) removeFile(out);
  return row;
}

async function makeImportance() {
  const found = await measureImportance(source, calibrationText, { ...calibration, context });
  const [gguf, plain] = [join(folder, "importance.gguf"), join(folder, "importance.bin")];
  await writeImportance(gguf, { ...found, datasets: [basename(options.calibrate)] });
  const parts = [...found.matrices].flatMap(([name, matrix]) => {
    const values = meanSquares(matrix);
    return [
      Buffer.from(`${JSON.stringify({ name, values: values.length })}\n`),
      Buffer.from(Float32Array.from(values).buffer),
    ];
  });
  writeFileSync(plain, Buffer.concat(parts));
  return { gguf, plain };
}

/** The folder of llama.cpp's libraries that node-llama-cpp has for this machine. */
function peerLibraries() {
  installPeer();
  const packages = join(here, "peers", "node_modules", "@node-llama-cpp");
  const folders = readdirSync(packages).flatMap((name) =>
    name.startsWith(`${process.platform === "win32" ? "win" : process.platform}-`) && !/cuda|vulkan/.test(name)
      ? readdirSync(join(packages, name, "bins")).map((bin) => join(packages, name, "bins", bin))
      : [],
  );
  const found = folders.find((each) => readdirSync(each).some((name) => name.startsWith("libllama.")));
  if (found === undefined) throw new Error(`${packages}: no llama.cpp for this machine`);
  return found;
}

function quantizeByPeer(mixture, out) {
  const opened = openSource(source);
  const { fileType } = mixtureNamed(mixture, opened, { informed: true, pure: false, overrides: [] });
  opened.close();
  const script = join(here, "peers", "llama_cpp_quantize.py");
  const args = [script, libraries, source, out, fileType, threads, importance.plain].map(String);
  const env = { ...process.env, LD_LIBRARY_PATH: libraries };
  const { status, error } = spawnSync(options.python, args, { stdio: ["ignore", "ignore", "inherit"], env });
  if (status !== 0) throw new Error(`${options.python}: llama.cpp's quantizer ended with ${error?.message ?? status}`);
}

/** Perplexity of second halves of chunks by both engines, of our file as it is and of what it decodes to. */
async function readByBoth(mixture) {
  if (rows.some((row) => row.mixture === mixture && row.kind === "read")) return;
  const out = join(folder, `read-${mixture}.gguf`);
  await makers.importance(mixture, out);
  const decoded = await decodedCopy(out);
  const row = { mixture, kind: "read" };
  for (const [name, path] of Object.entries({ quantized: out, decoded })) {
    const ours = await loadModel(path, { threads, contextLength: context });
    const peer = startPeer({ model: path, threads, context });
    const losses = { ours: [], theirs: [] };
    const first = firstScored(context) - 1;
    const cut = { context, most: chunks, least: 1, what: "bench" };
    for (const chunk of cutChunks(ours.encode(text), ours.tokenizer, cut)) {
      losses.ours.push(-mean([...(await ours.logprobs(chunk, { from: 1 }))].slice(first)));
      losses.theirs.push(-mean((await peer.ask({ chunk: [...chunk] })).logprobs.slice(first)));
    }
    peer.end();
    await ours.close();
    row[name] = { ours: Math.exp(mean(losses.ours)), theirs: Math.exp(mean(losses.theirs)) };
  }
  rmSync(decoded);
  removeFile(out);
  add(row);
}

function removeFile(path) {
  for (const end of ["", ".manifest.json", ".sha256"]) rmSync(path + end, { force: true });
}

function printTables() {
  console.log(
    `${basename(source)}; calibrated on ${calibration.chunks} chunks of ${basename(options.calibrate)}, measured on ${chunks} of ${basename(options.text)}.`,
  );
  const titles = { plain: "no importance", importance: "importance", compensated: "compensated", fit: "`--fit`" };
  console.log(`| mixture | bytes | llama.cpp | ${kinds.map((kind) => `${titles[kind]} | `).join("| ")}|`);
  console.log(`|---|---:|---:|${"---:|---:|".repeat(kinds.length)}`);
  for (const mixture of mixtures) {
    const find = (kind) => rows.find((row) => row.mixture === mixture && row.kind === kind);
    const theirs = find("llama.cpp");
    const cells = kinds.flatMap((kind) => {
      const { mean } = find(kind).divergence;
      return [mean.toFixed(4), `${(mean / theirs.divergence.mean).toFixed(2)} x`];
    });
    const { mean: divergence, error } = theirs.divergence;
    const base = `${divergence.toFixed(4)} ± ${error.toFixed(4)}`;
    console.log(`| ${[mixture, theirs.bytes.toLocaleString("en"), base, ...cells].join(" | ")} |`);
  }
  if (read.length === 0) return;
  console.log("\n| ours with importance | perplexity here | in llama.cpp | | decoded to f32, here | in llama.cpp | |");
  console.log("|---|---:|---:|---:|---:|---:|---:|");
  for (const mixture of read) {
    const row = rows.find((each) => each.mixture === mixture && each.kind === "read");
    const cells = [row.quantized, row.decoded].flatMap(({ ours, theirs }) => {
      const percent = 100 * (theirs / ours - 1);
      return [ours.toFixed(3), theirs.toFixed(3), `${percent < 0 ? "" : "+"}${percent.toFixed(2)} %`];
    });
    console.log(`| ${[mixture, ...cells].join(" | ")} |`);
  }
}
