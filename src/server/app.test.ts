import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../generate/types.ts";
import { eventsOf, startTestServer, type TestServer } from "./app.case.ts";

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
const drawn = { temperature: 1, seed: 3, max_tokens: 6 };
/** The same, as the library has it: OpenAI's defaults cut nothing off. */
const libraryDrawn = { temperature: 1, topP: 1, topK: 0, minP: 0, penaltyWindow: -1, seed: 3, maxTokens: 6 };

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;

const json = async (response: Response): Promise<Any> => ({
  status: response.status,
  ...((await response.json()) as object),
});

describe("chat completions", () => {
  it("answer what the library answers, and count its tokens", async () => {
    const { text, usage, finishReason } = await model.chat(messages, libraryDrawn).result;
    const answer = await json(await server.post("/v1/chat/completions", { model: "llama", messages, ...drawn }));
    expect(answer).toMatchObject({ status: 200, object: "chat.completion", model: "llama" });
    expect(answer.choices).toEqual([
      {
        ...{ index: 0, message: { role: "assistant", content: text, refusal: null }, logprobs: null },
        finish_reason: finishReason === "length" ? "length" : "stop",
      },
    ]);
    expect(answer.usage).toMatchObject({
      prompt_tokens: usage.promptTokens,
      completion_tokens: usage.completionTokens,
    });
  });

  it("stream the same text, its usage, and an end", async () => {
    const { text, usage } = await model.chat(messages, libraryDrawn).result;
    const request = { messages, ...drawn, stream: true, stream_options: { include_usage: true } };
    const response = await server.post("/v1/chat/completions", request);
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const events = (await eventsOf(response)) as Any[];
    expect(events.pop()).toBe("[DONE]");
    expect(events.pop()).toMatchObject({ choices: [], usage: { completion_tokens: usage.completionTokens } });
    expect(events[0].choices[0].delta).toEqual({ role: "assistant", content: "" });
    expect(events.map(({ choices }) => choices[0].delta.content ?? "").join("")).toBe(text);
    expect(events.at(-1).choices[0]).toMatchObject({ delta: {}, finish_reason: "length" });
    expect(events.every(({ usage }) => usage === null)).toBe(true);
  });

  it("give several answers, each as one alone with the next seed", async () => {
    const texts: string[] = [];
    for (const seed of [3, 4, 5]) texts.push((await model.chat(messages, { ...libraryDrawn, seed }).result).text);
    const answer = await json(await server.post("/v1/chat/completions", { messages, ...drawn, n: 3 }));
    expect(answer.choices.map((choice: { message: { content: string } }) => choice.message.content)).toEqual(texts);
    const events = (await eventsOf(
      await server.post("/v1/chat/completions", { messages, ...drawn, n: 3, stream: true }),
    )) as Any[];
    const streamed = ["", "", ""];
    for (const { choices } of events.slice(0, -1)) streamed[choices[0].index] += choices[0].delta.content ?? "";
    expect(streamed).toEqual(texts);
    expect((await model.status()).requests).toBe(0);
  });

  it("fail together, with the question's own error", async () => {
    const long = [{ role: "user", content: "word ".repeat(500) }];
    for (const stream of [false, true]) {
      const response = await server.post("/v1/chat/completions", { messages: long, ...drawn, n: 3, stream });
      expect([response.status, (await json(response)).error.code]).toEqual([400, "context_length_exceeded"]);
    }
  });

  it("take any whole seed: -1 is a fresh one, others below 0 are kept as well as those above", async () => {
    const ask = async (seed: number, n = 1) => {
      const { choices, status } = await json(
        await server.post("/v1/chat/completions", { messages, ...drawn, max_tokens: 12, seed, n }),
      );
      expect(status).toBe(200);
      return choices.map(({ message }: Any) => message.content) as string[];
    };
    expect((await ask(-1))[0]).not.toBe((await ask(-1))[0]);
    expect(await ask(-7)).toEqual(await ask(2 ** 32 - 7));
    expect(await ask(Number.MAX_SAFE_INTEGER, 2)).toEqual([...(await ask(Number.MAX_SAFE_INTEGER)), ...(await ask(0))]);
  });

  it("give log-probabilities with exact bytes", async () => {
    const { logprobs } = await model.chat(messages, { ...libraryDrawn, logprobs: 2 }).result;
    const request = { messages, ...drawn, logprobs: true, top_logprobs: 2 };
    const { choices } = await json(await server.post("/v1/chat/completions", request));
    const { content } = choices[0].logprobs;
    expect(content.map(({ logprob }: { logprob: number }) => logprob)).toEqual(logprobs!.map(({ logprob }) => logprob));
    expect(content.map(({ bytes }: { bytes: number[] }) => bytes)).toEqual(
      logprobs!.map(({ token }) => [...model.tokenizer.bytes(token)]),
    );
    expect(content[0].top_logprobs).toHaveLength(2);
  });

  it("end at stop strings", async () => {
    const { text } = await model.chat(messages, libraryDrawn).result;
    const stop = text.slice(2, 4);
    const { choices } = await json(await server.post("/v1/chat/completions", { messages, ...drawn, stop: [stop] }));
    expect(choices[0]).toMatchObject({
      message: { content: text.slice(0, text.indexOf(stop)) },
      finish_reason: "stop",
    });
  });

  it("read the developer's message as the system's", async () => {
    const ask = async (role: string) => {
      const said = [{ role, content: "Be brief." }, ...messages];
      return (await json(await server.post("/v1/chat/completions", { messages: said, ...drawn }))).usage;
    };
    const { prompt_tokens: prompt, completion_tokens: completion } = await ask("developer");
    expect(await ask("system")).toMatchObject({
      ...{ prompt_tokens: prompt, completion_tokens: completion },
      // All but its last token, after which the answer begins.
      prompt_tokens_details: { cached_tokens: prompt - 1 },
    });
  });
});

