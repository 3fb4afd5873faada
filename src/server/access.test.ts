import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestServer, type TestServer } from "./app.case.ts";

const vectors = resolve(import.meta.dirname, "../../test/vectors/models");
const files = { llama: join(vectors, "llama.gguf"), mixtral: join(vectors, "mixtral.gguf") };

let server: TestServer;
beforeAll(() => {
  server = startTestServer(files);
});
afterAll(() => server[Symbol.asyncDispose]());

const messages = [{ role: "user", content: "What of it?" }];
const drawn = { temperature: 1, seed: 3, max_tokens: 6 };

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;

const json = async (response: Response): Promise<Any> => ({
  status: response.status,
  ...((await response.json()) as object),
});

describe("who may ask", () => {
  it("no page of another origin, nobody by another name", async () => {
    expect((await server.get("/v1/models", { host: "evil.example" })).status).toBe(403);
    expect((await server.get("/v1/models", { origin: "http://evil.example" })).status).toBe(403);
    expect((await server.get("/v1/models", { origin: "http://localhost" })).status).toBe(200);
  });

  it("pages of an origin that is listed, which their browser is told", async () => {
    await using open = startTestServer(files, { origins: ["http://app.example"] });
    const origin = { origin: "http://app.example" };
    const asked = await open.get("/v1/models", origin);
    expect(asked.status).toBe(200);
    expect(asked.headers.get("access-control-allow-origin")).toBe("http://app.example");
    expect((await open.get("/v1/models", { origin: "http://other.example" })).status).toBe(403);
  });

  it("who has a key, where there are keys; neither the log nor the server know it", async () => {
    const hash = (key: string) => createHash("sha256").update(key).digest("hex");
    await using closed = startTestServer(files, { keys: { laptop: hash("secret"), phone: hash("other") } });
    expect(await json(await closed.get("/v1/models"))).toMatchObject({
      status: 401,
      error: { code: "invalid_api_key" },
    });
    expect((await closed.get("/v1/models", { authorization: "Bearer wrong" })).status).toBe(401);
    expect((await closed.get("/v1/models", { authorization: `Bearer ${hash("secret")}` })).status).toBe(401);
    expect((await closed.get("/v1/models", { authorization: "Bearer secret" })).status).toBe(200);
    expect((await closed.get("/v1/models", { "x-api-key": "other" })).status).toBe(200);
    expect((await closed.get("/v1/models", { authorization: "Bearer" })).status).toBe(401);
    expect(closed.log.map(({ key }) => key)).toEqual([undefined, undefined, undefined, "laptop", "phone", undefined]);
    expect(JSON.stringify(closed.log)).not.toContain("secret");
  });

  it.each([undefined, true])(
    "nobody learns of what another key asked, unless prefixes are shared: %s",
    async (sharesPrefixes) => {
      const hash = (key: string) => createHash("sha256").update(key).digest("hex");
      const keys = { laptop: hash("secret"), phone: hash("other") };
      await using closed = startTestServer(files, { keys, ...(sharesPrefixes && { sharesPrefixes }) });
      const cachedOf = async (key: string) => {
        const headers = { authorization: `Bearer ${key}` };
        await closed.post("/v1/chat/completions", { messages, ...drawn }, { headers });
        await closed.post(
          "/v1/completions",
          { prompt: "What of it?", echo: true, logprobs: 1, max_tokens: 0 },
          { headers },
        );
        return closed.log.slice(-2).map(({ cachedTokens }) => cachedTokens);
      };
      const first = await cachedOf("secret");
      expect(await cachedOf("other").then(([chat]) => chat! > 0)).toBe(sharesPrefixes === true);
      const [again] = await cachedOf("secret");
      expect(first[0]).toBe(0);
      expect(again).toBeGreaterThan(0);
    },
  );
});

