import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../../generate/types.ts";
import { type Any, drawn, eventsOf, json, libraryDrawn, startTestServer, type TestServer } from "../app.case.ts";

const vectors = resolve(import.meta.dirname, "../../../test/vectors/models");
const files = { llama: join(vectors, "llama.gguf"), mixtral: join(vectors, "mixtral.gguf") };

let server: TestServer;
let model: LanguageModel;
beforeAll(async () => {
  server = startTestServer(files);
  model = await server.model();
});
afterAll(() => server[Symbol.asyncDispose]());

const messages = [{ role: "user", content: "What of it?" }];

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
        await server.post("/v1/chat/completions", { messages, ...drawn, max_tokens: 40, ignore_eos: true, seed, n }),
      );
      expect(status).toBe(200);
      return choices.map(({ message }: Any) => message.content) as string[];
    };
    expect((await ask(-1))[0]).not.toBe((await ask(-1))[0]);
    expect(await ask(-7)).toEqual(await ask(2 ** 32 - 7));
    expect(await ask(2 ** 63)).toEqual(await ask(0));
    expect(await ask(2 ** 62 + 2 ** 11)).toEqual(await ask(2 ** 11));
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
