// llama.cpp, in a process of its own: installed when first wanted, and asked about its logits (see llama-cpp-text.mjs).
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
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
