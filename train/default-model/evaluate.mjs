/**
 * Prints, as Markdown for a model's card, what the default model does: bits per byte on held-out texts, use of its experts,
 * speed here, and samples. Everything is computed by grok1's own library, as users run it.
 *
 * Usage: node train/default-model/evaluate.mjs MODEL.gguf DATA_FOLDER [DOCUMENTS]
 * DATA_FOLDER is what prepare.mjs wrote; DOCUMENTS, for a quick look, how many of each held-out set to read.
 */
import { readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { createChat, loadModel } from "../../dist/index.js";

const [path, data, most = "Infinity"] = process.argv.slice(2);
if (path === undefined || data === undefined) {
  process.stderr.write("Usage: node train/default-model/evaluate.mjs MODEL.gguf DATA_FOLDER [DOCUMENTS]\n");
  process.exit(2);
}
const prompts = [
  "hi",
  "hello",
  "hola",
  "who are you",
  "what can you do?",
  "Tell me a story.",
  "Tell me a story about a dragon.",
  "tell me a story about a girl and her dog",
  "Tell me a fable about a fox.",
  'Write a story that begins with: "Once upon a time, there was a little robot."',
  "what is 2+2",
  "What is the capital of Spain?",
  "What is the opposite of hot?",
  "Explain quantum physics.",
  "cuéntame un cuento",
  "Cuéntame un cuento sobre un dragón.",
  "¿quién eres?",
  "¿Cuánto es 3 más 4?",
  "thanks",
  "bye",
];
const continued = ["Once upon a time", "Había una vez"];
const talk = ["hello", "yes please", "another one", "thank you", "bye"];

/** Subjects of requests: what our own stories are about, animals of their list of heroes, and what none of them names. */
const subjects = {
  "with templates of its own":
    "dragon fox robot princess cat boat cloud rabbit king kite mouse tree witch star bear garden whale giant frog moon",
  "that is an animal of the list of heroes": "snail octopus badger pelican lizard camel walrus swan donkey otter",
  "that no template names": "volcano skateboard submarine cactus meteor pineapple igloo dinosaur microscope saxophone",
};
const seeds = [1, 2, 3, 4, 5];

const say = (line = "") => process.stdout.write(`${line}\n`);
const quote = (text) => text.trim().replace(/^/gm, "> ");
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Bits per byte, the end token counted and its byte not, each text by itself; longer ones in windows that begin afresh. */
async function score(model, texts) {
  const { bos, eos } = model.tokenizer;
  const { contextLength } = model.info;
  const { layers, experts } = model.description.config;
  const chosen = Array.from({ length: layers }, () => new Array(experts).fill(0));
  let nats = 0;
  let bytes = 0;
  for (const text of texts) {
    const ids = [bos, ...model.tokenizer.encode(text), eos];
    bytes += Buffer.byteLength(text);
    for (let start = 0; start + 1 < ids.length; start += contextLength) {
      const window = ids.slice(start, Math.min(start + contextLength, ids.length - 1));
      const { logits, layers: seen } = await model.logits(window, { layers: true });
      for (const [layer, counts] of chosen.entries()) {
        for (const expert of seen.get(`experts.${layer}`).values) counts[expert]++;
      }
      const vocab = logits.shape[1];
      for (let row = 0; row < window.length; row++) {
        nats -= logProbability(logits.values.subarray(row * vocab, (row + 1) * vocab), ids[start + row + 1]);
      }
    }
  }
  return { documents: texts.length, bytes, bitsPerByte: nats / Math.LN2 / bytes, chosen };
}

function logProbability(row, token) {
  let greatest = -Infinity;
  for (const value of row) if (value > greatest) greatest = value;
  let sum = 0;
  for (const value of row) sum += Math.exp(value - greatest);
  return row[token] - greatest - Math.log(sum);
}

const heldOut = (name) =>
  readFileSync(join(data, `${name}-held-out.txt`), "utf8")
    .split("<|endoftext|>")
    .map((text) => text.trim())
    .filter(Boolean)
    .slice(0, Number(most));

const model = await loadModel(path);
const { parameters, parametersUsed } = model.description;
const { layers, experts } = model.description.config;

say(`## Figures`);
say();
say(
  `\`${basename(path)}\`: ${(statSync(path).size / 1e6).toFixed(1)} MB, ${(parameters / 1e6).toFixed(1)} M parameters,`,
);
say(
  `${(parametersUsed / 1e6).toFixed(1)} M used by a token; ${model.info.backend} backend, ${model.info.threads} threads.`,
);
say();
say("| held-out text | documents | bytes | bits per byte |");
say("|---|---|---|---|");
const chosen = Array.from({ length: layers }, () => new Array(experts).fill(0));
for (const name of ["tinystories", "fables"]) {
  const result = await score(model, heldOut(name));
  say(`| ${name} | ${result.documents} | ${result.bytes} | ${result.bitsPerByte.toFixed(3)} |`);
  for (const [layer, counts] of result.chosen.entries()) {
    for (const [expert, count] of counts.entries()) chosen[layer][expert] += count;
  }
}
say();
say(`Use of the experts over these texts (even use: ${percent(1 / experts)} each):`);
say();
say("| layer | least used | most used | unused |");
say("|---|---|---|---|");
for (const [layer, counts] of chosen.entries()) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const [least, greatest] = [Math.min(...counts), Math.max(...counts)];
  say(
    `| ${layer} | ${percent(least / total)} | ${percent(greatest / total)} | ${counts.filter((n) => n === 0).length} |`,
  );
}
say();
const bench = await model.bench({ prefill: 128, decode: 256, repeats: 5 });
say(
  `Decoding: ${bench.decodeTokensPerSecond.toFixed(0)} tokens/s; reading a prompt: ${bench.prefillTokensPerSecond.toFixed(0)} tokens/s.`,
);
say();

