// How close a real model's quantized run comes to an exact one, beside llama.cpp on the same file: perplexity, and the texts that
// greedy decoding gives for ten prompts.
//
// usage: node bench/real-model.mjs --model smollm2.gguf --text wiki.test.raw [--parts perplexity,greedy] [--context 512] [--chunks 120]
//        [--peer-every 4] [--rows FILE] [--reference-tokens 64] [--count 100] [--threads 2]
//
// Exact are the same weights decoded to f32, with an f32 cache, on the native backend; how far that is from the reference backend is
// measured over --reference-tokens tokens, since the reference is slow. With --rows the chunks
// done are kept, and a later run with the same options goes on from there; an interrupt prints the table of what there is.
// Greedy texts may part where the two best logits nearly tie, since engines round activations differently.
import { loadModel } from "../dist/index.js";
import {
  compare,
  decodedCopy,
  describeText,
  mean,
  normalize,
  openRows,
  perplexityChange,
  readText,
  spreadChunks,
  standardError,
} from "./distributions.mjs";
import { optional, readOptions, required } from "./options.mjs";
import { startPeer } from "./peers/ask.mjs";
import { median } from "./tokens.mjs";

const options = readOptions(import.meta.url, {
  ...{ model: required, text: optional, parts: "perplexity,greedy", context: 512, chunks: 120, rows: optional },
  ...{ "peer-every": 4, "reference-tokens": 64, count: 100, threads: 2 },
});
const { context, threads, count } = options;
const text = options.parts.includes("perplexity") ? readText(options.text ?? "(no --text)") : "";
const parts = options.parts.split(",");

const contextLength = Math.max(context, count + 128);
const decoded = await decodedCopy(options.model);
const model = await loadModel(options.model, { threads, contextLength });
const exact = await loadModel(decoded, { threads, contextLength, kvType: "f32" });
const startLlama = (more) => startPeer({ model: options.model, threads, context: contextLength, ...more });

if (parts.includes("perplexity")) await comparePerplexity();
if (parts.includes("greedy")) await compareTexts();
await model.close();
await exact.close();

async function comparePerplexity() {
  const chunks = spreadChunks(model.encode(text), context, options.chunks);
  const peer = startLlama();
  let stopped = false;
  process.once("SIGINT", () => {
    stopped = true;
  });
  const { rows, add } = openRows(options.rows);
  // The next chunk is computed while this one is compared.
  const compute = (chunk) => chunk && Promise.all([exact.logits(chunk), model.logits(chunk)]);
  let ahead = compute(chunks[rows.length]);
  while (rows.length < chunks.length && !stopped) {
    const chunk = chunks[rows.length];
    const results = await ahead;
    ahead = compute(chunks[rows.length + 1]);
    const row = compareRows(chunk, ...results.map(({ logits }) => logits));
    if (rows.length % options["peer-every"] === 0) {
      row.theirs = lossesOf((await peer.ask({ chunk: [...chunk] })).logprobs);
    }
    add(row);
    const [ours, held] = ["ours", "exact"].map((name) => rows.map((each) => each[name].all));
    console.error(`${rows.length} of ${chunks.length}: ${perplexityChange(ours, held)} beside exact, all tokens`);
  }
  await ahead;
  peer.end();

  console.log(
    `Perplexity over ${describeText(options.text, rows.length, context)}; changes are means of paired log-ratios.`,
  );
  const line = (title, name, against, from) => {
    const cells = ["half", "all"].flatMap((part) => {
      const losses = from.map((row) => row[name][part]);
      const held = against && from.map((row) => row[against][part]);
      return [Math.exp(mean(losses)).toFixed(3), held ? perplexityChange(losses, held) : ""];
    });
    console.log(`| ${[title, from.length, ...cells].join(" | ")} |`);
  };
  const both = rows.filter(({ theirs }) => theirs);
  console.log("| run | chunks | second halves scored | change | all tokens scored | change |");
  console.log("|---|---:|---:|---:|---:|---:|");
  line("exact: weights in f32", "exact", undefined, rows);
  line("grok1 beside exact", "ours", "exact", rows);
  line("grok1 beside exact, where llama.cpp read too", "ours", "exact", both);
  line("llama.cpp beside exact", "theirs", "exact", both);
  line("grok1 beside llama.cpp", "ours", "theirs", both);
  const [divergence, same] = ["divergence", "same"].map((name) => rows.map((row) => row[name]));
  console.log(
    `grok1's KL divergence from exact: ${mean(divergence).toPrecision(3)} ± ${standardError(divergence).toPrecision(1)}; ` +
      `the same best token: ${(100 * mean(same)).toFixed(1)} % ± ${(100 * standardError(same)).toFixed(1)}.`,
  );

  const tokens = chunks[0].slice(0, options["reference-tokens"]);
  if (tokens.length < 2) return;
  const reference = await loadModel(options.model, { backend: "reference", contextLength });
  const truth = await reference.logprobs(tokens, { from: 1 });
  await reference.close();
  const [near, ours] = [await exact.logprobs(tokens, { from: 1 }), await model.logprobs(tokens, { from: 1 })];
  const percent = (found) => (100 * Math.expm1(mean([...truth]) - mean([...found]))).toExponential(1);
  console.log(
    `Beside the reference backend, over ${tokens.length} tokens: exact ${percent(near)} %, the quantized run ${percent(ours)} % ` +
      `(± ${(100 * standardError([...truth].map((x, i) => x - ours[i]))).toExponential(1)}).`,
  );
}

