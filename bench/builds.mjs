// Measures two builds of grok1 against each other: each is a folder with its own dist/ and build/, such as a worktree of an older
// commit after `npm run build`. Runs alternate, and so does which of the two begins; the ratio after / before is taken of each pair, so
// that what else the machine does meets both alike. Above 1 the second build is the faster one.
//
// usage: node bench/builds.mjs BEFORE AFTER MODEL... [--pairs 7] [--threads 2] [--prefill 512] [--decode 32] [--repeat 3] [--context N]
//                              [--isa NAME] [--train CONFIG]
//
// --train also measures training steps of a configuration (`grok1 train --budget`, which trains nothing).
import { spawnSync } from "node:child_process";
import { basename, join, resolve } from "node:path";
import { optional, readOptions } from "./options.mjs";
import { median } from "./tokens.mjs";

const options = readOptions(
  import.meta.url,
  { pairs: 7, threads: 2, prefill: 512, decode: 32, repeat: 3, context: optional, isa: optional, train: optional },
  ["before", "after", "models"],
);
const builds = [options.before, options.after];

/** One JSON document of a build's command. */
function ask(root, ...given) {
  const command = [
    join(resolve(root), "dist", "cli", "main.js"),
    ...given,
    "--json",
    "--threads",
    `${options.threads}`,
  ];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: "utf8" });
  if (status === 0) return JSON.parse(stdout);
  console.error(`builds.mjs: ${root}: ${stderr.trim().split("\n")[0]}`);
  process.exit(1);
}

/** Prints of each measure, a key of the document, the median of the ratios, with the least and the largest, and both builds' medians. */
function compare(title, measures, given) {
  const pairs = Array.from({ length: options.pairs }, (_, i) => {
    const first = i % 2;
    const found = [];
    for (const which of [first, 1 - first]) found[which] = ask(builds[which], ...given);
    return found;
  });
  for (const [name, key] of Object.entries(measures)) {
    const ratios = pairs.map(([before, after]) => after[key] / before[key]);
    const [before, after] = builds.map((_, which) => median(pairs.map((pair) => pair[which][key])));
    const range = `${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)}`;
    const speeds = `${before.toFixed(1)} → ${after.toFixed(1)} tokens/s`;
    console.log(`${title}  ${name.padEnd(8)} ${median(ratios).toFixed(3)} (${range})  ${speeds}`);
  }
}

for (const model of options.models) {
  const measures = { prefill: "prefillTokensPerSecond", decode: "decodeTokensPerSecond" };
  const given = ["-p", `${options.prefill}`, "-n", `${options.decode}`, "-r", `${options.repeat}`];
  if (options.context !== undefined) given.push("--context", options.context);
  if (options.isa !== undefined) given.push("--isa", options.isa);
  compare(basename(model), measures, ["bench", "-m", model, ...given]);
}
if (options.train !== undefined) {
  compare(basename(options.train), { training: "tokensPerSecond" }, ["train", options.train, "--budget", "1h"]);
}
