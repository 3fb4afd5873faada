// A server of grok1 as a benchmark meets it: in a process of its own, over HTTP.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** @param args further ones of `grok1 serve` */
export async function startServer(file, threads, args = []) {
  const child = spawn(
    process.execPath,
    [
      ...["--expose-gc", "--import", join(root, "bench/watched.mjs"), join(root, "dist/cli/main.js")],
      ...["serve", "-m", file, "-t", String(threads), "--port", "0", "--log", "none", ...args],
    ],
    { stdio: ["ignore", "pipe", "inherit", "ipc"] },
  );
  // A benchmark that fails leaves no server behind.
  process.once("exit", () => child.kill());
  const ended = new Promise((resolve) => child.on("close", resolve));
  const [url] = await Promise.race([
    new Promise((resolve) => createInterface({ input: child.stdout }).once("line", (line) => resolve([line]))),
    ended.then((status) => {
      throw new Error(`the server ended with status ${status}`);
    }),
  ]);
  const postText = async (path, body, signal) => {
    const response = await fetch(`${url}/${path}`, {
      ...{ method: "POST", headers: { "content-type": "application/json" }, body },
      ...(signal && { signal }),
    });
    if (!response.ok) throw Object.assign(new Error(await response.text()), { status: response.status });
    return response;
  };
  const post = (path, body, signal) => postText(path, JSON.stringify(body), signal);
  return {
    /** The text, and seconds until its first piece. */
    async stream(path, body, signal) {
      const began = performance.now();
      const response = await post(`v1/${path}`, { ...body, stream: true }, signal);
      let [first, text, rest] = [undefined, "", ""];
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        const events = (rest + chunk).split("\n");
        rest = events.pop();
        for (const event of events) {
          if (!event.startsWith("data: {")) continue;
          const { choices, delta } = JSON.parse(event.slice(6));
          const piece = choices?.[0]?.text ?? choices?.[0]?.delta?.content ?? delta?.text ?? "";
          if (piece !== "") first ??= (performance.now() - began) / 1000;
          text += piece;
        }
      }
      return { first: first ?? (performance.now() - began) / 1000, text };
    },
    url,
    post,
    postText,
    tokenize: async (content) => (await (await post("tokenize", { content })).json()).tokens,
    async pagesUsed() {
      const text = await (await fetch(`${url}/metrics`)).text();
      return Number(/^grok1_cache_pages_used\S* (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
    },
    /** What `watched.mjs` says since it was told to begin. */
    async watched() {
      const said = new Promise((resolve) => child.once("message", resolve));
      child.send("report");
      return await said;
    },
    watch: () => child.send("reset"),
    async end() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** So many words, by a seed. */
export function words(count, seed) {
  const list =
    "red fox house river stone light small green walk under table paper cold bird open song night tree wide sea".split(
      " ",
    );
  let state = seed * 7919 + 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return list[(state >>> 8) % list.length];
  }).join(" ");
}
