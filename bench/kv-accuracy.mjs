// What each type of key/value cache costs: KL divergence of next-token distributions from those with an f32 cache, and perplexity.
//
// usage: node bench/kv-accuracy.mjs --model model.gguf --text wiki.test.raw [--chunks 20] [--context 512] [--threads 2]
//
// Products with quantized weights round activations to 8 bits, and any change, however small, makes them round elsewhere: two
// runs that differ in nothing of weight are then some 0.003 nats apart. Give a model with f32 or f16 weights to see the cache alone.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { loadModel } from "../dist/index.js";

const { values: options } = parseArgs({
  options: {
    model: { type: "string" },
    text: { type: "string" },
    chunks: { type: "string", default: "20" },
    context: { type: "string", default: "512" },
    threads: { type: "string", default: "2" },
  },
});
const [chunks, context, threads] = [options.chunks, options.context, options.threads].map(Number);
const open = (kvType) => loadModel(options.model, { kvType, threads, contextLength: context });

/** log-probabilities of a row of logits, in place. */
function normalize(row) {
  let most = Number.NEGATIVE_INFINITY;
  for (const x of row) if (x > most) most = x;
  let sum = 0;
  for (const x of row) sum += Math.exp(x - most);
  const normalizer = most + Math.log(sum);
  for (let i = 0; i < row.length; i++) row[i] -= normalizer;
}

async function logprobsOf(model, tokens) {
  const { logits } = await model.logits(tokens);
  const vocab = logits.shape[1];
  return Array.from({ length: tokens.length }, (_, i) => {
    const row = logits.values.subarray(i * vocab, (i + 1) * vocab);
    normalize(row);
    return row;
  });
}

const types = ["f16", "q8_0", "q4_0"];
const exact = await open("f32");
const others = await Promise.all(types.map(open));
const tokens = exact.encode(readFileSync(options.text, "utf8"));
const results = types.map(() => ({ divergences: [], loss: 0, same: 0 }));
let [exactLoss, scored] = [0, 0];
for (let c = 0; c < Math.min(chunks, Math.floor(tokens.length / context)); c++) {
  const part = tokens.slice(c * context, (c + 1) * context);
  const expected = await logprobsOf(exact, part);
  for (let i = context / 2; i + 1 < part.length; i++, scored++) exactLoss -= expected[i][part[i + 1]];
  for (const [t, model] of others.entries()) {
    const found = await logprobsOf(model, part);
    for (const [i, row] of found.entries()) {
      const truth = expected[i];
      let divergence = 0;
      let [best, bestTruth] = [0, 0];
      for (let token = 0; token < row.length; token++) {
        divergence += Math.exp(truth[token]) * (truth[token] - row[token]);
        if (row[token] > row[best]) best = token;
        if (truth[token] > truth[bestTruth]) bestTruth = token;
      }
      results[t].divergences.push(divergence);
      if (best === bestTruth) results[t].same++;
      if (i >= context / 2 && i + 1 < part.length) results[t].loss -= row[part[i + 1]];
    }
  }
}
for (const model of [exact, ...others]) await model.close();

const exactPerplexity = Math.exp(exactLoss / scored);
console.log("| cache | mean KL | 99th percentile | same best token | perplexity | change |");
console.log("|---|---:|---:|---:|---:|---:|");
console.log(`| f32 | 0 | 0 | 100 % | ${exactPerplexity.toFixed(4)} | |`);
for (const [t, { divergences, loss, same }] of results.entries()) {
  const sorted = divergences.sort((a, b) => a - b);
  const mean = sorted.reduce((sum, x) => sum + x, 0) / sorted.length;
  const perplexity = Math.exp(loss / scored);
  console.log(
    `| ${types[t]} | ${mean.toExponential(2)} | ${sorted[Math.floor(0.99 * sorted.length)].toExponential(2)} | ` +
      `${((100 * same) / sorted.length).toFixed(2)} % | ${perplexity.toFixed(4)} | ${(100 * (perplexity / exactPerplexity - 1)).toFixed(3)} % |`,
  );
}