describe("how much one may ask", () => {
  const hash = (key: string) => createHash("sha256").update(key).digest("hex");
  const keys = { laptop: hash("secret"), phone: hash("other") };
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
  const { path, ...asked } = { path: "/v1/chat/completions", messages, ...drawn };

  it("is counted by key, and refused in each API's shape with the time to wait", async () => {
    await using served = startTestServer(files, {
      keys,
      quota: { requestsPerMinute: 1 },
      quotas: { phone: { requestsPerMinute: 5 } },
    });
    const first = await served.post(path, asked, as("secret"));
    expect(first.status).toBe(200);
    expect(first.headers.get("x-ratelimit-limit-requests")).toBe("1");
    expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    expect(first.headers.get("x-ratelimit-reset-requests")).toMatch(/^(1m0|[1-5]?[0-9])s$/);
    const second = await served.post(path, asked, as("secret"));
    expect(Number(second.headers.get("retry-after"))).toBeGreaterThan(50);
    expect(await json(second)).toMatchObject({
      status: 429,
      error: {
        type: "rate_limit_error",
        code: "rate_limit_exceeded",
        message: expect.stringMatching(/1 requests a minute/),
      },
    });
    const claude = { model: "llama", max_tokens: 4, messages };
    expect(await json(await served.post("/v1/messages", claude, as("secret")))).toMatchObject({
      ...{ status: 429, type: "error", error: { type: "rate_limit_error" } },
    });
    expect(await json(await served.post("/api/chat", { model: "llama", messages }, as("secret")))).toMatchObject({
      ...{ status: 429, error: expect.stringMatching(/try again/) },
    });
    // What costs nothing is not counted; another key has its own share.
    expect((await served.get("/v1/models", as("secret").headers)).status).toBe(200);
    expect((await served.post(path, asked, as("other"))).status).toBe(200);
  });

  it("counts the tokens of who leaves before the end", async () => {
    await using served = startTestServer(files, { quota: { tokensPerMinute: 1 } });
    const stream = await served.post(path, { messages, max_tokens: 200, ignore_eos: true, stream: true });
    const reader = stream.body!.getReader();
    await reader.read();
    await reader.cancel();
    await expect.poll(() => served.log.length).toBe(1);
    expect(served.log[0]!.promptTokens).toBeGreaterThan(0);
    const refused = await served.post(path, asked);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(60);
    expect(refused.headers.get("x-ratelimit-remaining-tokens")).toBe("0");
  });

  it("ends with an answer's length, whatever a request says", async () => {
    const limits = { atOnce: 8, waiting: 8, bodyBytes: 100_000, outputTokens: 3 };
    await using served = startTestServer(files, { limits });
    for (const body of [asked, { messages, ignore_eos: true }, { ...asked, n: 2 }]) {
      const { usage, choices } = await json(await served.post(path, { ...body, ignore_eos: true }));
      expect(usage.completion_tokens).toBe(3 * choices.length);
      expect(choices[0].finish_reason).toBe("length");
    }
  });

  it("one key's burst does not stand in front of another's request", async () => {
    await using served = startTestServer(files, { keys, limits: { atOnce: 1, waiting: 8, bodyBytes: 100_000 } });
    const ask = (key: string) => served.post(path, asked, { headers: { authorization: `Bearer ${key}` } });
    await Promise.all([...["secret", "secret", "secret", "secret"].map(ask), ask("other")]);
    expect(served.log.map(({ key }) => key)).toEqual(["laptop", "laptop", "phone", "laptop", "laptop"]);
  });

  it("of keys is ten wrong ones in a minute from an address, then not even the right one", async () => {
    await using served = startTestServer(files, { keys });
    const ask = (key: string, address: string) =>
      served.app.fetch(
        new Request("http://localhost/v1/models", { headers: { host: "localhost", authorization: `Bearer ${key}` } }),
        address,
      );
    for (let i = 0; i < 10; i++) expect((await ask(`guess ${i}`, "192.0.2.1")).status).toBe(401);
    const refused = await ask("secret", "192.0.2.1");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(6);
    expect((await ask("secret", "192.0.2.2")).status).toBe(200);
  });
});
