// Teaches a model, with `grok1 finetune`, something that it cannot know: an invented language for commands to a house. Requests in
// plain English become commands whose words are made up here, so nothing that the base has read helps it.
//
// usage: node bench/lora-task.mjs --model smollm2.gguf [--rank 16] [--targets q_proj,v_proj] [--steps 80] [--rate 3e-3]
//        [--batch-tokens 288] [--memory 512M] [--examples 1200] [--seed 7] [--threads 2] [--keep FOLDER]
//
// The data are drawn from a seed. Held out are combinations of device, room and action that no training request has, so no request
// that is scored was ever seen. Scored is the exact answer, greedily, of the base, of the base with the adapter, and of the
// merged file; the base's SHA-256 is taken before and after; memory is watched from outside while the adapter is trained.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { loadModel } from "../dist/index.js";

const { values: options } = parseArgs({
  options: {
    model: { type: "string" },
    rank: { type: "string", default: "16" },
    targets: { type: "string", default: "q_proj,v_proj" },
    steps: { type: "string", default: "80" },
    rate: { type: "string", default: "3e-3" },
    memory: { type: "string", default: "512M" },
    "batch-tokens": { type: "string", default: "288" },
    examples: { type: "string", default: "1200" },
    seed: { type: "string", default: "7" },
    threads: { type: "string", default: "2" },
    keep: { type: "string" },
  },
});
if (options.model === undefined) throw new Error("which model? --model FILE");
const threads = Number(options.threads);

const devices = {
  lamp: "l4",
  heater: "h9",
  fan: "f2",
  radio: "r7",
  blind: "b5",
  kettle: "k1",
  door: "d6",
  camera: "c8",
};
const rooms = { kitchen: "k7", cellar: "c2", attic: "a9", garage: "g4", hall: "h1", study: "s3" };
const actions = { start: "^", stop: "~", check: "%" };
// Short, so that learning it costs little.
const system = { role: "system", content: "House." };
const phrasings = [
  (action, device, room, time) => `Please ${action} the ${device} in the ${room} at ${time}.`,
  (action, device, room, time) => `At ${time}, ${action} the ${device} in the ${room}.`,
  (action, device, room, time) => `In the ${room}, ${action} the ${device} at ${time}.`,
];

/** A device, a room, an action and a time become DEVICE@ROOM ACTION TIME: stop the heater in the cellar at 06:45 is h9@c2~0645 */
function makeTask(seed, examples) {
  const random = randomFrom(seed);
  const combinations = Object.keys(devices).flatMap((device) =>
    Object.keys(rooms).flatMap((room) => Object.keys(actions).map((action) => ({ device, room, action }))),
  );
  for (let i = combinations.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [combinations[i], combinations[j]] = [combinations[j], combinations[i]];
  }
  const draw = (from, count) => {
    const made = new Map();
    while (made.size < count) {
      const { device, room, action } = from[made.size % from.length];
      const [hour, minute] = [Math.floor(random() * 24), 5 * Math.floor(random() * 12)];
      const two = (n) => String(n).padStart(2, "0");
      const phrase = phrasings[Math.floor(random() * phrasings.length)];
      const prompt = phrase(action, device, room, `${two(hour)}:${two(minute)}`);
      const answer = `${devices[device]}@${rooms[room]}${actions[action]}${two(hour)}${two(minute)}`;
      const asked = [system, { role: "user", content: prompt }];
      made.set(prompt, { prompt, answer, messages: [...asked, { role: "assistant", content: answer }] });
    }
    return [...made.values()];
  };
  const cut = combinations.length / 6;
  return { heldOut: draw(combinations.slice(0, cut), 204), training: draw(combinations.slice(cut), examples) };
}

/** Uniform numbers from 0 to below 1 (mulberry32). */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function hashOf(path) {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest("hex");
}

