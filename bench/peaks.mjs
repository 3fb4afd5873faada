// That a budget of memory holds: runs of a model that is larger than it, each in a control group with just that limit, in some of which another
// process takes a third of it midway and gives it back. One command, as root on Linux:
//
// usage: node bench/peaks.mjs --model FILE.gguf --limit 2G [--runs 20] [--disturbed 5] [--prefill 256] [--decode 6] [--threads 2]
//
// Prints for each run the most memory charged to the group and whether anything was killed; fails where a run was.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createGroup, parseBytes } from "./control-group.mjs";
import { readOptions, required } from "./options.mjs";

const given = readOptions(import.meta.url, {
  ...{ model: required, limit: "2G", runs: 20, disturbed: 5, prefill: 256, decode: 6, threads: 2 },
});
const limit = parseBytes(given.limit);

/** Takes so many bytes, touches them, and ends with them after a second. */
const taker = `const taken = Buffer.alloc(${Math.floor(limit / 3)}, 1); setTimeout(() => process.exit(taken[0] - 1), 1000)`;

/** The command in the group: when it says that it has loaded, and what it says once it has ended. */
function start(group, args) {
  const child = spawn(...group.command([process.execPath, ...args]), { stdio: ["ignore", "pipe", "pipe"] });
  const [said, told] = [[], []];
  child.stdout.on("data", (data) => said.push(data));
  const ended = once(child, "exit").then(([status, signal]) => {
    const others = told.join("").replace(/^loaded\n/, "");
    process.stderr.write(others);
    return { ended: signal ?? status, said: said.join("") };
  });
  const loaded = new Promise((resolve) => {
    child.stderr.on("data", (data) => {
      told.push(data);
      if (told.join("").startsWith("loaded\n")) resolve();
    });
  });
  return { ended, loaded: Promise.race([loaded, ended]) };
}

const { model: file, threads, prefill, decode } = given;
let failed = 0;
let most = 0;
for (let run = 0; run < given.runs; run++) {
  const group = createGroup(`peak-${run}`, limit);
  const began = performance.now();
  const request = { file, memory: limit, threads, prefill, decode, repeats: 1, cold: true };
  const running = start(group, [join(import.meta.dirname, "streamed.mjs"), JSON.stringify(request)]);
  const disturbed = run < given.disturbed;
  let other;
  if (disturbed) {
    await running.loaded;
    await new Promise((resolve) => setTimeout(resolve, 500 * (run + 1)));
    other = await start(group, ["-e", taker]).ended;
  }
  const { ended, said } = await running.ended;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const [peak, killed] = [group.peak(), group.killed()];
  group.end();
  most = Math.max(most, peak);
  const good = ended === 0 && killed === 0 && peak <= limit && (other?.ended ?? 0) === 0;
  if (!good) failed++;
  const rate = ended === 0 ? `, ${JSON.parse(said).decodeTokensPerSecond.toFixed(2)} tokens/s` : "";
  const beside = disturbed ? `, with another that ended with ${other.ended}` : "";
  console.log(
    `run ${run + 1}: ended with ${ended} after ${seconds} s${rate}; at most ${(peak / 1e9).toFixed(3)} GB of ${(limit / 1e9).toFixed(3)}, ${killed} killed${beside}${good ? "" : ": FAILED"}`,
  );
}
console.log(
  `${given.runs - failed} of ${given.runs} runs within the limit, at most ${(most / 1e9).toFixed(3)} GB charged`,
);
process.exit(failed === 0 ? 0 : 1);
