// What a server of grok1 gives many at once, measured over HTTP: streams beside one alone and beside llama.cpp's; how soon an answer begins
// whose prompt begins as another did, before and after a restart, and in an agent's turns; that answers under load are those
// given alone; and that 1,000 requests, many of them left in the middle, leave nothing behind.
//
// usage: node bench/serving.mjs [--model FILE] [--smollm FILE] [--threads 2] [--streams 16] [--tokens 128] [--repeat 3] [--requests 1000] [--rounds 5]
//          [--no-peer] [--only streams|prefixes|agent|soak] [--write]
// Streams are measured with both models, what needs a long context with SmolLM2 alone. --write puts the table into docs/performance.md.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { optional, readOptions } from "./options.mjs";
import { installPeer, peerVersion } from "./peers/ask.mjs";
import { startServer, words } from "./server.mjs";
import { soak } from "./soak.mjs";
import { median } from "./tokens.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const options = readOptions(import.meta.url, {
  model: join(root, "models/grok1-stories-q8_0.gguf"),
  smollm: join(root, "bench/files/smollm2-135m-instruct-q4_1.gguf"),
  threads: Math.min(availableParallelism(), 64),
  streams: 16,
  tokens: 128,
  repeat: 3,
  requests: 1000,
  rounds: 5,
  "no-peer": false,
  only: optional,
  write: false,
});
const { streams, tokens, threads } = options;
const scratch = mkdtempSync(join(tmpdir(), "grok1-serving-"));
const lines = [];
const row = (what, value, bar) => {
  lines.push(`| ${what} | ${value} | ${bar} |`);
  console.error(`${what}: ${value} (${bar})`);
};
const ratio = (value) => `${value.toFixed(value < 1 ? 3 : 2)} x`;
const seconds = (value) => `${value.toFixed(3)} s`;

try {
  const files = [options.model, options.smollm].filter((file) => existsSync(file));
  for (const file of files) await measure("streams", measureStreams, file);
  if (files.includes(options.smollm)) {
    await measure("prefixes", measurePrefixes, options.smollm);
    await measure("agent", measureAgent, options.smollm);
  } else console.error(`left out, there is no ${options.smollm} (bench/README.md says how to get it)`);
  await measure("soak", measureSoak, options.model);
} finally {
  rmSync(scratch, { recursive: true });
}
const head = `Measured ${new Date().toISOString().slice(0, 10)}: ${cpus()[0].model.trim()}, ${threads} threads; the peer is llama.cpp ${peerVersion()}.`;
const table = [head, "", "| what | measured | asked for |", "|---|---:|---:|", ...lines].join("\n");
console.log(table);
if (options.write) publish();

async function measure(name, of, file) {
  if (options.only === undefined || options.only === name) await of(file);
}

async function measureStreams(file) {
  const name = basename(file, ".gguf");
  const server = await startServer(file, threads, ["--no-speculation"]);
  const questions = Array.from({ length: streams }, (_, i) => `${words(5, i + 1)} and then`);
  const body = (prompt) => ({ prompt, max_tokens: tokens, temperature: 0, ignore_eos: true });
  const rate = async (prompts) => {
    const began = performance.now();
    const texts = await Promise.all(
      prompts.map(async (prompt) => (await server.stream("completions", body(prompt))).text),
    );
    return { rate: (prompts.length * tokens * 1000) / (performance.now() - began), texts };
  };
  await rate(questions.slice(0, 1));
  // In turn, so that what else the machine does meets both.
  const [alone, together, peers] = [[], [], []];
  let same = true;
  for (let i = 0; i < options.repeat; i++) {
    alone.push((await rate([questions[i % streams]])).rate);
    together.push((await rate(questions)).rate);
    if (!options["no-peer"]) peers.push(await peerRate(file));
  }
  const { texts } = await rate(questions);
  for (const [i, question] of questions.entries()) same &&= (await rate([question])).texts[0] === texts[i];
  await server.end();
  const [one, all] = [median(alone), median(together)];
  row(`${name}: one stream, tokens/s`, one.toFixed(0), "");
  row(`${name}: ${streams} streams, tokens/s`, `${all.toFixed(0)} (${ratio(all / one)})`, "≥ 3 x one");
  if (peers.length > 0) {
    row(`${name}: llama.cpp, ${streams} sequences, tokens/s`, median(peers).toFixed(0), "");
    row(`${name}: ours to llama.cpp's`, ratio(median(together.map((rate, i) => rate / peers[i]))), "≥ 1.5 x");
  }
  row(`${name}: greedy answers under load as alone`, same ? "all the same" : "DIFFERENT", "all the same");
}