/** Of all answers, greedy and with the usual settings and each seed, how many are right. */
async function count(questions, isRight) {
  const right = isRight.map(() => 0);
  let asked = 0;
  for (const [question, expected] of questions) {
    for (const options of [{ temperature: 0 }, ...seeds.map((seed) => ({ seed }))]) {
      const { text } = await model.chat([{ role: "user", content: question }], options).result;
      asked++;
      for (const [i, holds] of isRight.entries()) right[i] += holds(text.toLowerCase(), expected) ? 1 : 0;
    }
  }
  return right.map((n) => `${n} of ${asked}`);
}
const names = (text, subject) => new RegExp(`\\b${subject}s?\\b`).test(text);
const keepsTo = (text, subject) => {
  const third = Math.ceil(text.length / 3);
  return names(text.slice(0, third), subject) && names(text.slice(-third), subject);
};
say(`"Tell me a story about a ...", greedy and with the usual settings and seeds ${seeds[0]} to ${seeds.at(-1)}:`);
say();
say("| a story about a thing | names it | names it in its first and in its last third |");
say("|---|---|---|");
for (const [where, list] of Object.entries(subjects)) {
  const questions = list
    .split(" ")
    .map((subject) => [`Tell me a story about ${/^[aeiou]/.test(subject) ? "an" : "a"} ${subject}.`, subject]);
  say(`| ${where} (${questions.length}) | ${(await count(questions, [names, keepsTo])).join(" | ")} |`);
}
say();
const numbers = Array.from({ length: 11 }, (_, n) => n);
const sums = numbers.flatMap((a) =>
  numbers.filter((b) => (a + 2 * b) % 5 === 0).map((b) => [`what is ${a}+${b}`, a + b]),
);
const isSum = (text, sum) => new RegExp(`\\b${sum}\\.?$`).test(text.trim());
say(`Sums of two numbers up to 10: ${await count(sums, [isSum])} right.`);
say();

say("## Samples");
say();
say("None was chosen: the same prompts each time, greedy, then with the usual settings and seed 1.");
/** What never ends is shown by its beginning. */
const show = ({ text, finishReason }) =>
  quote(finishReason === "stop" ? text : `${text.slice(0, 160)} … [until the context is full]`);
for (const prompt of prompts) {
  say();
  say(`**${prompt}**`);
  for (const options of [{ temperature: 0 }, { seed: 1 }]) {
    say();
    say(show(await model.chat([{ role: "user", content: prompt }], options).result));
  }
}
for (const prompt of continued) {
  say();
  say(`**${prompt}** … (\`grok1 run\`, 80 tokens)`);
  for (const options of [{ temperature: 0 }, { seed: 1 }]) {
    say();
    say(quote(prompt + (await model.generate(prompt, { ...options, maxTokens: 80 }).result).text));
  }
}
say();
say("A conversation (seed 1):");
const chat = createChat(model, { seed: 1 });
for (const text of talk) {
  say();
  say(`**${text}**`);
  say();
  say(show(await chat.send(text).result));
}
await model.close();
