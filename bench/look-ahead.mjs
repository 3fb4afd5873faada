// What asking for the next layer's experts early saves: the same stories told without, always, and where it was measured to pay, in turn, by a trained
// mixture whose experts are read as they are needed; medians of the rounds. bench/widen.mjs makes experts of a size that takes time to read.
//
// usage: node bench/look-ahead.mjs --model wide.gguf [--shares 0.25,0.5,0.75] [--tokens 150] [--threads 2] [--rounds 3]
import { openBackend } from "../dist/engine/backend.js";
import { createCore } from "../dist/engine/core.js";
import { expertLayer, traceHead } from "../dist/engine/memory.js";
import { settleEngineOptions } from "../dist/engine/options.js";
import { openGguf } from "../dist/formats/gguf/file.js";
import { loadModel } from "../dist/index.js";
import { createExpertCache } from "../dist/memory/expert-cache.js";
import { bindModel } from "../dist/model/registry.js";
import { readOptions, required } from "./options.mjs";

const given = readOptions(import.meta.url, {
  model: required,
  shares: "0.25,0.5,0.75",
  tokens: 150,
  threads: 2,
  rounds: 3,
});
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

/** Nothing is foretold, everything that is foretold is read, or what was measured to pay. */
const ways = {
  without: { plan: "nothing", add() {} },
  always: { plan: "read", add() {} },
  measured: undefined,
};

async function tell(bytes, lookAhead) {
  const cache = createExpertCache({ bytes, layers, experts });
  const { ops, slots } = await openBackend({ threads: given.threads }, undefined, {
    ...{ cache, layerOf: expertLayer },
    ...(lookAhead && { lookAhead }),
  });
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
  ops.close();
  const waited = slots.counters.stalled.reduce((sum, each) => sum + (each ?? 0), 0) / 1000;
  return { said: said.join(), rate: said.length / seconds, waited, ...slots.counters };
}

const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
const middle = (runs, key) => runs.map((run) => run[key]).sort((a, b) => a - b)[runs.length >> 1];
console.log(
  "| memory for experts | hits without | waited without | always | measured | tokens/s without | always | measured | read ahead |",
);
console.log(`| ${["---", ...Array(8).fill("---:")].join(" | ")} |`);
for (const share of given.shares.split(",").map(Number)) {
  const runs = { without: [], always: [], measured: [] };
  for (let round = 0; round < given.rounds; round++) {
    for (const [way, lookAhead] of Object.entries(ways)) runs[way].push(await tell(share * all, lookAhead));
  }
  const each = Object.values(runs);
  if (new Set(each.flat().map(({ said }) => said)).size > 1) throw new Error("looking ahead changed the text");
  const { there, asked } = runs.without[0];
  const row = [
    percent(share, 1),
    percent(there, asked),
    ...each.map((some) => `${middle(some, "waited").toFixed(2)} s`),
    ...each.map((some) => middle(some, "rate").toFixed(1)),
    percent(middle(runs.measured, "bytesReadAhead"), middle(runs.measured, "bytesRead")),
  ];
  console.log(`| ${row.join(" | ")} |`);
}
file.close();
