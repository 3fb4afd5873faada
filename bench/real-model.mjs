// Compares grok1 with llama.cpp on a real model: the text that greedy decoding gives for ten prompts, and perplexity.
//
// usage: node bench/real-model.mjs --model smollm2.gguf --text wiki.test.raw [--count 100] [--context 512]
//        [--chunks 20] [--threads 2] [--backend native|reference]
// Greedy texts may part where the two best logits nearly tie, since both engines round activations differently: the gap
// between llama.cpp's two best logits at the first difference is printed beside the text.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadModel } from "../dist/index.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options } = parseArgs({
  options: {
    model: { type: "string" },
    text: { type: "string" },
    count: { type: "string", default: "100" },
    context: { type: "string", default: "512" },
    chunks: { type: "string", default: "20" },
    threads: { type: "string", default: "2" },
    backend: { type: "string", default: "auto" },
  },
});
const [count, context, chunkCount, threads] = [options.count, options.context, options.chunks, options.threads].map(
  Number,
);

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

const model = await loadModel(options.model, { threads, backend: options.backend });
const prompts = questions.map((content) => [...model.encodeChat([{ role: "user", content }])]);
const tokens = model.encode(readFileSync(options.text, "utf8"));
const chunks = Array.from({ length: Math.min(chunkCount, Math.floor(tokens.length / context)) }, (_, i) => [
  ...tokens.subarray(i * context, (i + 1) * context),
]);
const from = context / 2;

const request = { model: options.model, threads, context: context + count + 64, prompts, count, chunks, from };
const peer = askPeer(request);
// How far rounding alone carries: the same engine, the same file, attention summed in another order.
const peerOtherwise = askPeer({ ...request, chunks: [], flashAttention: false });
const peerFused = askPeer({ ...request, chunks: [], flashAttention: true });

function askPeer(question) {
  const { status, stdout } = spawnSync(process.execPath, [join(root, "bench/peers/llama-cpp-text.mjs")], {
    input: JSON.stringify(question),
    stdio: ["pipe", "pipe", "inherit"],
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`the peer ended with status ${status}`);
  return JSON.parse(stdout);
}

let equal = 0;
for (const [i, prompt] of prompts.entries()) {
  const result = await model.generate(prompt, { temperature: 0, maxTokens: count }).result;
  const theirs = peer.greedy[i].tokens.filter((token) => !model.tokenizer.endOfGeneration.has(token));
  const parts = theirs.findIndex((token, at) => token !== result.tokens[at]);
  const same = parts < 0 && theirs.length === result.tokens.length;
  if (same) equal++;
  console.log(
    same
      ? `= ${questions[i]} (${theirs.length} tokens)`
      : `~ ${questions[i]} parts at token ${parts < 0 ? theirs.length : parts}, llama.cpp's gap there ${peer.greedy[i].gap[Math.max(0, parts)].toFixed(4)}`,
  );
  console.log(`    ${result.text.replaceAll("\n", " ").slice(0, 150)}`);
}
const peerEqual = peerFused.greedy.filter(
  ({ tokens }, i) => `${tokens}` === `${peerOtherwise.greedy[i].tokens}`,
).length;
console.log(
  `greedy text equal to llama.cpp's on ${equal} of ${questions.length}; ` +
    `llama.cpp with fused attention equals itself without on ${peerEqual}`,
);

let [sum, theirSum, scored] = [0, 0, 0];
for (const [i, chunk] of chunks.entries()) {
  const ours = await model.logprobs(chunk, { from });
  for (const [j, logprob] of peer.logprobs[i].entries()) {
    sum -= ours[j];
    theirSum -= logprob;
    scored++;
  }
}
const [ours, theirs] = [Math.exp(sum / scored), Math.exp(theirSum / scored)];
console.log(
  `perplexity over ${chunks.length} chunks of ${context}: ours ${ours.toFixed(4)}, llama.cpp ${theirs.toFixed(4)}, ` +
    `difference ${(100 * (ours / theirs - 1)).toFixed(3)} %`,
);
await model.close();
