// How near grok1 simulate is to what happens: stories are told by a trained mixture in memory for a share of its experts, and the trace of the
// same stories is replayed for each. The drive's rate is what the runs themselves were read at, that of memory what all in memory was computed with.
//
// usage: node bench/simulator.mjs --model wide.gguf [--shares 0.25,0.4,0.55,0.7,0.85] [--tokens 100] [--threads 2]
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBackend } from "../dist/engine/backend.js";
import { createCore } from "../dist/engine/core.js";
import { expertLayer, traceHead } from "../dist/engine/memory.js";
import { settleEngineOptions } from "../dist/engine/options.js";
import { recordRouting } from "../dist/engine/routing.js";
import { openGguf } from "../dist/formats/gguf/file.js";
import { loadModel } from "../dist/index.js";
import { createExpertCache } from "../dist/memory/expert-cache.js";
import { createLookAhead } from "../dist/memory/look-ahead.js";
import { simulate } from "../dist/memory/simulate.js";
import { parseTrace } from "../dist/memory/trace.js";
import { bindModel } from "../dist/model/registry.js";
import { readOptions, required } from "./options.mjs";

const shares = "0.25,0.4,0.55,0.7,0.85";
const given = readOptions(import.meta.url, { model: required, shares, tokens: 100, threads: 2 });
const file = openGguf(given.model);
const head = traceHead(file);
const { layers, experts, expertBytes, keptBytes } = head;
const all = expertBytes.reduce((sum, bytes) => sum + bytes, 0) * experts;
const trace = join(tmpdir(), `grok1-simulator-${process.pid}.jsonl`);

const prompts = [
  "Write a story about a cat who sails across the ocean.",
  "Write a short story about a brave little mouse.",
];
const reader = await loadModel(given.model);
const texts = prompts.map((content) => reader.encodeChat([{ role: "user", content }]));
await reader.close();

/** Tells the stories, `times` times, of which the last counts. */
async function tell(bytes, { record = false, times = 1 } = {}) {
  const cache = createExpertCache({ bytes, layers, experts });
  const inner = createLookAhead();
  let reading = 0;
  const lookAhead = {
    get plan() {
      return inner.plan;
    },
    add(seen) {
      reading += seen.reading / 1000;
      inner.add(seen);
    },
  };
  const streaming = { cache, layerOf: expertLayer, lookAhead };
  const { ops: plain, slots } = await openBackend({ threads: given.threads }, undefined, streaming);
  const recorded = record ? recordRouting(plain, trace, head) : undefined;
  const ops = recorded?.ops ?? plain;
  const model = bindModel(ops, file);
  await slots.ready();
  const settled = settleEngineOptions({ contextLength: 512, speculate: false }, ops, model.config, { path: file.path });
  let seconds = 0;
  let tokens = 0;
  for (let time = 0; time < times; time++) {
    // What prompts begin with alike is not kept from one time to the next.
    const core = createCore(ops, model, settled);
    tokens = 0;
    const began = performance.now();
    for (const [id, prompt] of texts.entries()) {
      const options = { temperature: 0, maxTokens: given.tokens };
      await core.generate(id + 1, undefined, { tokens: prompt, options }, (more) => {
        tokens += more.length;
      });
    }
    seconds = (performance.now() - began) / 1000;
    if (time === times - 1) await core.close();
  }
  recorded?.close();
  ops.close();
  return { seconds, tokens, reading, ...slots.counters };
}

await tell(2 * all, { record: true });
const replayed = parseTrace(readFileSync(trace, "utf8"), trace);
rmSync(trace);
const whole = await tell(2 * all, { times: 2 });
const computed = replayed.passes.reduce(
  (sum, { asked }) => sum + keptBytes + asked.reduce((of, some, layer) => of + some.length * expertBytes[layer], 0),
  0,
);
const memoryBandwidth = computed / whole.seconds;

const percent = (value) => `${(100 * value).toFixed(1)} %`;
console.log(`memory is computed with at ${(memoryBandwidth / 1e9).toFixed(2)} GB/s`);
console.log("| memory for experts | drive | hits, measured | simulated | tokens/s, measured | simulated | |");
console.log(`| ${["---", ...Array(6).fill("---:")].join(" | ")} |`);
for (const share of given.shares.split(",").map(Number)) {
  const run = await tell(share * all);
  const driveBandwidth = run.bytesRead / run.reading;
  const machine = { bytes: share * all, driveBandwidth, memoryBandwidth, policy: "frequency", ahead: true };
  const told = simulate(replayed, machine);
  const [measured, expected] = [run.tokens / run.seconds, run.tokens / told.seconds];
  const row = [
    ...[percent(share), `${(driveBandwidth / 1e9).toFixed(2)} GB/s`, percent(run.there / run.asked)],
    ...[percent(told.hitRate), measured.toFixed(1), expected.toFixed(1), `${(expected / measured).toFixed(2)} x`],
  ];
  console.log(`| ${row.join(" | ")} |`);
}
file.close();
