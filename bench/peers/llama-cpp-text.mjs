// Asks llama.cpp, through node-llama-cpp, what the accuracy benches compare. One JSON document a line comes in on standard input: the
// setup, then questions; one a question goes out.
//
// setup:    { model, threads, context, flashAttention, caches: [type of keys and values of each context] }
// question: { prompt: [ids], count }  greedy continuation: { tokens, gap: [logit of the first choice minus logit of the second] }
//           { chunk: [ids], from }    log-probabilities of the chunk's tokens, or of those from that one on, without the first: { logprobs }
//           { compare: [ids], every } all caches, beside the first, after every so many tokens: { caches: [{ logprobs, divergences, same }] }
import { createInterface } from "node:readline";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { compare, normalize } from "../distributions.mjs";

// Whoever interrupts a bench wants the answer under way; the end of the input ends this.
process.on("SIGINT", () => {});
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const setup = JSON.parse((await lines.next()).value);
const { threads } = setup;
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: setup.model, gpuLayers: 0 });
const sequences = [];
for (const cache of setup.caches ?? ["f16"]) {
  const context = await model.createContext({
    contextSize: setup.context,
    batchSize: 512,
    flashAttention: setup.flashAttention ?? "auto",
    threads: { ideal: threads, min: threads },
    experimentalKvCacheKeyType: cache.toUpperCase(),
    experimentalKvCacheValueType: cache.toUpperCase(),
  });
  sequences.push(context.getSequence());
}

async function continueGreedily({ prompt, count }) {
  const [sequence] = sequences;
  await sequence.clearHistory();
  const tokens = [];
  const gap = [];
  let next = prompt;
  while (tokens.length < count) {
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
  return { tokens, gap };
}

/** The chosen token's logit (the largest), the next one's and the sum of all: sorting and copying all logits takes longer than the model. */
async function scoreChunk({ chunk, from = 1 }) {
  const [sequence] = sequences;
  await sequence.clearHistory();
  const input = chunk.slice(0, -1).map((token, i) =>
    i + 1 < from
      ? token
      : [
          token,
          {
            generateNext: {
              token: true,
              totalLogitWeight: true,
              logits: { filter: { tokens: [chunk[i + 1]], includeSelected: true } },
              options: { temperature: 0 },
            },
          },
        ],
  );
  const logprobs = [];
  await sequence.controlledEvaluate(input, {
    onTokenResult(i, { next }) {
      const { logits, token, totalLogitWeight } = next;
      logprobs[i + 1 - from] = logits.get(chunk[i + 1]) - logits.get(token) - Math.log(totalLogitWeight);
    },
  });
  return { logprobs };
}

async function compareCaches({ compare: chunk, every }) {
  const truth = [];
  const caches = [];
  for (const [c, sequence] of sequences.entries()) {
    await sequence.clearHistory();
    const found = { logprobs: [], divergences: [], same: 0 };
    // All logits of a position: they come sorted, which takes long.
    const input = chunk.map((token, i) =>
      i + 1 < chunk.length && (i + 1) % every === 0 ? [token, { generateNext: { logits: true } }] : token,
    );
    await sequence.controlledEvaluate(input, {
      onTokenResult(i, { next }) {
        const row = new Float32Array(next.logits.size);
        for (const [id, logit] of next.logits) row[id] = logit;
        normalize(row);
        if (c === 0) truth.push(row);
        const { divergence, same } = compare(truth[found.divergences.length], row);
        found.divergences.push(divergence);
        if (same) found.same++;
        found.logprobs.push(row[chunk[i + 1]]);
      },
    });
    caches.push(found);
  }
  return { caches };
}

for await (const line of lines) {
  const question = JSON.parse(line);
  const answer = question.prompt ? continueGreedily : question.chunk ? scoreChunk : compareCaches;
  console.log(JSON.stringify(await answer(question)));
}
process.exit(0);
