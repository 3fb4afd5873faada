// llama.cpp, in a process of its own: installed when first wanted, and asked about its logits (see llama-cpp-text.mjs).
import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const folder = dirname(fileURLToPath(import.meta.url));

export function installPeer() {
  if (existsSync(join(folder, "node_modules", "node-llama-cpp"))) return;
  console.error("Installing the peer (once) …");
  const { status } = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32",
  });
  if (status !== 0) throw new Error(`npm install in ${folder} ended with status ${status}`);
}

/** What tables call it. */
export function peerVersion() {
  const { dependencies } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `through node-llama-cpp ${dependencies["node-llama-cpp"]}`;
}

/** Builds of its processor backend, one of which it chooses when it starts, that want more than AVX2. */
const beyondAvx2 =
  /^(lib)?ggml-cpu-(alderlake|cannonlake|cascadelake|cooperlake|icelake|sapphirerapids|skylakex|zen\d)\./;

/** The peer as it runs on a processor that has AVX2 and no more: a copy without those builds. @returns its node-llama-cpp */
export function limitPeer(files) {
  installPeer();
  const copy = join(files, "llama-cpp-avx2");
  if (!existsSync(copy)) {
    console.error("Copying the peer for AVX2 (once) …");
    const part = `${copy}.tmp`;
    rmSync(part, { recursive: true, force: true });
    cpSync(join(folder, "node_modules"), join(part, "node_modules"), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (from) => !beyondAvx2.test(basename(from)) && !/-(cuda|vulkan)(-ext)?$/.test(basename(from)),
    });
    renameSync(part, copy);
  }
  return join(copy, "node_modules", "node-llama-cpp");
}

/** @returns {{ ask(question: object): Promise<object>, end(): void }} Questions are answered one at a time, in order. */
export function startPeer(setup) {
  installPeer();
  const child = spawn(process.execPath, [join(folder, "llama-cpp-text.mjs")], { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.stdin.write(`${JSON.stringify(setup)}\n`);
  return {
    async ask(question) {
      child.stdin.write(`${JSON.stringify(question)}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error(`llama.cpp's process ended with ${child.exitCode ?? child.signalCode}`);
      return JSON.parse(value);
    },
    end: () => child.stdin.end(),
  };
}