async function peerRate(file) {
  installPeer();
  // Not waited for by blocking: connections to the server that idle meanwhile are to be seen closing.
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(root, "bench/peers/llama-cpp-streams.mjs"),
    ...["--model", file, "--streams", String(streams), "--prompt", "8", "--tokens", String(tokens)],
    ...["--threads", String(threads), "--repeat", "1"],
  ]);
  return JSON.parse(stdout).tokensPerSecond;
}

async function measurePrefixes(file) {
  const folder = join(scratch, "prompts");
  const args = ["--prompt-cache", folder];
  let server = await startServer(file, threads, args);
  await server.stream("completions", { prompt: "warm", max_tokens: 2 });
  const system = await textOf(server, 1500);
  const ask = (question) =>
    server.stream("chat/completions", {
      messages: [
        { role: "system", content: system },
        { role: "user", content: question },
      ],
      ...{ max_tokens: 8, temperature: 0, ignore_eos: true },
    });
  const first = await ask("Who is meant?");
  const later = [];
  for (let i = 1; i < 20; i++) later.push((await ask(`What of the ${words(4, i)}?`)).first);
  row("a prompt of 1,500 tokens, time to first token", seconds(first.first), "");
  row(
    "19 others that begin alike, median",
    `${seconds(median(later))} (${ratio(median(later) / first.first)})`,
    "≤ 0.15 x",
  );
  await server.end();
  server = await startServer(file, threads, args);
  await server.stream("completions", { prompt: "warm", max_tokens: 2 });
  const after = await ask("And who else?");
  row("the next one after a restart", `${seconds(after.first)} (${ratio(after.first / first.first)})`, "≤ 0.3 x");
  await server.end();

  // Nothing kept: one computes what all of them begin with.
  server = await startServer(file, threads, []);
  await server.stream("completions", { prompt: "warm", max_tokens: 2 });
  const began = await Promise.all(Array.from({ length: 16 }, (_, i) => ask(`What of the ${words(4, i)}?`)));
  const last = Math.max(...began.map(({ first }) => first));
  row("16 that begin alike at once, the last one's first token", `${seconds(last)} (${ratio(last / first.first)})`, "");
  await server.end();
}

/** A coding agent's shape: long instructions, and turns that each add an answer and a result. */
async function measureAgent(file) {
  const server = await startServer(file, threads, []);
  await server.stream("completions", { prompt: "warm", max_tokens: 2 });
  const system = await textOf(server, 4000);
  const messages = [{ role: "user", content: "List the files." }];
  const firsts = [];
  for (let turn = 0; turn < 8; turn++) {
    const body = { model: basename(file, ".gguf"), system, messages, max_tokens: 24, temperature: 0, stream: true };
    const { first, text } = await server.stream("messages", body);
    firsts.push(first);
    messages.push(
      { role: "assistant", content: text || "Yes." },
      { role: "user", content: `Result: ${words(40, turn)}` },
    );
  }
  await server.end();
  const next = median(firsts.slice(1));
  row("an agent's first turn, 4,000 tokens, time to first token", seconds(firsts[0]), "");
  row("its next turns, median", `${seconds(next)} (${ratio(next / firsts[0])})`, "≤ 0.1 x");
}

async function measureSoak(file) {
  for (const line of await soak(file, { threads, requests: options.requests, rounds: options.rounds })) row(...line);
}

/** A text of about so many tokens. */
async function textOf(server, count) {
  let text = words(count, 7);
  const many = (await server.tokenize(text)).length;
  text = text
    .split(" ")
    .slice(0, Math.floor((count / many) * count))
    .join(" ");
  return text;
}

function publish() {
  const page = join(root, "docs/performance.md");
  const text = readFileSync(page, "utf8");
  const marked = /(<!-- serving:begin -->\n)[\s\S]*(<!-- serving:end -->)/;
  const section = `\n## Many at once\n\nOver HTTP, which the repository's bench of serving repeats:\n\n<!-- serving:begin -->\n${table}\n<!-- serving:end -->\n`;
  writeFileSync(
    page,
    marked.test(text) ? text.replace(marked, (_, begin, end) => `${begin}${table}\n${end}`) : text + section,
  );
}
