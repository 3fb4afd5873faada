// Decodes several sequences at once with llama.cpp, through node-llama-cpp, and prints how many tokens a second they gave together.
//
// usage: node bench/peers/llama-cpp-streams.mjs --model FILE --streams 16 --prompt 8 --tokens 128 --threads 2 --repeat 3
import { parseArgs } from "node:util";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { benchTokens, median } from "../tokens.mjs";

const text = { type: "string" };
const { values } = parseArgs({
  options: { model: text, streams: text, prompt: text, tokens: text, threads: text, repeat: text },
});
const [streams, prompt, tokens, threads, repeat] = ["streams", "prompt", "tokens", "threads", "repeat"].map((name) =>
  Number(values[name]),
);
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: values.model, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: prompt + tokens + 8,
  sequences: streams,
  batchSize: 512,
  threads: { ideal: threads, min: threads },
});
const sequences = Array.from({ length: streams }, () => context.getSequence());
const all = [...benchTokens(streams * prompt, model.fileInfo.metadata.tokenizer.ggml.tokens.length)];

/** Seconds from the first prompt to the last token. */
async function run() {
  const began = performance.now();
  await Promise.all(
    sequences.map(async (sequence, i) => {
      await sequence.clearHistory();
      let count = 0;
      const input = all.slice(i * prompt, (i + 1) * prompt);
      for await (const _ of sequence.evaluate(input, { temperature: 0, yieldEogToken: true })) {
        if (++count === tokens) break;
      }
    }),
  );
  return (performance.now() - began) / 1000;
}

await run();
const rates = [];
for (let i = 0; i < repeat; i++) rates.push((streams * tokens) / (await run()));
console.log(JSON.stringify({ streams, tokensPerSecond: median(rates), rates }));
process.exit(0);
