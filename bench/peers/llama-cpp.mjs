// Measures llama.cpp, through node-llama-cpp's prebuilt processor backend, the way `grok1 bench` measures grok1:
// load, prefill of P tokens, and decode of N tokens with the next token given (so that routing varies and no sampling
// is timed), repeated, medians. Prints one JSON document.
//
// usage: node llama-cpp.mjs --model FILE [--prefill 512] [--decode 32] [--threads 2] [--repeat 5] [--cold] [--package FOLDER]
//        --first-token: load, evaluate one short prompt, print the time since the process started, and stop.
//        --cold: without a run to warm up.
//        --package: the node-llama-cpp to use; otherwise the one installed beside this file.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { benchTokens, median } from "../tokens.mjs";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    prefill: { type: "string", default: "512" },
    decode: { type: "string", default: "32" },
    threads: { type: "string", default: "2" },
    repeat: { type: "string", default: "5" },
    package: { type: "string" },
    cold: { type: "boolean", default: false },
    "first-token": { type: "boolean", default: false },
  },
});
const [prefill, decode, threads, repeat] = [values.prefill, values.decode, values.threads, values.repeat].map(Number);

const { getLlama, LlamaLogLevel } = await import(
  values.package ? pathToFileURL(join(values.package, "dist", "index.js")).href : "node-llama-cpp"
);
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, logLevel: LlamaLogLevel.error });
const started = performance.now();
const model = await llama.loadModel({ modelPath: values.model, gpuLayers: 0 });
const vocabulary = model.fileInfo.metadata.tokenizer.ggml.tokens.length;

/** A fresh context; llama.cpp's own choice of fused attention ("auto") stands, as its users get it. */
async function createSequence(contextSize) {
  const context = await model.createContext({ contextSize, batchSize: 512, threads: { ideal: threads, min: threads } });
  return { context, sequence: context.getSequence() };
}

if (values["first-token"]) {
  const { sequence } = await createSequence(512);
  for await (const _ of sequence.evaluate([...benchTokens(8, vocabulary)], { temperature: 0 })) break;
  console.log(JSON.stringify({ firstTokenSeconds: performance.now() / 1000 }));
  process.exit(0);
}

const { sequence } = await createSequence(prefill + decode + 8);
const loadSeconds = (performance.now() - started) / 1000;
const tokens = [...benchTokens(prefill + decode + 1, vocabulary)];

const prefillRates = [];
const decodeRates = [];
for (let round = values.cold ? 1 : 0; round <= repeat; round++) {
  await sequence.clearHistory();
  const from = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(0, prefill));
  const prefilled = performance.now();
  if (round > 0) prefillRates.push(prefill / ((prefilled - from) / 1000)); // the one before warms up
  if (decode === 0) continue;

  // The generator yields what the model would say; the token given back to it is what is evaluated next.
  const steps = sequence.evaluate([tokens[prefill]], { temperature: 0, yieldEogToken: true });
  await steps.next();
  const decoding = performance.now();
  for (let i = 1; i <= decode; i++) await steps.next(tokens[prefill + i]);
  const decoded = performance.now();
  await steps.return();
  if (round > 0) decodeRates.push(decode / ((decoded - decoding) / 1000));
}
console.log(
  JSON.stringify({
    loadSeconds,
    prefillTokensPerSecond: median(prefillRates),
    decodeTokensPerSecond: decode === 0 ? 0 : median(decodeRates),
    prefillRates,
    decodeRates,
  }),
);
process.exit(0);
