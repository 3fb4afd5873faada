// What quantized files lose, ours and llama.cpp's of the same source: KL divergence of next-token distributions from the source's, by
// mixture; and whether both engines read ours alike.
//
// usage: node bench/quantization.mjs --model model-f16.gguf --calibrate calibration.txt --text test.txt
//        [--mixtures Q2_K,Q3_K_M,...] [--kinds plain,importance,compensated,fit] [--read Q2_K,...] [--calibration-chunks 32]
//        [--chunks 12] [--read-chunks 80] [--context 512] [--rows FILE] [--keep FOLDER] [--python python3] [--requantize] [--threads 2]
//
// For each mixture llama.cpp's quantizer makes a file with importance that `grok1 imatrix` measured, and grok1 makes one of each kind:
// the mixture without and with that importance, with errors compensated, and --fit to the size of llama.cpp's file. All are
// calibrated on the same chunks of one text and measured, by grok1, on another. Mixtures of --read are
// read by llama.cpp too, as they are and decoded to f32, on the same tokens: what is left of a difference there is how the engines
// compute, not what they read. With --rows what was measured is kept, and a later run goes on from there. llama.cpp's quantizer is
// called through Python's ctypes: the libraries are those of node-llama-cpp.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { meanSquares } from "../dist/convert/importance.js";
import { mixtureNamed } from "../dist/convert/mixtures.js";
import { openSource } from "../dist/convert/open-source.js";
import { openCalibration } from "../dist/eval/calibration.js";
import { firstScored } from "../dist/eval/chunks.js";
import { fitModel } from "../dist/eval/fit.js";
import { compareModels, loadModel, measureImportance, quantizeModel, writeImportance } from "../dist/index.js";
import { decodedCopy, mean, openRows, perplexityChange, readText, spreadChunks } from "./distributions.mjs";
import { optional, readOptions, required } from "./options.mjs";
import { installPeer, startPeer } from "./peers/ask.mjs";

const here = dirname(fileURLToPath(import.meta.url));
/** Of so many chunks one is read from the weights in f32 as well: that takes longer, and the two engines agree there. */
const decodedEvery = 4;
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
    "read-chunks": 80,
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

/** Losses of second halves of chunks by both engines, of our file as it is and, of some, of what it decodes to: a row for each chunk. */
async function readByBoth(mixture) {
  const known = readRows(mixture).length;
  if (known >= options["read-chunks"]) return;
  const out = join(folder, `read-${mixture}.gguf`);
  if (!existsSync(out)) await makers.importance(mixture, out);
  const decoded = await decodedCopy(out);
  const engines = {};
  for (const [name, path] of Object.entries({ quantized: out, decoded })) {
    const ours = await loadModel(path, { threads, contextLength: context });
    engines[name] = { ours, theirs: startPeer({ model: path, threads, context }) };
  }
  const from = firstScored(context);
  const { ours: model } = engines.quantized;
  const chunks = spreadChunks(model.encode(text), context, options["read-chunks"]);
  for (const [index, chunk] of [...chunks.entries()].slice(known)) {
    if (model.tokenizer.addBos) chunk[0] = model.tokenizer.bos;
    const row = { mixture, kind: "read" };
    for (const [name, { ours, theirs }] of Object.entries(engines)) {
      if (name === "decoded" && index % decodedEvery !== 0) continue;
      row[name] = {
        ours: -mean([...(await ours.logprobs(chunk, { from }))]),
        theirs: -mean((await theirs.ask({ chunk: [...chunk], from })).logprobs),
      };
    }
    add(row);
    const [losses, held] = ["theirs", "ours"].map((name) => readRows(mixture).map((each) => each.quantized[name]));
    console.error(`${mixture}, ${held.length} chunks: ${perplexityChange(losses, held)} in llama.cpp`);
  }
  for (const { ours, theirs } of Object.values(engines)) {
    theirs.end();
    await ours.close();
  }
  rmSync(decoded);
  if (options.keep === undefined) removeFile(out);
}

function readRows(mixture) {
  return rows.filter((row) => row.mixture === mixture && row.kind === "read");
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
  const scored = Math.max(...read.map((mixture) => readRows(mixture).length)) * (context - firstScored(context));
  console.log(
    `\nPerplexity of up to ${scored} tokens of ${basename(options.text)}; beside the same weights in f32, of every ${decodedEvery}th chunk of them.`,
  );
  console.log(
    "| ours with importance | perplexity here | in llama.cpp | in llama.cpp beside here | beside f32: here | in llama.cpp | f32 in llama.cpp |",
  );
  console.log("|---|---:|---:|---:|---:|---:|---:|");
  for (const mixture of read) {
    const found = readRows(mixture);
    const both = found.filter((row) => row.decoded !== undefined);
    const losses = (rows, name, engine) => rows.map((row) => row[name][engine]);
    const [ours, theirs] = ["ours", "theirs"].map((engine) => losses(found, "quantized", engine));
    const exact = losses(both, "decoded", "ours");
    const cells = [ours, theirs].map((each) => Math.exp(mean(each)).toFixed(3));
    cells.push(perplexityChange(theirs, ours));
    for (const [name, engine] of [
      ["quantized", "ours"],
      ["quantized", "theirs"],
      ["decoded", "theirs"],
    ]) {
      cells.push(perplexityChange(losses(both, name, engine), exact));
    }
    console.log(`| ${[mixture, ...cells].join(" | ")} |`);
  }
}
