// What scoring costs conversations beside it, and what texts with a common beginning save.
//
// usage: node bench/scoring.mjs --model model.gguf --text text.txt [--threads 2] [--tokens 20000] [--context 512] [--questions 200] [--shared 1000]
//
// First, conversations decode alone, then while the perplexity of so many tokens of the text is measured: the time between two of
// their tokens, and the perplexity, which must be the same to the last digit as without company. Then multiple-choice
// questions with a common beginning are scored one by one and together; each value must be the same, bit for bit.
import { readFileSync } from "node:fs";
import { measurePerplexity } from "../dist/eval/perplexity.js";
import { loadModel } from "../dist/index.js";
import { readOptions, required } from "./options.mjs";

const options = readOptions(import.meta.url, {
  ...{ model: required, text: required, threads: 2, tokens: 20_000, context: 512, questions: 200, shared: 1000 },
});
const model = await loadModel(options.model, { threads: options.threads });
const text = readFileSync(options.text, "utf8");
const quantile = (values, part) => [...values].sort((a, b) => a - b)[Math.floor(part * (values.length - 1))];
const seconds = (began) => (performance.now() - began) / 1000;
const fail = (message) => {
  console.error(`scoring.mjs: ${message}`);
  process.exitCode = 1;
};

/** Four conversations, answer after answer until `over`: the milliseconds between each one's tokens, and how many it got. */
async function converse(over) {
  const gaps = [];
  const counts = [];
  const one = async (which) => {
    counts[which] = 0;
    for (let seed = 1; !over(seed); seed++) {
      let last;
      const prompt = `Once upon a time, ${["a cat", "an old man", "the moon", "a girl"][which]}`;
      const answer = model.generate(prompt, { maxTokens: 120, seed: seed + 100 * which, ignoreEnd: true });
      for await (const { tokens } of answer) {
        if (tokens.length === 0) continue;
        const now = performance.now();
        if (last !== undefined) gaps.push((now - last) / tokens.length);
        last = now;
        counts[which] += tokens.length;
      }
    }
  };
  await Promise.all([0, 1, 2, 3].map(one));
  return { gaps, counts };
}

const chunks = Math.ceil(options.tokens / options.context);
const perplexity = () => measurePerplexity(model, text, { context: options.context, chunks });
await converse((seed) => seed > 1);
const alone = await converse((seed) => seed > 5);
const beganAlone = performance.now();
const expected = await perplexity();
const scoringAlone = seconds(beganAlone);
let measured;
const beganBeside = performance.now();
const measuring = perplexity().then((result) => {
  measured = result;
  return seconds(beganBeside);
});
const beside = await converse(() => measured !== undefined);
const scoringBeside = await measuring;

console.log("| four conversations | median ms between tokens | 95 % | worst | tokens each |");
console.log("| --- | ---: | ---: | ---: | ---: |");
for (const [name, { gaps, counts }] of Object.entries({ alone, "beside scoring": beside })) {
  const shown = [quantile(gaps, 0.5), quantile(gaps, 0.95), quantile(gaps, 1)].map((value) => value.toFixed(2));
  console.log(`| ${[name, ...shown, counts.join(", ")].join(" | ")} |`);
}
const slowdown = quantile(beside.gaps, 0.5) / quantile(alone.gaps, 0.5);
console.log(
  `\nbetween tokens: ${slowdown.toFixed(2)} times the time alone; perplexity of ${chunks * options.context} tokens:`,
  `${expected.perplexity} in ${scoringAlone.toFixed(1)} s alone, ${measured.perplexity} in ${scoringBeside.toFixed(1)} s beside them`,
);
if (measured.negativeLogLikelihood !== expected.negativeLogLikelihood) fail("perplexity depends on its company");

const tokens = model.encode(text);
const length = Math.min(options.shared, model.info.contextLength - 40);
const questions = Array.from({ length: options.questions }, (_, i) => {
  const question = tokens.slice(length + 30 * (i >> 2), length + 30 * (i >> 2) + 20);
  const answer = tokens.slice(length + 40 * i + 1, length + 40 * i + 5);
  return { tokens: [...tokens.slice(0, length), ...question, ...answer], from: length + question.length };
});
const beganSingle = performance.now();
const single = [];
for (const { tokens: own, from } of questions) single.push(await model.logprobs(own, { from }));
const singleSeconds = seconds(beganSingle);
const beganTogether = performance.now();
const together = await model.score(questions);
const togetherSeconds = seconds(beganTogether);
console.log(
  `${questions.length} texts with ${length} tokens in common: ${singleSeconds.toFixed(2)} s one by one, ${togetherSeconds.toFixed(2)} s together,`,
  `${(singleSeconds / togetherSeconds).toFixed(1)} times as fast`,
);
const same = together.every((values, i) => values.every((value, j) => value === single[i][j]));
if (!same) fail("a text's values depend on its company");
await model.close();
