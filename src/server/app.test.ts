import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../generate/types.ts";
import { drawn, eventsOf, json, libraryDrawn, startTestServer, type TestServer } from "./app.case.ts";

const vectors = resolve(import.meta.dirname, "../../test/vectors/models");
const files = { llama: join(vectors, "llama.gguf"), mixtral: join(vectors, "mixtral.gguf") };

let server: TestServer;
let model: LanguageModel;
beforeAll(async () => {
  server = startTestServer(files);
  model = await server.model();
});
afterAll(() => server[Symbol.asyncDispose]());

const messages = [{ role: "user", content: "What of it?" }];

describe("models", () => {
  it("are listed, and taken in turn where only one fits", async () => {
    const { data } = await json(await server.get("/v1/models"));
    expect(data.map(({ id }: { id: string }) => id)).toEqual(["llama", "mixtral"]);
    const ask = (name: string) => server.post("/v1/chat/completions", { model: name, messages, ...drawn });
    const answers = await Promise.all(["mixtral", "llama", "mixtral"].map(async (name) => json(await ask(name))));
    expect(answers.map(({ model }) => model)).toEqual(["mixtral", "llama", "mixtral"]);
    expect(answers[0].choices).toEqual(answers[2].choices);
    expect(server.models.loaded()).toHaveLength(1);
    model = await server.model();
  });

  it("that are not here are refused in OpenAI's words", async () => {
    expect(await json(await server.post("/v1/chat/completions", { model: "gpt-4", messages }))).toEqual({
      status: 404,
      error: {
        ...{
          message: 'there is no model "gpt-4" here: there is "llama", "mixtral"',
          type: "not_found_error",
          param: "model",
          code: "model_not_found",
        },
      },
    });
    expect((await server.get("/v1/models/gpt-4")).status).toBe(404);
  });
});

describe("tokens", () => {
  it("come from texts and become texts", async () => {
    const content = "One day, <|im_end|> ¿qué?";
    const { tokens } = await json(await server.post("/tokenize", { content, add_special: false }));
    expect(tokens).toEqual([...model.tokenizer.encode(content, { special: true })]);
    const back = await json(await server.post("/detokenize", { tokens }));
    expect(back.content).toBe(model.tokenizer.decode(tokens, { special: true }));
  });
});

describe("the end", () => {
  it("lets those come to theirs who are being answered, and refuses others", async () => {
    await using served = startTestServer(files);
    const stream = await served.post("/v1/chat/completions", {
      ...{ messages, max_tokens: 30, ignore_eos: true, stream: true },
    });
    let over = false;
    const drained = served.app.drain().then(() => {
      over = true;
    });
    const refused = await served.post("/v1/chat/completions", { messages });
    expect(await json(refused)).toMatchObject({ status: 503, error: { type: "overloaded_error" } });
    expect(refused.headers.get("retry-after")).toMatch(/^\d+$/);
    expect((await served.get("/health")).status).toBe(503);
    expect(over).toBe(false);
    expect((await eventsOf(stream)).at(-1)).toBe("[DONE]");
    await drained;
  });

  it("comes at once where nobody asks", async () => {
    await using served = startTestServer(files);
    await served.app.drain();
  });
});

describe("a request's id", () => {
  it.each([
    ["its client's", "trace-1.2", "trace-1.2"],
    ["one of the server's where that could not stand in a log", "two words", /^[0-9a-f]{24}$/],
    ["or is too long", "x".repeat(129), /^[0-9a-f]{24}$/],
  ])("is %s", async (_, given, expected) => {
    const response = await server.get("/v1/models", { "x-request-id": given });
    expect(response.headers.get("x-request-id")).toMatch(expected);
    expect(server.log.at(-1)!.requestId).toMatch(expected);
  });
});

describe("many at a time", () => {
  it("each gets the answer that it gets alone, none is lost", async () => {
    const prompts = Array.from({ length: 12 }, (_, i) => [{ role: "user", content: `Question ${i}?` }]);
    const alone: string[] = [];
    for (const said of prompts) alone.push((await model.chat(said, { ...libraryDrawn, temperature: 0 }).result).text);
    const together = await Promise.all(
      prompts.map(async (messages) =>
        json(await server.post("/v1/chat/completions", { messages, ...drawn, temperature: 0 })),
      ),
    );
    expect(together.map(({ choices }) => choices[0].message.content)).toEqual(alone);
  });

  it("more than may wait are refused, and who leaves makes room", async () => {
    await using small = startTestServer(files, { limits: { atOnce: 1, waiting: 1, bodyBytes: 10_000 } });
    const gone = new AbortController();
    const long = { messages, max_tokens: 200, ignore_eos: true, stream: true };
    const first = await small.post("/v1/chat/completions", long);
    const second = small.post("/v1/chat/completions", { messages, ...drawn }, { signal: gone.signal });
    const third = await json(await small.post("/v1/chat/completions", { messages, ...drawn }));
    expect(third).toMatchObject({ status: 503, error: { type: "overloaded_error" } });
    gone.abort();
    expect((await second).status).toBe(499);
    await first.body!.cancel();
    expect((await small.post("/v1/chat/completions", { messages, ...drawn })).status).toBe(200);
    const status = await (await small.model()).status();
    expect(status).toMatchObject({ sessions: 0, requests: 0, freePages: status.pages });
  });

  it("who leaves in the middle of a stream gives back what was held", async () => {
    const response = await server.post("/v1/chat/completions", {
      messages,
      max_tokens: 100,
      ignore_eos: true,
      stream: true,
      n: 3,
    });
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    await expect.poll(async () => (await model.status()).requests).toBe(0);
    expect((await model.status()).sessions).toBe(0);
    expect(server.log.at(-1)).toMatchObject({ path: "/v1/chat/completions", status: 200 });
  });
});
