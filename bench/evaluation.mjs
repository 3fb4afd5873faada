// Questions by log-likelihood beside lm-evaluation-harness with transformers on the processor: the same questions, the same weights, the
// same threads, one after the other in one run. Says how long each took, and how far log-likelihoods and figures are apart.
//
// usage: node bench/evaluation.mjs --model MODEL.gguf --data FOLDER --python PYTHON [--task hellaswag] [--questions 1000] [--threads 2] [--batch 16]
//          [--write]
// PYTHON is of an environment with the peer (bench/README.md), which decodes MODEL to f32. grok1 runs it decoded to f32 as well, with keys and values
// in f32, and as it is.
// --batch: how many texts the peer computes together. --write puts the table into docs/performance.md.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { loadModel } from "../dist/index.js";
import { evaluate } from "../dist/tasks/evaluate.js";
import { decodedCopy } from "./distributions.mjs";
import { readOptions, required } from "./options.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const options = readOptions(import.meta.url, {
  ...{ model: required, data: required, python: required, task: "hellaswag", questions: 1000, batch: 16 },
  ...{ threads: Math.min(availableParallelism(), 64), write: false },
});
const { task, questions, threads } = options;
const scratch = mkdtempSync(join(tmpdir(), "grok1-evaluation-"));
try {
  const decoded = await decodedCopy(options.model);
  const ours = [await measure("f32", decoded, "f32")];
  if (decoded !== options.model) ours.push(await measure("as it is", options.model, "f16"));
  report(ours, askPeer());
} finally {
  rmSync(scratch, { recursive: true });
}

async function measure(weights, path, kvType) {
  const records = join(scratch, `${weights}.jsonl`);
  const model = await loadModel(path, { threads, kvType });
  const began = performance.now();
  const [result] = await evaluate(model, [task], { data: options.data, limit: questions, records });
  const seconds = (performance.now() - began) / 1000;
  await model.close();
  const lines = readFileSync(records, "utf8").trimEnd().split("\n").slice(2);
  console.error(`grok1, ${weights}: ${seconds.toFixed(1)} s`);
  return { weights, seconds, metrics: result.metrics, logprobs: lines.map((line) => JSON.parse(line).logprobs) };
}

function askPeer() {
  const setup = {
    ...{ backend: "hf", model: dirname(resolve(options.model)), gguf: basename(options.model), data: options.data },
    ...{ tasks: [task], limit: questions, threads, batch: options.batch },
  };
  const script = join(root, "bench/peers/lm_eval_scores.py");
  const { status, error, stdout } = spawnSync(options.python, [script, JSON.stringify(setup)], {
    ...{ encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 30 },
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${script} ended with status ${status}`);
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

function report(ours, peer) {
  const count = peer.logprobs.length;
  const shown = (metrics) =>
    Object.entries(metrics).map(([metric, figure]) => `${metric} ${(figure.value ?? figure).toFixed(3)}`);
  const row = (who, weights, { seconds, figures, apart }) =>
    `| ${who} | ${weights} | ${seconds.toFixed(1)} | ${((1000 * seconds) / count).toFixed(0)} | ${(peer.seconds / seconds).toFixed(2)} | ${figures.join(", ")} | ${apart} |`;
  const head = `Measured ${new Date().toISOString().slice(0, 10)}: ${cpus()[0].model.trim()}, ${threads} threads; ${count} questions of ${task}, ${basename(options.model)}; the peer is lm-evaluation-harness ${peer.versions}, ${options.batch} texts at a time.`;
  const table = [
    ...[head, ""],
    "| engine | weights | seconds | seconds for 1,000 | times as fast | figures | log-likelihoods apart, at most |",
    "| --- | --- | ---: | ---: | ---: | --- | ---: |",
    row("lm-evaluation-harness", "f32", { seconds: peer.seconds, figures: shown(peer.results), apart: "" }),
    ...ours.map(({ weights, seconds, metrics, logprobs }) => {
      const apart = Math.max(
        ...logprobs.flatMap((own, i) => own.map((value, j) => Math.abs(value - peer.logprobs[i][j]))),
      );
      return row("grok1", weights, { seconds, figures: shown(metrics), apart: apart.toPrecision(2) });
    }),
  ].join("\n");
  console.log(table);
  if (options.write) publish(table);
}

function publish(table) {
  const page = join(root, "docs/performance.md");
  const marked = /(<!-- bench:evaluation:begin -->\n)[\s\S]*(<!-- bench:evaluation:end -->)/;
  const text = readFileSync(page, "utf8");
  if (!marked.test(text)) throw new Error(`${page}: no place for the table`);
  writeFileSync(
    page,
    text.replace(marked, (_, begin, end) => `${begin}${table}\n${end}`),
  );
}