/** Mean losses of a chunk's log-probabilities, the first token's not among them. */
function lossesOf(logprobs) {
  return { all: -mean(logprobs), half: -mean(logprobs.slice(Math.floor(context / 2))) };
}

function compareRows(chunk, truth, found) {
  const vocab = truth.shape[1];
  const logprobs = { exact: [], ours: [] };
  const divergences = [];
  let equal = 0;
  for (let i = 0; i + 1 < chunk.length; i++) {
    const rows = [truth, found].map(({ values }) => values.subarray(i * vocab, (i + 1) * vocab));
    for (const row of rows) normalize(row);
    const { divergence, same } = compare(...rows);
    divergences.push(divergence);
    if (same) equal++;
    logprobs.exact.push(rows[0][chunk[i + 1]]);
    logprobs.ours.push(rows[1][chunk[i + 1]]);
  }
  const [held, ours] = [lossesOf(logprobs.exact), lossesOf(logprobs.ours)];
  return { exact: held, ours, divergence: mean(divergences), same: equal / divergences.length };
}

async function compareTexts() {
  const questions = [
    "What is the capital of France?",
    "Explain photosynthesis in two sentences.",
    "Write a short poem about the sea.",
    "Why is the sky blue?",
    "Give me three tips for learning to cook.",
    "¿Cuál es la capital de España?",
    "Cuéntame un cuento corto sobre un gato.",
    "Write a Python function that reverses a string.",
    "Who wrote Don Quixote, and when?",
    "Translate to Spanish: The house is big and white.",
  ];
  const prompts = questions.map((content) => [...model.encodeChat([{ role: "user", content }])]);
  const ended = (tokens) => tokens.filter((token) => !model.tokenizer.endOfGeneration.has(token));
  const ours = (engine) => async (prompt) => ({
    tokens: [...(await engine.generate(prompt, { temperature: 0, maxTokens: count }).result).tokens],
  });
  // llama.cpp twice, attention summed in another order: how far rounding alone carries the same engine.
  const [fused, plain] = [startLlama({ flashAttention: true }), startLlama({ flashAttention: false })];
  const theirs = (peer) => async (prompt) => {
    const { tokens, gap } = await peer.ask({ prompt, count });
    return { tokens: ended(tokens), gap };
  };
  const runs = { exact: ours(exact), grok1: ours(model), fused: theirs(fused), plain: theirs(plain) };
  const { rows: texts, add } = openRows(options.rows && `${options.rows}.greedy`);
  for (const [i, prompt] of prompts.entries()) {
    if (i < texts.length) continue;
    const row = {};
    for (const [name, run] of Object.entries(runs)) row[name] = await run(prompt);
    add(row);
    console.error(`${questions[i]} ${model.tokenizer.decode(row.grok1.tokens).replaceAll("\n", " ").slice(0, 120)}`);
  }
  fused.end();
  plain.end();

  console.log(`Greedy texts of up to ${count} tokens for ${questions.length} prompts.`);
  console.log(
    "| pair | equal texts | first tokens equal, mean | llama.cpp's gap of logits where they part, median (range) |",
  );
  console.log("|---|---:|---:|---:|");
  const pairs = {
    "grok1 and llama.cpp": ["fused", "grok1"],
    "grok1 and llama.cpp without fused attention": ["plain", "grok1"],
    "llama.cpp with and without fused attention": ["fused", "plain"],
    "exact and grok1": ["exact", "grok1"],
    "exact and llama.cpp": ["fused", "exact"],
  };
  for (const [title, [a, b]] of Object.entries(pairs)) {
    const common = [];
    const gaps = [];
    let equal = 0;
    for (const { [a]: one, [b]: other } of texts) {
      const most = Math.max(one.tokens.length, other.tokens.length);
      let at = 0;
      while (at < most && one.tokens[at] === other.tokens[at]) at++;
      common.push(at);
      if (at === most) equal++;
      else if (one.gap) gaps.push(one.gap[at]);
    }
    const range =
      gaps.length > 0 &&
      `${median(gaps).toFixed(3)} (${Math.min(...gaps).toFixed(3)} to ${Math.max(...gaps).toFixed(3)})`;
    const cells = [
      title,
      `${equal} of ${texts.length}`,
      `${mean(common).toFixed(0)} ± ${standardError(common).toFixed(0)}`,
    ];
    console.log(`| ${[...cells, range || ""].join(" | ")} |`);
  }
}
