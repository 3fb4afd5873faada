// What each type of key/value cache costs, ours and llama.cpp's: KL divergence of next-token distributions from those with an f32
// cache of the same engine, and perplexity.
//
// usage: node bench/kv-accuracy.mjs --model model.gguf --text wiki.test.raw [--chunks 40] [--context 512] [--every 4]
//        [--rows FILE] [--threads 2] [--quantized] [--no-peer]
//
// Products with quantized weights round activations to 8 bits, and any change, however small, makes them round elsewhere: two
// runs that differ in nothing of weight are then some 0.003 nats apart. So weights are decoded to f32, to see the cache alone;
// --quantized leaves them as they are. With --rows the chunks done are kept, and a later run with the same
// options goes on from there; an interrupt prints the table of what there is. --no-peer leaves llama.cpp out: it has no quantized
// caches for architectures that it runs without fused attention, `grok` among them.
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

const options = readOptions(import.meta.url, {
  ...{ model: required, text: required, chunks: 40, context: 512, every: 4, threads: 2, rows: optional },
  ...{ "no-peer": false, quantized: false },
});
const { chunks: chunkCount, context, every, threads } = options;
const text = readText(options.text);
const path = options.quantized ? options.model : await decodedCopy(options.model);
const types = ["f32", "f16", "q8_0", "q4_0"];
const models = [];
for (const kvType of types) models.push(await loadModel(path, { kvType, threads, contextLength: context }));
const peer = options["no-peer"]
  ? undefined
  : startPeer({ model: path, threads, context, caches: types, flashAttention: true });

/** Per cache type: { logprobs of the tokens but the first, divergences, same }. */
async function readOurs(chunk) {
  let truth;
  const caches = [];
  for (const model of models) {
    const { logits } = await model.logits(chunk);
    const vocab = logits.shape[1];
    truth ??= logits.values;
    const found = { logprobs: [], divergences: [], same: 0 };
    for (let i = every - 1; i + 1 < chunk.length; i += every) {
      const row = logits.values.subarray(i * vocab, (i + 1) * vocab);
      normalize(row);
      const { divergence, same } = compare(truth.subarray(i * vocab, (i + 1) * vocab), row);
      found.divergences.push(divergence);
      if (same) found.same++;
      found.logprobs.push(row[chunk[i + 1]]);
    }
    caches.push(found);
  }
  return caches;
}

let stopped = false;
process.once("SIGINT", () => {
  stopped = true;
});
const chunks = spreadChunks(models[0].encode(text), context, chunkCount);
const { rows, add } = openRows(options.rows);
while (rows.length < chunks.length && !stopped) {
  const chunk = chunks[rows.length];
  // Both at once: llama.cpp's logits are copied on one thread for most of its time.
  const theirs = peer?.ask({ compare: [...chunk], every });
  const ours = await readOurs(chunk);
  add({ ours, theirs: (await theirs)?.caches });
  console.error(`${rows.length} of ${chunks.length}`);
}
peer?.end();
for (const model of models) await model.close();

const digits = (value, error) =>
  value.toPrecision(Math.max(1, Math.min(3, 1 + Math.floor(Math.log10(value / error)) || 1)));
function cells(results, t) {
  const divergences = results.map((caches) => mean(caches[t].divergences));
  const all = results.flatMap((caches) => caches[t].divergences).sort((a, b) => a - b);
  const same = results.reduce((sum, caches) => sum + caches[t].same, 0) / all.length;
  const losses = (of) => results.map((caches) => -mean(caches[of].logprobs));
  const perplexity = Math.exp(mean(losses(t))).toFixed(3);
  if (t === 0) return ["0", "0", "100 %", perplexity, ""];
  const [divergence, error] = [mean(divergences), standardError(divergences)];
  return [
    `${digits(divergence, error)} ± ${error.toPrecision(1)}`,
    all[Math.floor(0.99 * all.length)].toPrecision(2),
    `${(100 * same).toFixed(1)} %`,
    perplexity,
    perplexityChange(losses(t), losses(0)),
  ];
}
console.log(
  `${describeText(options.text, rows.length, context)}, read after every ${every} tokens; weights ${options.quantized ? "as in the file" : "in f32"}.`,
);
const columns = ["mean KL", "99th percentile", "same best token", "perplexity", "change"];
const engines = [["grok1", rows.map(({ ours }) => ours)]];
if (peer) engines.push(["llama.cpp", rows.map(({ theirs }) => theirs)]);
const heads = engines.flatMap(([who]) => columns.map((name, i) => (i ? name : `${who}: ${name}`)));
console.log(`| cache | ${heads.join(" | ")} |`);
console.log(`|---|${"---:|".repeat(heads.length)}`);
for (const [t, type] of types.entries()) {
  console.log(`| ${[type, ...engines.flatMap(([, results]) => cells(results, t))].join(" | ")} |`);
}
