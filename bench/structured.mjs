// What holding answers to a grammar costs: random JSON Schemas at temperature 1.5, beside free text of as many tokens; every whole
// answer has to be valid, with ajv as judge.
//
// usage: node bench/structured.mjs [--model model.gguf] [--schemas 300] [--tokens 400] [--threads 2] [--seed 1]
//
// Free and held answers alternate; the table has the medians of each pair's ratio: of time, and of processor time, which does not change with what else the machine does.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import ts from "typescript";
import { loadModel } from "../dist/index.js";
import { readOptions } from "./options.mjs";

const root = resolve(import.meta.dirname, "..");
const options = readOptions(import.meta.url, {
  model: join(root, "models/grok1-stories-q8_0.gguf"),
  schemas: 300,
  tokens: 400,
  threads: 2,
  seed: 1,
});

/** The tests' own schemas and numbers, which are not compiled. */
async function importCase(path) {
  const { outputText } = ts.transpileModule(readFileSync(join(root, path), "utf8"), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ESNext },
  });
  return await import(`data:text/javascript,${encodeURIComponent(outputText)}`);
}
const { randomSchema } = await importCase("src/grammar/json-schema/random-schema.case.ts");

let state = options.seed;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
const judge = new Ajv2020({ strict: false, logger: false });
const model = await loadModel(options.model, { threads: options.threads, speculate: false });
const prompt = model.encodeChat([{ role: "user", content: "Answer in JSON." }]);
const sampling = { temperature: 1.5, topK: 0, topP: 1, minP: 0 };

async function timed(more) {
  const before = process.cpuUsage();
  const result = await model.generate(prompt, { ...sampling, ...more }).result;
  const { user, system } = process.cpuUsage(before);
  const tokens = Math.max(1, result.usage.completionTokens);
  return { result, seconds: result.timings.decodeSeconds / tokens, processor: (user + system) / 1e6 / tokens };
}

const counts = { valid: 0, cut: 0, refused: 0, invalid: 0 };
const ratios = { seconds: [], processor: [] };
const held = [];
await timed({ maxTokens: 50, ignoreEnd: true });
await timed({ maxTokens: 50, grammar: { json: true } });
for (let seed = 0; seed < options.schemas; seed++) {
  const schema = randomSchema(random);
  const answer = await timed({ maxTokens: options.tokens, seed, grammar: { schema } }).catch((error) => error);
  if (answer instanceof Error) {
    if (answer.code !== "unsupported") throw answer;
    counts.refused++;
    continue;
  }
  const { text, finishReason, tokens } = answer.result;
  if (finishReason !== "stop") counts.cut++;
  else if (judge.validate(schema, JSON.parse(text))) counts.valid++;
  else {
    counts.invalid++;
    console.error(`not valid: ${JSON.stringify(schema)}: ${text}`);
    process.exitCode = 1;
  }
  // Of few tokens nothing can be measured.
  if (tokens.length < 20) continue;
  const free = await timed({ maxTokens: tokens.length, seed, ignoreEnd: true });
  for (const name of ["seconds", "processor"]) ratios[name].push(answer[name] / free[name]);
  held.push(answer.seconds);
}
await model.close();

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
console.log(
  "| pieces | valid | cut short | refused | not valid | tokens/s | time, beside free text | processor time |",
);
console.log("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
const figures = [1 / median(held), median(ratios.seconds), median(ratios.processor)];
const row = [model.info.vocab, counts.valid, counts.cut, counts.refused, counts.invalid];
console.log(`| ${[...row, figures[0].toFixed(1), figures[1].toFixed(3), figures[2].toFixed(3)].join(" | ")} |`);