describe("completions", () => {
  it("answer texts and tokens, each in its place", async () => {
    const prompts = ["One day", "Once"];
    const results = [];
    for (const prompt of prompts) results.push(await model.generate(prompt, { ...libraryDrawn, logprobs: 1 }).result);
    const byText = await json(await server.post("/v1/completions", { prompt: prompts, ...drawn, logprobs: 1 }));
    expect(byText.choices.map(({ text }: { text: string }) => text)).toEqual(results.map(({ text }) => text));
    expect(byText.usage.prompt_tokens).toBe(results.reduce((sum, { usage }) => sum + usage.promptTokens, 0));
    const { tokens, token_logprobs: values, text_offset: offsets } = byText.choices[0].logprobs;
    expect(values).toEqual(results[0]!.logprobs!.map(({ logprob }) => logprob));
    expect(offsets[1]).toBe(tokens[0].length);
    const ids = prompts.map((prompt) => [...model.encode(prompt)]);
    const byTokens = await json(await server.post("/v1/completions", { prompt: ids, ...drawn }));
    expect(byTokens.choices.map(({ text }: { text: string }) => text)).toEqual(results.map(({ text }) => text));
  });

  it("give prompts back with what the model thought of them, as whole logits say", async () => {
    const prompts = ["One day, ¿qué?", "One day, ¿qué? Nobody knew 🙂."];
    const request = { prompt: prompts, echo: true, logprobs: 2, max_tokens: 1, temperature: 0 };
    const { choices } = await json(await server.post("/v1/completions", request));
    for (const [i, prompt] of prompts.entries()) {
      const ids = [...model.encode(prompt)];
      const logits = (await model.logits(ids)).logits.values;
      const { tokens, token_logprobs: values, top_logprobs: top, text_offset: offsets } = choices[i].logprobs;
      const text = model.tokenizer.decode(ids);
      expect(choices[i].text.startsWith(text)).toBe(true);
      expect(values).toHaveLength(ids.length + 1);
      expect([values[0], top[0], offsets[0]]).toEqual([null, null, 0]);
      // What begins at an offset is what the tokens before it spell.
      for (const [at, offset] of offsets.slice(0, ids.length).entries()) {
        const before = model.tokenizer.decode(ids.slice(ids[0] === model.tokenizer.bos ? 1 : 0, at));
        if (!before.includes("\ufffd")) expect(text.slice(0, offset)).toBe(before);
      }
      const width = model.info.vocab;
      for (const [at, id] of ids.entries()) {
        if (at === 0) continue;
        const row = [...logits.subarray((at - 1) * width, at * width)];
        const most = Math.max(...row);
        const normalizer = most + Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0));
        expect(values[at]).toBeCloseTo(row[id]! - normalizer, 5);
        expect(Math.max(...(Object.values(top[at]) as number[]))).toBeCloseTo(most - normalizer, 5);
        // A name stands for the same token in both lists: who asks whether the likeliest was taken compares them.
        if (row[id] === most) expect(top[at][tokens[at]]).toBeCloseTo(values[at], 9);
      }
    }
    const alone = await json(await server.post("/v1/completions", { ...request, max_tokens: 0, logprobs: null }));
    expect(alone.choices.map(({ text }: { text: string }) => text)).toEqual(
      prompts.map((prompt) => model.tokenizer.decode([...model.encode(prompt)])),
    );
    expect(alone.choices[0].logprobs).toBe(null);
  });

  it("are 16 tokens long where nobody says more", async () => {
    const { usage } = await json(
      await server.post("/v1/completions", { prompt: "One day", seed: 1, ignore_eos: true }),
    );
    expect(usage.completion_tokens).toBe(16);
  });
});

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
          message: 'there is no model "gpt-4" here',
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
