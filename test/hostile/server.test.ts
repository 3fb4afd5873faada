import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServer, loadModel, type ModelServer } from "../../src/index.ts";

// What no client sends, over a socket as it comes.

const file = join(resolve(import.meta.dirname, "../vectors/models"), "llama.gguf");
let server: ModelServer;
let port: number;
let url: string;
beforeAll(async () => {
  const load = () => loadModel(file, { backend: "reference" });
  server = await createServer({ models: [{ file, load }], port: 0, stalledSeconds: 1, atOnce: 1 });
  ({ url } = await server.listen());
  port = Number(new URL(url).port);
});
afterAll(() => server[Symbol.asyncDispose]());

/** Sends bytes; what comes back, when the server has closed the connection. */
async function send(...parts: readonly string[]): Promise<{ readonly status: number; readonly text: string }> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (data: Buffer) => (text += data.toString()));
  // It may close before it has read all.
  socket.on("error", () => undefined);
  for (const part of parts) socket.write(part);
  await new Promise((resolve) => socket.once("close", resolve));
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), text };
}

const head = (path: string, ...headers: readonly string[]) =>
  ["POST ", path, " HTTP/1.1\r\n", ["Host: localhost", "Connection: close", ...headers].join("\r\n"), "\r\n\r\n"].join(
    "",
  );
const post = (path: string, body: string) => send(head(path, `Content-Length: ${body.length}`), body);
const get = (target: string, host = "localhost") =>
  send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
const running = async () => ((await (await fetch(`${url}/health`)).json()) as { running: number }).running;

describe("a body", () => {
  it.each([
    [
      "that says it has a gigabyte",
      () => send(head("/v1/completions", "Content-Length: 1000000000"), "{"),
      413,
      /bytes/,
    ],
    [
      "without end",
      () =>
        send(head("/v1/completions", "Transfer-Encoding: chunked"), `100000\r\n${" ".repeat(2 ** 20)}\r\n`.repeat(6)),
      413,
      /bytes/,
    ],
    [
      "that unfolds",
      () => send(head("/v1/completions", "Content-Encoding: gzip", "Content-Length: 4"), "\x1f\x8b00"),
      400,
      /compressed/,
    ],
    ["of lists in lists", () => post("/v1/completions", "[".repeat(1e6) + "]".repeat(1e6)), 400, /nested/],
    [
      "of objects in objects",
      () => post("/v1/completions", `${'{"a":'.repeat(101)}1${"}".repeat(101)}`),
      400,
      /nested/,
    ],
    ["of very many values", () => post("/detokenize", `{"tokens":[${"5,".repeat(1e6)}5]}`), 400, /values/],
    [
      "with a text that no context holds",
      () => post("/v1/completions", `{"prompt":"${"a ".repeat(1e6)}"}`),
      400,
      /fit/,
    ],
    ["the same, to be counted", () => post("/tokenize", `{"content":"${"a ".repeat(1e6)}"}`), 400, /fit/],
    [
      "that is two",
      () => send(head("/tokenize", "Content-Length: 4", "Transfer-Encoding: chunked"), "0\r\n\r\n"),
      400,
      /^/,
    ],
  ])("%s is refused", async (_, ask, status, message) => {
    const answer = await ask();
    expect(answer).toMatchObject({ status, text: expect.stringMatching(message) });
  });

  it("may have as much depth and text as people write, brackets in texts count for nothing", async () => {
    const nested = `{"a":${"[".repeat(90)}${"]".repeat(90)}}`;
    const content = JSON.stringify(`${'[{,\\"'.repeat(5000)}`);
    const body = `{"messages":[{"role":"user","content":"a"}],"max_tokens":1,"metadata":${nested}}`;
    expect(await post("/v1/chat/completions", body)).toMatchObject({ status: 200, text: expect.any(String) });
    expect((await post("/tokenize", `{"content":${content}}`)).status).toBe(200);
  });
});

describe("an address", () => {
  it.each([
    "/v1/models/..%2f..%2fetc%2fpasswd",
    "/v1/models/%00",
    "/v1/models/__proto__",
    "/v1/models/%ff",
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//health",
    "/health/..%5c",
    "/%",
  ])("%s leads nowhere", async (target) => {
    expect((await get(target)).status).toBe(404);
  });

  it.each([
    ["/health", "evil.example"],
    ["/health", "localhost.evil.example:8080"],
    ["/health", "localhost\r\nHost: evil.example"],
    ["http://evil.example/health", "localhost"],
    ["http://localhost/health", "evil.example"],
  ])("%s of %j is none of this server's", async (target, host) => {
    expect((await get(target, host)).status).toBe(403);
  });

  it.each(["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "192.0.2.7"])("is called by %s", async (host) => {
    expect((await get("/health", host)).status).toBe(200);
  });
});

describe("a client", () => {
  const ask = (path: string, body: object): Socket => {
    const text = JSON.stringify(body);
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(head(path, `Content-Length: ${text.length}`) + text);
    return socket;
  };

  it("that leaves takes its request with it", async () => {
    const socket = ask("/v1/completions", { prompt: "a", max_tokens: 120, ignore_eos: true, n: 8 });
    await expect.poll(running, { interval: 5 }).toBe(1);
    socket.destroy();
    await expect.poll(running, { interval: 5 }).toBe(0);
  });

  it("that does not read keeps nobody waiting", async () => {
    const slow = ask("/v1/completions", { prompt: "a", max_tokens: 60, ignore_eos: true, stream: true, logprobs: 50 });
    await once(slow, "data");
    slow.pause();
    // One is computed at a time: it has its turn when the first is done, read or not.
    const body = '{"prompt":"a","max_tokens":1}';
    expect((await post("/v1/completions", body)).status).toBe(200);
    slow.destroy();
  });

  it("that takes nothing of its answer for a while is dropped", async () => {
    // More than the system holds between the two.
    const messages = [{ role: "user", content: "a" }];
    const body = {
      ...{ messages, n: 16, temperature: 0, max_tokens: 110, ignore_eos: true, logprobs: true },
      top_logprobs: 100,
    };
    const whole = (await post("/v1/chat/completions", JSON.stringify(body))).text;
    expect(whole.at(-1)).toBe("}");
    const socket = ask("/v1/chat/completions", body);
    socket.pause();
    await expect.poll(running, { interval: 5 }).toBe(1);
    await expect.poll(running, { timeout: 30_000 }).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    let bytes = 0;
    socket.on("data", (data: Buffer) => {
      bytes += data.length;
    });
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(whole.length);
  });
});
