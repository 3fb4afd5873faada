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

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;

const json = async (response: Response): Promise<Any> => ({
  status: response.status,
  ...((await response.json()) as object),
});

describe("a request that is wrong", () => {
  it.each([
    ["no JSON", "{", /no JSON/],
    ["no UTF-8", Buffer.from([0x7b, 0xff]), /UTF-8|byte/],
    ["no messages", {}, /^messages: /],
    ["an unknown field", { messages, nonsense: 1 }, /^nonsense: is not known here/],
    ["a field out of its range", { messages, temperature: -1 }, /^temperature: /],
    [
      "a message with a picture",
      { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
      /^messages\[0\]\.content\[0\]\.type: only text/,
    ],
    [
      "a message that is no text",
      { messages: [{ role: "user", content: 5 }] },
      /^messages\[0\]\.content: is 5, expected a text or a list$/,
    ],
    [
      "more lists and objects than are read while others wait",
      `{"messages":[${"{},".repeat(10_000)}{}]}`,
      /more than 10000 lists and objects$/,
    ],
    ["alternatives without log-probabilities", { messages, top_logprobs: 2 }, /top_logprobs/],
    ["a prompt longer than the context", { messages: [{ role: "user", content: "long ".repeat(5000) }] }, /context/],
    ["the same, streamed", { messages: [{ role: "user", content: "long ".repeat(5000) }], stream: true }, /context/],
  ])("with %s is refused with its place", async (_, body, message) => {
    const response = await server.post("/v1/chat/completions", body);
    const { status, error } = await json(response);
    expect(status).toBe(400);
    expect(error.type).toBe("invalid_request_error");
    expect(error.message).toMatch(message);
  });

  it("is told of by the field's own name, not the library's", async () => {
    const { status, error } = await json(
      await server.post("/v1/completions", { prompt: "a", logit_bias: { 999999: 1 } }),
    );
    expect(status).toBe(400);
    expect(error).toMatchObject({
      param: "logit_bias",
      message: "logit_bias names token 999999: the vocabulary has 288",
    });
  });

  it.each<[string, object]>([
    ["/v1/chat/completions", { messages, max_tokens: 1, model: null, response_format: null, grok1: null }],
    ["/v1/completions", { prompt: "a", max_tokens: 1, model: null, stop: null, echo: null }],
    ["/v1/messages", { model: "llama", messages, max_tokens: 1, system: null, stop_sequences: null, stream: null }],
    ["/v1/responses", { input: "a", max_output_tokens: 1, model: null, instructions: null, include: null }],
    ["/v1/embeddings", { input: "a", model: null, dimensions: null }],
    [
      "/api/chat",
      { model: "llama", messages, stream: false, options: { num_predict: 1, seed: null }, keep_alive: null },
    ],
    ["/api/generate", { model: "llama", prompt: "a", stream: false, options: null, system: null, raw: null }],
    ["/api/embed", { model: "llama", input: "a", truncate: null, dimensions: null }],
  ])("%s takes null for what may be left out", async (path, body) => {
    expect((await server.post(path, body)).status).toBe(200);
  });

  it("does not take null for what has to be there", async () => {
    const { status, error } = await json(await server.post("/v1/chat/completions", { messages: null }));
    expect([status, error.message]).toEqual([400, "messages: is null, expected a list"]);
  });

  it("of another type, or too large, is not read", async () => {
    const plain = await server.post(
      "/v1/chat/completions",
      { messages },
      { headers: { "content-type": "text/plain" } },
    );
    expect(plain.status).toBe(400);
    const asCurl = { "content-type": "application/x-www-form-urlencoded" };
    const curl = await server.post("/v1/chat/completions", { messages, max_tokens: 1 }, { headers: asCurl });
    expect(curl.status).toBe(200);
    const form = { ...asCurl, origin: "http://elsewhere.example" };
    expect((await server.post("/v1/chat/completions", { messages }, { headers: form })).status).toBe(403);
    const large = await server.post("/v1/chat/completions", {
      messages: [{ role: "user", content: "x".repeat(200_000) }],
    });
    expect(large.status).toBe(413);
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        sent += 10_000;
        controller.enqueue(new Uint8Array(10_000).fill(32));
      },
    });
    const bomb = new Request("http://localhost/v1/chat/completions", {
      ...{
        method: "POST",
        body: endless,
        duplex: "half",
        headers: { host: "localhost", "content-type": "application/json" },
      },
    } as RequestInit);
    expect((await server.app.fetch(bomb)).status).toBe(413);
    expect(sent).toBeLessThan(200_000);
  });

  it("at an address that is none is told so", async () => {
    expect(await json(await server.get("/v1/nothing"))).toMatchObject({ status: 404, error: { code: "not_found" } });
  });
});
