import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { ioError } from "../bytes/io-error.ts";
import { GrokError } from "../errors.ts";
import { startTestServer } from "./app.case.ts";
import { createResponseStore } from "./responses/store.ts";
import { startScriptedServer } from "./scripted-server.case.ts";

const file = join(resolve(import.meta.dirname, "../../test/vectors/models"), "llama.gguf");
const messages = [{ role: "user", content: "a" }];
const places = {
  "/v1/chat/completions": { messages, max_tokens: 1 },
  "/v1/messages": { model: "llama", messages, max_tokens: 1 },
  "/v1/responses": { input: "a", max_output_tokens: 1 },
  "/api/chat": { model: "llama", messages, stream: false },
};
const messageIn = (body: unknown): string => {
  const { error } = body as { error: string | { message: string } };
  return typeof error === "string" ? error : error.message;
};

describe("what is the server's own affair", () => {
  it.each(Object.entries(places))("is told to its log, and not to who asks %s", async (path, body) => {
    for (const code of ["io", "format", "unsupported", "shape", "internal"] as const) {
      const load = async () => {
        throw new GrokError(code, "/secret/place/m.gguf: tensor 3 is damaged");
      };
      await using server = startTestServer({ llama: file }, { load });
      const response = await server.post(path, body);
      const message = messageIn(await response.json());
      expect([response.status, message]).toEqual([500, expect.stringMatching(/; its log says more$/)]);
      expect(message).not.toMatch(/secret|m\.gguf/);
      expect(server.log[0]!.error).toBe("/secret/place/m.gguf: tensor 3 is damaged");
    }
  });

  it("is a full disk, which is named", async () => {
    const put = async () => {
      throw ioError("write", "/secret/responses/x.json", Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }));
    };
    await using server = startTestServer({ llama: file }, { responses: { ...createResponseStore(), put } });
    const response = await server.post("/v1/responses", places["/v1/responses"]);
    expect([response.status, messageIn(await response.json())]).toEqual([
      500,
      "the server's disk is full; its log says more",
    ]);
    expect(server.log[0]!.error).toContain("/secret/responses/x.json: cannot write");
    expect((await server.post("/v1/responses", { ...places["/v1/responses"], store: false })).status).toBe(200);
  });

  it("is not a conversation that the model's template refuses", async () => {
    await using server = startScriptedServer("llamacpp-mistralai-Mistral-Nemo-Instruct-2407");
    const { status, error } = await server.post("/v1/chat/completions", { messages: [...messages, ...messages] });
    expect([status, error.type, error.param]).toEqual([400, "invalid_request_error", "messages"]);
    expect(error.message).toMatch(/^the model's chat template failed in line \d+: .*alternate/);
  });
});

describe("a field that is wrong is told of by what it is and what was expected", () => {
  it.each<[string, object, string]>([
    ["/v1/chat/completions", {}, "messages: is missing, expected a list"],
    ["/v1/chat/completions", { messages: [] }, "messages: is a list, expected at least 1 entry"],
    ["/v1/completions", {}, "prompt: is missing, expected a text or a list or a list of token ids"],
    ["/v1/chat/completions", { messages, seed: 1.5 }, "seed: is 1.5, expected a whole number of 64 bits"],
    ["/detokenize", { tokens: [99999] }, "token 99999 is not in the vocabulary of 288"],
    ["/v1/chat/completions", { messages: "a" }, 'messages: is the text "a", expected a list'],
    [
      "/v1/chat/completions",
      { messages: [{ role: "x", content: "a" }] },
      'messages[0].role: is the text "x", expected "system", "developer", "user", "assistant", "tool"',
    ],
    [
      "/v1/chat/completions",
      { messages: [{ role: "user", content: 5 }] },
      "messages[0].content: is 5, expected a text or a list",
    ],
    ["/v1/chat/completions", { messages, temperature: "1" }, 'temperature: is the text "1", expected a number'],
    ["/v1/chat/completions", { messages, temperature: -1 }, "temperature: is -1, expected at least 0"],
    ["/v1/chat/completions", { messages, top_p: 2 }, "top_p: is 2, expected at most 1"],
    ["/v1/chat/completions", { messages, n: 1.5 }, "n: is 1.5, expected a whole number"],
    ["/v1/chat/completions", { messages, stream: 1 }, "stream: is 1, expected true or false"],
    ["/v1/chat/completions", { messages, speed: 1 }, "speed: is not known here"],
    [
      "/v1/chat/completions",
      { messages, response_format: { type: "xml" } },
      'response_format.type: is the text "xml", expected "text", "json_object", "json_schema"',
    ],
    ["/v1/chat/completions", { messages, tool_choice: "maybe" }, "tool_choice: is to be none, auto, required"],
    ["/v1/messages", { model: "llama", messages }, "max_tokens: is missing, expected a number"],
    ["/v1/messages", { model: 5, messages, max_tokens: 1 }, "model: is 5, expected a text"],
    ["/v1/responses", { input: 5 }, "input: is 5, expected a text or a list"],
    ["/api/chat", { messages }, "model: is missing, expected a text"],
    ["/api/show", {}, "model: is missing, expected a text"],
  ])("%s %j", async (path, body, expected) => {
    await using server = startTestServer({ llama: file });
    const response = await server.post(path, body);
    const message = messageIn(await response.json());
    expect(response.status).toBe(400);
    expect(message.slice(0, expected.length)).toBe(expected);
    expect(message).not.toMatch(/Invalid|received|Too (small|big)|Unrecognized/);
  });
});
