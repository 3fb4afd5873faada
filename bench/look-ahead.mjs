// What asking for the next layer's experts early saves: the same story told with and without, by a trained mixture whose experts are read as they
// are needed. bench/widen.mjs makes experts of a size that takes time to read.
//
// usage: node bench/look-ahead.mjs --model wide.gguf [--shares 0.25,0.5,0.75] [--tokens 150] [--threads 2]
import { openBackend } from "../dist/engine/backend.js";
import { createCore } from "../dist/engine/core.js";
import { expertLayer, traceHead } from "../dist/engine/memory.js";
import { settleEngineOptions } from "../dist/engine/options.js";
import { openGguf } from "../dist/formats/gguf/file.js";
import { loadModel } from "../dist/index.js";
import { createExpertCache } from "../dist/memory/expert-cache.js";
import { bindModel } from "../dist/model/registry.js";
import { readOptions, required } from "./options.mjs";

const given = readOptions(import.meta.url, { model: required, shares: "0.25,0.5,0.75", tokens: 150, threads: 2 });
const file = openGguf(given.model);
const { layers, experts, expertBytes } = traceHead(file);
const all = expertBytes.reduce((sum, bytes) => sum + bytes, 0) * experts;

const prompts = [
  "Write a story about a cat who sails across the ocean.",
  "Write a short story about a brave little mouse.",
];
const reader = await loadModel(given.model);
const texts = prompts.map((content) => reader.encodeChat([{ role: "user", content }]));
await reader.close();

async function tell(bytes, ahead) {
  const cache = createExpertCache({ bytes, layers, experts });
  const { ops: every, slots } = await openBackend({ threads: given.threads }, undefined, {
    cache,
    layerOf: expertLayer,
  });
  const { expect, ...others } = every;
  const ops = ahead ? every : others;
  const model = bindModel(ops, file);
  await slots.ready();
  const settled = settleEngineOptions({ contextLength: 512, speculate: false }, ops, model.config, { path: file.path });
  const core = createCore(ops, model, settled);
  const said = [];
  const began = performance.now();
  for (const [id, tokens] of texts.entries()) {
    const options = { temperature: 0, maxTokens: given.tokens };
    await core.generate(id + 1, undefined, { tokens, options }, (more) => said.push(...more));
  }
  const seconds = (performance.now() - began) / 1000;
  await core.close();
  every.close();
  return { said: said.join(), rate: said.length / seconds, seconds, ...slots.counters };
}

const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
const waited = ({ stalled }) => stalled.reduce((sum, each) => sum + (each ?? 0), 0) / 1000;
console.log(
  "| memory for experts | hits without | foretold rightly | waited without | with | less | tokens/s without | with |",
);
console.log("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
for (const share of given.shares.split(",").map(Number)) {
  const without = await tell(share * all, false);
  const withIt = await tell(share * all, true);
  if (without.said !== withIt.said) throw new Error("looking ahead changed the text");
  const { foretold, foretoldRight } = withIt;
  const row = [
    percent(share, 1),
    percent(without.there, without.asked),
    percent(foretoldRight, foretold),
    `${waited(without).toFixed(2)} s`,
    `${waited(withIt).toFixed(2)} s`,
    `${(waited(withIt) / waited(without)).toFixed(2)} x`,
    ...[without.rate.toFixed(1), withIt.rate.toFixed(1)],
  ];
  console.log(`| ${row.join(" | ")} |`);
}
file.close();
