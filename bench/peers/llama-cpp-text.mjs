// Asks llama.cpp, through node-llama-cpp, what bench/real-model.mjs compares: greedy continuations and the
// log-probabilities of a text's tokens. Reads one JSON request on standard input, prints one JSON answer.
//
// request: { model, threads, context, flashAttention, prompts: [[ids]], count, chunks: [[ids]], from }
// answer:  { greedy: [{ tokens, gap: [logit of the first choice minus logit of the second] }], logprobs: [[...]] }
import { readFileSync } from "node:fs";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const request = JSON.parse(readFileSync(0, "utf8"));
const llama = await getLlama({
  gpu: false,
  build: "never",
  maxThreads: request.threads,
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath: request.model, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: request.context,
  batchSize: 512,
  flashAttention: request.flashAttention ?? "auto",
  threads: { ideal: request.threads, min: request.threads },
});
const sequence = context.getSequence();

const greedy = [];
for (const prompt of request.prompts) {
  await sequence.clearHistory();
  const tokens = [];
  const gap = [];
  let next = prompt;
  while (tokens.length < request.count) {
    const input = next.map((token, i) =>
      i < next.length - 1
        ? token
        : [token, { generateNext: { token: true, logits: true, options: { temperature: 0 } } }],
    );
    const output = (await sequence.controlledEvaluate(input)).at(-1).next;
    const [first, second] = output.logits.values();
    const [best] = output.logits.keys();
    tokens.push(best);
    gap.push(first - second);
    if (model.isEogToken(best)) break;
    next = [best];
  }
  greedy.push({ tokens, gap });
}

// All logits of a position: the filtered ones come without the sum that would normalise them.
const logprobs = [];
for (const chunk of request.chunks) {
  await sequence.clearHistory();
  const input = chunk
    .slice(0, -1)
    .map((token, i) => (i + 1 >= request.from ? [token, { generateNext: { logits: true } }] : token));
  const row = [];
  await sequence.controlledEvaluate(input, {
    onTokenResult(i, { next }) {
      const [max] = next.logits.values();
      let sum = 0;
      for (const logit of next.logits.values()) sum += Math.exp(logit - max);
      row.push(next.logits.get(chunk[i + 1]) - max - Math.log(sum));
    },
  });
  logprobs.push(row);
}
console.log(JSON.stringify({ greedy, logprobs }));
process.exit(0);
