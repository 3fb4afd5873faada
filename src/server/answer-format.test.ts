import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestServer, type TestServer } from "./app.case.ts";

const vectors = resolve(import.meta.dirname, "../../test/vectors/models");

let server: TestServer;
beforeAll(() => {
  server = startTestServer({ mixtral: join(vectors, "mixtral.gguf") });
});
afterAll(() => server[Symbol.asyncDispose]());

const messages = [{ role: "user", content: "a" }];
const schema = {
  type: "object",
  properties: { a: { type: "integer", maximum: 99 }, b: { enum: ["x", "yy"] } },
  required: ["a", "b"],
  additionalProperties: false,
};
const written = /^\{\s*"a": ?-?\d+,\s*"b": ?"(x|yy)"\s*\}$/;

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;
const post = async (path: string, body: object): Promise<Any> => {
  const response = await server.post(path, { model: "mixtral", ...body });
  return { status: response.status, ...((await response.json()) as object) };
};
const chat = (more: object) => post("/v1/chat/completions", { messages, temperature: 1.5, seed: 4, ...more });

describe("OpenAI's clients", () => {
  it.each([
    [
      "a schema",
      { response_format: { type: "json_schema", json_schema: { name: "it", strict: true, schema } } },
      written,
    ],
    ["vLLM's guided_json", { guided_json: schema }, written],
    ["vLLM's guided_json as text", { guided_json: JSON.stringify(schema) }, written],
    ["vLLM's guided_regex", { guided_regex: "[ab]{3}" }, /^[ab]{3}$/],
    ["vLLM's guided_choice", { guided_choice: ["red", "blue"] }, /^(red|blue)$/],
    ["llama.cpp's grammar", { grammar: 'root ::= "- " [a-c]{2}' }, /^- [a-c]{2}$/],
  ])("hold answers to %s, streamed or not", async (_, more, expected) => {
    const { status, choices } = await chat(more);
    expect([status, choices[0].finish_reason]).toEqual([200, "stop"]);
    expect(choices[0].message.content).toMatch(expected);
    const streamed = await server.post("/v1/chat/completions", {
      model: "mixtral",
      messages,
      temperature: 1.5,
      seed: 4,
      stream: true,
      ...more,
    });
    const events = (await streamed.text()).split("\n\n").filter((line) => line.startsWith("data: {"));
    const text = events.map((line) => JSON.parse(line.slice(6)).choices[0]?.delta.content ?? "").join("");
    expect(text).toBe(choices[0].message.content);
  });

  it("are told that a grammar takes too long as of what they asked, and others are answered", async () => {
    const hostile = { guided_regex: "((.?){99}){99}(.*x.*){99}" };
    const { status, error } = await chat(hostile);
    expect(status).toBe(400);
    expect(error).toMatchObject({ type: "invalid_request_error", param: "grammar" });
    expect(error.message).toContain("takes too long to follow");
    expect((await chat({ max_tokens: 2 })).status).toBe(200);
  });

  it("get any JSON object, several answers at once, and completions", async () => {
    const { choices } = await chat({ response_format: { type: "json_object" }, n: 3, max_tokens: 5 });
    for (const { message, finish_reason: reason } of choices) {
      expect(message.content).toMatch(/^\{/);
      if (reason === "stop") JSON.parse(message.content);
    }
    expect((await chat({ response_format: { type: "text" }, max_tokens: 2 })).status).toBe(200);
    const completed = await post("/v1/completions", { prompt: "a", guided_regex: " [xy]{2}", max_tokens: 20 });
    expect(completed.choices[0].text).toMatch(/^ [xy]{2}$/);
  });

  it.each([
    [
      { response_format: { type: "json_schema", json_schema: { schema: { not: {} } } } },
      /schema #\/not: not is not supported/,
    ],
    [{ response_format: { type: "json_schema", json_schema: { schema: { type: "text" } } } }, /schema #\/type/],
    [{ response_format: { type: "xml" } }, /response_format/],
    [{ guided_regex: "(?=a)" }, /looking ahead/],
    [{ guided_regex: "a", grammar: 'root ::= "a"' }, /guided_regex does not go with grammar/],
    [{ guided_json: "{" }, /guided_json is no JSON/],
  ])("are told what cannot be held to: %j", async (more, message) => {
    const { status, error } = await chat(more);
    expect([status, error.type]).toEqual([400, "invalid_request_error"]);
    expect(error.message).toMatch(message);
  });
});

describe("other clients", () => {
  it("of Ollama give format a schema, or json", async () => {
    const options = { temperature: 1.5, seed: 2 };
    const { message } = await post("/api/chat", { messages, options, format: schema, stream: false });
    expect(message.content).toMatch(written);
    const { response } = await post("/api/generate", {
      prompt: "a",
      options: { ...options, num_predict: 4 },
      format: "json",
      stream: false,
    });
    expect(response).toMatch(/^\{/);
    const refused = await post("/api/chat", { messages, format: { not: {} }, stream: false });
    expect([refused.status, refused.error]).toEqual([400, expect.stringMatching(/not is not supported/)]);
  });

  it("of Anthropic give output_config a schema", async () => {
    const format = { type: "json_schema", schema };
    const answer = await post("/v1/messages", { messages, max_tokens: 60, output_config: { format } });
    expect(answer.content[0].text).toMatch(written);
    expect(answer.stop_reason).toBe("end_turn");
  });

  it("of OpenAI's responses give text a format", async () => {
    const format = { type: "json_schema", name: "it", schema, strict: true };
    const { output, text } = await post("/v1/responses", { input: "a", text: { format } });
    expect(output.at(-1).content[0].text).toMatch(written);
    expect(text.format).toEqual(format);
  });
});
