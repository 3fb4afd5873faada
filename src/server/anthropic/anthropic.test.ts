import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../../generate/types.ts";
import { startTestServer, type TestServer } from "../app.case.ts";

const file = join(resolve(import.meta.dirname, "../../../test/vectors/models"), "llama.gguf");

let server: TestServer;
let model: LanguageModel;
beforeAll(async () => {
  server = startTestServer({ llama: file });
  model = await server.model();
});
afterAll(() => server[Symbol.asyncDispose]());

const question = { role: "user", content: "What of it?" };
const asked = { model: "llama", max_tokens: 8, temperature: 0, system: "Be brief.", messages: [question] };
const conversation = [{ role: "system", content: "Be brief." }, question];
const library = { temperature: 0, topP: 1, topK: 0, minP: 0, maxTokens: 8 };

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;
const post = async (body: object, path = "/v1/messages"): Promise<Any> => {
  const response = await server.post(path, body, { headers: { "anthropic-version": "2023-06-01" } });
  return { status: response.status, ...((await response.json()) as object) };
};

describe("messages", () => {
  it("answer what the library answers, in Anthropic's shape", async () => {
    const { text, usage } = await model.chat(conversation, library).result;
    expect(await post(asked)).toMatchObject({
      ...{ status: 200, type: "message", role: "assistant", model: "llama", content: [{ type: "text", text }] },
      ...{ stop_reason: "max_tokens", stop_sequence: null },
      usage: {
        // The same was just asked: all but the last token are in the cache.
        ...{ input_tokens: 1, cache_read_input_tokens: usage.promptTokens - 1 },
        output_tokens: usage.completionTokens,
      },
    });
  });

  it("take texts in blocks as they take them whole", async () => {
    const blocks = { system: [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }] };
    const messages = [{ role: "user", content: [{ type: "text", text: "What of it?" }] }];
    const [whole, parted] = [await post(asked), await post({ ...asked, ...blocks, messages })];
    const { input_tokens: computed, cache_read_input_tokens: cached } = parted.usage;
    expect(computed + cached).toBe(
      model.encodeChat([
        { role: "system", content: blocks.system },
        { role: "user", content: messages[0]!.content },
      ]).length,
    );
    expect(whole.status).toBe(parted.status);
  });

  it("say which stop sequence ended them", async () => {
    const { text } = await model.chat(conversation, library).result;
    const stop = text.slice(3, 5);
    expect(await post({ ...asked, stop_sequences: ["never this", stop] })).toMatchObject({
      ...{ stop_reason: "stop_sequence", stop_sequence: stop },
      content: [{ type: "text", text: text.slice(0, text.indexOf(stop)) }],
    });
  });

  it("stream in Anthropic's order of events, each under its name", async () => {
    const { text, usage } = await model.chat(conversation, library).result;
    const raw = await (await server.post("/v1/messages", { ...asked, stream: true })).text();
    const events: Any[] = raw
      .trim()
      .split("\n\n")
      .map((event) => {
        const [name, data] = event.split("\n") as [string, string];
        const value = JSON.parse(data.slice("data: ".length));
        expect(name).toBe(`event: ${value.type}`);
        return value;
      });
    const names = events.map(({ type }) => type);
    const deltas = names.filter((name) => name === "content_block_delta").length;
    expect(names).toEqual([
      ...["message_start", "ping", "content_block_start", ...Array(deltas).fill("content_block_delta")],
      ...["content_block_stop", "message_delta", "message_stop"],
    ]);
    expect(events[0].message.usage.input_tokens).toBe(usage.promptTokens);
    expect(events.map(({ delta }) => delta?.text ?? "").join("")).toBe(text);
    expect(events.at(-2)).toMatchObject({
      ...{ delta: { stop_reason: "max_tokens" }, usage: { output_tokens: usage.completionTokens } },
    });
  });

  it("begin a thread that is not kept: who goes on from it is told to say all of it again", async () => {
    expect((await post({ ...asked, max_tokens: 1, thread: { type: "create" } })).status).toBe(200);
    const { status, error } = await post({ ...asked, thread: { type: "continue", previous_message_id: "msg_1" } });
    expect([status, error.type, error.details.error_code]).toEqual([404, "not_found_error", "thread_not_found"]);
  });

  it("are counted", async () => {
    const { model: name, system, messages } = asked;
    const counted = await post({ model: name, system, messages }, "/v1/messages/count_tokens");
    expect(counted).toEqual({ status: 200, input_tokens: model.encodeChat(conversation).length });
  });

  it.each([
    ["no length", { ...asked, max_tokens: undefined }, 400, "invalid_request_error", /max_tokens/],
    ["tools", { ...asked, tools: [{ name: "x" }] }, 400, "invalid_request_error", /tools/],
    [
      "an answer that has begun",
      { ...asked, messages: [question, { role: "assistant", content: "It" }] },
      400,
      "invalid_request_error",
      /continued/,
    ],
    ["a model that is not here", { ...asked, model: "claude" }, 404, "not_found_error", /claude/],
  ])("with %s are refused in Anthropic's shape", async (_, body, status, type, message) => {
    expect(await post(body)).toEqual({
      status,
      type: "error",
      error: { type, message: expect.stringMatching(message) },
    });
  });
});
