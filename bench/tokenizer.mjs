// Encoding speed of grok1's tokenizers beside the sentencepiece and tokenizers libraries, in one run, on one thread.
//
//   node bench/tokenizer.mjs TEXT [--sentencepiece tokenizer.model] [--gguf MODEL.gguf] [--python PATH] [--runs N]
//
// Builds nothing: needs `dist/` (npm run build). The Python libraries are optional; where they are absent the line says so.
// Runs alternate between the two sides, and medians are compared, since other programs disturb single ones.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sentencepiece: { type: "string" },
    gguf: { type: "string" },
    python: { type: "string", default: "python3" },
    runs: { type: "string", default: "7" },
    dist: { type: "string", default: new URL("../dist/", import.meta.url).pathname },
  },
});
if (positionals.length !== 1) {
  console.error("usage: node bench/tokenizer.mjs TEXT [--sentencepiece FILE] [--gguf FILE] [--python PATH] [--runs N]");
  process.exit(2);
}
const text = readFileSync(positionals[0], "utf8");
const megabytes = Buffer.byteLength(text) / 1e6;
const runs = Number(values.runs);
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const milliseconds = (work) => {
  const start = performance.now();
  work();
  return performance.now() - start;
};
const load = (path) => import(new URL(path, `file://${values.dist}`));

const peers = {
  sentencepiece: `
import sys, time, sentencepiece
m = sentencepiece.SentencePieceProcessor(model_file=sys.argv[2])
encode = m.encode`,
  // The GGUF's own vocabulary and merges, cut as GPT-2 does (with single digits for smollm): the work of most models.
  tokenizers: `
import os; os.environ["TOKENIZERS_PARALLELISM"] = "false"
import sys, time
from gguf import GGUFReader
from tokenizers import Tokenizer, models, pre_tokenizers as p
f = GGUFReader(sys.argv[2]).fields
c = lambda k: f["tokenizer.ggml." + k].contents()
t = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(c("tokens"))}, merges=[tuple(m.split(" ")) for m in c("merges")]))
b = p.ByteLevel(add_prefix_space=False)
t.pre_tokenizer = p.Sequence([p.Digits(individual_digits=True), b]) if c("pre") == "smollm" else b
encode = lambda s: t.encode(s, add_special_tokens=False).ids`,
};
const timing = `
s = open(sys.argv[1], encoding="utf8", newline="").read()
start = time.perf_counter(); ids = encode(s); print(time.perf_counter() - start, len(ids))
`;

function runPeer(name, file) {
  const child = spawnSync(values.python, ["-c", peers[name] + timing, positionals[0], file], { encoding: "utf8" });
  if (child.status !== 0) return undefined;
  const [seconds, count] = child.stdout.trim().split(" ").map(Number);
  return { seconds, count };
}

async function compare(name, file, open) {
  const loads = [];
  let tokenizer;
  for (let i = 0; i < 3; i++) loads.push(milliseconds(() => (tokenizer = open())));
  const ours = [];
  const theirs = [];
  const first = milliseconds(() => tokenizer.encode(text)) / 1000;
  let peer;
  for (let i = 0; i < runs; i++) {
    ours.push(milliseconds(() => tokenizer.encode(text)) / 1000);
    peer = i < 3 ? runPeer(name, file) : peer;
    if (peer && i < 3) theirs.push(peer.seconds);
  }
  const rate = (seconds) => `${(megabytes / seconds).toFixed(1)} MB/s`;
  const count = tokenizer.encode(text).length;
  console.log(`${tokenizer.kind}: load ${loads[0].toFixed(0)} ms, then ${median(loads).toFixed(0)} ms`);
  console.log(`  grok1          ${rate(median(ours))} (first time ${rate(first)}), ${count} tokens`);
  if (theirs.length === 0) console.log(`  ${name}: not measured, ${values.python} does not have it (or failed)`);
  else {
    const ratio = median(theirs) / median(ours);
    console.log(
      `  ${name.padEnd(14)} ${rate(median(theirs))}, ${peer.count} tokens; grok1 is ${ratio.toFixed(1)} times as fast`,
    );
  }
  for (const [what, long] of [
    ["1 MB of a", "a".repeat(1e6)],
    ["1 MB of spaces", " ".repeat(1e6)],
    ["1 MB of emoji", "😀".repeat(250_000)],
    ["1 MB of letters", Array.from({ length: 1e6 }, (_, i) => "etaoinshrdlu"[(i * 7919 + (i >> 3)) % 12]).join("")],
  ]) {
    console.log(`  ${what.padEnd(15)} ${milliseconds(() => tokenizer.encode(long)).toFixed(0)} ms`);
  }
}

if (values.sentencepiece) {
  const { tokenizerFromSentencePiece } = await load("tokenizer/sentencepiece-file.js");
  const bytes = readFileSync(values.sentencepiece);
  await compare("sentencepiece", values.sentencepiece, () => tokenizerFromSentencePiece(bytes, values.sentencepiece));
}
if (values.gguf) {
  const { openGguf } = await load("formats/gguf/file.js");
  const { tokenizerFromGguf } = await load("tokenizer/gguf.js");
  const file = openGguf(values.gguf);
  await compare("tokenizers", values.gguf, () => tokenizerFromGguf(file.metadata, values.gguf));
  file.close();
}