/** Runs the command line; its document, and the most memory of its own, mapped files not counted, that was seen (Linux). */
async function grok1(...args) {
  const child = spawn(process.execPath, [resolve(import.meta.dirname, "../dist/cli/main.js"), ...args, "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let [output, most] = ["", 0];
  const watch = setInterval(() => {
    try {
      const found = /^RssAnon:\s*(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"));
      most = Math.max(most, 1024 * Number(found?.[1] ?? 0));
    } catch {
      // Another system, or it has just ended.
    }
  }, 50);
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  const began = performance.now();
  const status = await new Promise((done) => child.on("close", done));
  clearInterval(watch);
  if (status !== 0) throw new Error(`grok1 ${args[0]} ended with status ${status}`);
  return { document: JSON.parse(output), most, seconds: (performance.now() - began) / 1000 };
}

/** Share of exact answers. */
async function score(name, path, tests, adapters) {
  const model = await loadModel(path, {
    threads,
    contextLength: 256,
    cacheTokens: 4096,
    ...(adapters && { adapters }),
  });
  let right = 0;
  const misses = [];
  const rest = tests.values();
  const ask = async () => {
    for (const { prompt, answer, messages } of rest) {
      const { text } = await model.chat(messages.slice(0, -1), { temperature: 0, maxTokens: 20 }).result;
      if (text.trim() === answer) right++;
      else misses.push(`${prompt} -> ${JSON.stringify(text)}, expected ${answer}`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, ask));
  await model.close();
  console.log(`| ${name} | ${right} of ${tests.length} | ${((100 * right) / tests.length).toFixed(1)} % |`);
  for (const miss of misses.slice(0, 2)) console.error(`  ${name}: ${miss}`);
  return right / tests.length;
}

const mega = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
const folder = options.keep ?? mkdtempSync(join(tmpdir(), "grok1-lora-task-"));
mkdirSync(folder, { recursive: true });
try {
  const { training, heldOut } = makeTask(Number(options.seed), Number(options.examples));
  const seen = new Set(training.map(({ prompt }) => prompt));
  if (heldOut.some(({ prompt }) => seen.has(prompt))) throw new Error("a held-out request is in the training data");
  const data = join(folder, "requests.jsonl");
  writeFileSync(data, training.map(({ messages }) => `${JSON.stringify({ messages })}\n`).join(""));
  const before = await hashOf(options.model);

  console.log("| exact answers to held-out requests | | |\n| --- | ---: | ---: |");
  const base = await score("base", options.model, heldOut);
  const adapter = join(folder, "adapter");
  const { document, most, seconds } = await grok1(
    ...["finetune", "-m", options.model, "--data", data, "--out", adapter, "--rank", options.rank],
    ...["--targets", options.targets, "--steps", options.steps, "--rate", options.rate, "--held-out", "0"],
    ...[
      "--memory",
      options.memory,
      "--batch-tokens",
      options["batch-tokens"],
      "--context",
      "128",
      "--threads",
      options.threads,
    ],
  );
  const adapted = await score("base with the adapter", options.model, heldOut, [{ path: adapter }]);
  const merged = join(folder, "merged.gguf");
  await grok1("merge", "-m", options.model, "--lora", adapter, "--out", merged);
  const mergedKept = await score("merged, each matrix in the smallest type that keeps the update", merged, heldOut);
  await grok1("merge", "-m", options.model, "--lora", adapter, "--out", merged, "--type", "q8_0");
  const merged8 = await score("merged, changed matrices in q8_0", merged, heldOut);
  const same = before === (await hashOf(options.model));

  console.log(`
- rank ${options.rank} on ${options.targets}: ${document.trainable} parameters trained, ${(100 * document.frozenShare).toFixed(2)} % frozen
- ${document.step} steps in ${seconds.toFixed(0)} s, ${training.length} requests, loss ${document.loss.toFixed(4)} at the end
- memory beside the mapped file: bound ${options.memory}, estimated ${mega(document.estimate)}, at most ${mega(document.peakMemory)} after a step${most > 0 ? `, ${mega(most)} as seen from outside at any time` : ""}; ${mega(document.peakResident)} with the file's pages
- base file ${same ? "unchanged" : "CHANGED"}: SHA-256 ${before}`);
  const bound = Number.parseFloat(options.memory) * 1024 ** " KMGT".indexOf(options.memory.at(-1));
  const failed = [
    [base > 0.01, "the base can do it already"],
    [adapted < 0.95, "the adapter did not learn it"],
    [merged8 < 0.95, "the merged file cannot do it"],
    [mergedKept < base, "the merged file is worse than the base"],
    [document.frozenShare < 0.99, "less than 99 % frozen"],
    [Math.max(most, document.peakMemory) > bound, "the bound on memory was not kept"],
    [!same, "the base file changed"],
  ].filter(([wrong]) => wrong);
  for (const [, what] of failed) console.error(`lora-task: ${what}`);
  if (failed.length > 0) process.exitCode = 1;
} finally {
  if (options.keep === undefined) rmSync(folder, { recursive: true });
}
