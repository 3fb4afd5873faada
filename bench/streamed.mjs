// One model whose experts are read as they are needed, measured in a process of its own: see memory.mjs. Unless it is measured cold, the first runs
// fill memory, and do not count.
import { traceHead } from "../dist/engine/memory.js";
import { openGguf } from "../dist/formats/gguf/file.js";
import { loadModel } from "../dist/index.js";
import { describeModel } from "../dist/model/describe.js";

const { file, memory, threads, prefill, decode, repeats, cold } = JSON.parse(process.argv[2]);
const header = openGguf(file);
const { layers, experts, expertBytes } = traceHead(header);
const { used } = describeModel(header).config;
const model = await loadModel(file, { memory, threads, contextLength: Math.max(512, prefill + decode) });
// What memory is for is decided: whoever disturbs it may begin.
console.error("loaded");
const sum = (values) => values.reduce((total, each) => total + (each ?? 0), 0);
if (!cold) await model.bench({ prefill, decode });
const { experts: before } = await model.status();
const began = performance.now();
const result = await model.bench({ prefill, decode, repeats, cold });
const seconds = (performance.now() - began) / 1000;
const { experts: after } = await model.status();
const gained = (name) => after[name] - before[name];
console.log(
  JSON.stringify({
    ...result,
    // Its own run to warm up is as the others by now.
    streamed: before && {
      runs: repeats + (cold ? 0 : 1),
      ...{ seconds, bytes: after.bytes, bytesRead: gained("bytesRead"), hitRate: gained("there") / gained("asked") },
      stalledSeconds: (sum(after.stalled) - sum(before.stalled)) / 1000,
      all: experts * sum(expertBytes),
      // The last layer computes one token alone.
      ofPrompt: experts * sum(expertBytes.slice(0, layers - 1)) + used * expertBytes[layers - 1],
    },
  }),
);
await model.close();
