// How soon a generation ends that is cancelled while its prompt is read, and whether what follows is unharmed.
//
// usage: node bench/cancel.mjs --model model.gguf [--tokens 512] [--repeats 20] [--threads 2]
import { basename } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { loadModel } from "../dist/index.js";
import { readOptions, required } from "./options.mjs";
import { benchTokens, median } from "./tokens.mjs";

const options = readOptions(import.meta.url, { model: required, tokens: 512, repeats: 20, threads: 2 });
const { tokens: length, repeats, threads } = options;
const model = await loadModel(options.model, { threads, contextLength: length + 8 });
const tokens = [...benchTokens(length, model.tokenizer.vocabSize)];
// Another first token each time, so that no prompt is found in the cache of the one before.
const generate = (first) =>
  model.generate([300 + first, ...tokens.slice(1)], { maxTokens: 2, temperature: 0, ignoreEnd: true });

async function timeWhole(first) {
  const from = performance.now();
  const { tokens } = await generate(first).result;
  return { milliseconds: performance.now() - from, answer: tokens.join() };
}
await timeWhole(0);
const whole = await timeWhole(1);
const latencies = [];
for (let i = 0; i < repeats; i++) {
  const generation = generate(2 + i);
  // Spread over nine tenths of the prefill.
  await wait((whole.milliseconds * (0.05 + 0.9 * (i + 0.5))) / repeats);
  const from = performance.now();
  generation.cancel();
  const { finishReason } = await generation.result;
  if (finishReason === "cancelled") latencies.push(performance.now() - from);
}
const after = await timeWhole(1);
await model.close();
if (after.answer !== whole.answer) {
  console.error("the answer after cancelling is another one");
  process.exitCode = 1;
}
console.log("| model | prompt tokens | whole, ms | cancelled | median, ms | longest, ms |");
console.log("|---|---:|---:|---:|---:|---:|");
const cells = [median(latencies), Math.max(...latencies)].map((value) => value.toFixed(1));
console.log(
  `| ${[basename(options.model), length, whole.milliseconds.toFixed(0), latencies.length, ...cells].join(" | ")} |`,
);
