import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "../scripted-server.case.ts";

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;

const path = "/api/chat";
const tools = [
  {
    type: "function",
    function: { name: "get_weather", description: "d", parameters: { type: "object", properties: {} } },
  },
];
const messages = [{ role: "user", content: "Weather in Kyoto?" }];
const call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Kyoto"}}\n</tool_call>';
const called = (index: number) => ({ function: { index, name: "get_weather", arguments: { city: "Kyoto" } } });

let qwen: ScriptedServer;
beforeAll(() => {
  qwen = startScriptedServer("llamacpp-Qwen-Qwen3-0.6B");
});
afterAll(() => qwen[Symbol.asyncDispose]());

const lines = async (body: object): Promise<Any[]> => {
  const text = await (await qwen.server.post(path, { model: "m", ...body })).text();
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
};

describe("Ollama's chat", () => {
  it("has calls of tools and thoughts as its own fields, whole and streamed", async () => {
    qwen.says = `<think>\nA tool.\n</think>\n\nLet me see.\n${call}\n${call}`;
    const { message, done_reason: reason } = await qwen.post(path, { messages, tools, stream: false });
    expect(reason).toBe("stop");
    expect(message).toMatchObject({ content: "Let me see.", thinking: "A tool.", tool_calls: [called(0), called(1)] });
    const streamed = await lines({ messages, tools });
    const join = (field: string) => streamed.map((line) => line.message[field] ?? "").join("");
    expect([join("content"), join("thinking")]).toEqual(["Let me see.", "A tool."]);
    expect(streamed.flatMap((line) => line.message.tool_calls ?? [])).toMatchObject([called(0), called(1)]);
    expect(streamed.at(-1)).toMatchObject({ done: true, done_reason: "stop" });
  });

  it("tells the model of calls and results, which need no ids", async () => {
    qwen.says = "Rain.";
    const function_ = (city: string) => ({ function: { name: "get_weather", arguments: { city } } });
    const said = [
      ...messages,
      { role: "assistant", content: "", thinking: "Hm.", tool_calls: [function_("Kyoto"), function_("Nara")] },
      { role: "tool", tool_name: "get_weather", content: "rain" },
      { role: "tool", content: "sun" },
    ];
    expect((await qwen.post(path, { messages: said, tools, stream: false })).message.content).toBe("Rain.");
    expect(qwen.prompts.at(-1)).toContain('"arguments": {"city": "Nara"}}\n</tool_call>');
    expect(qwen.prompts.at(-1)).toContain(
      "<tool_response>\nrain\n</tool_response>\n<tool_response>\nsun\n</tool_response>",
    );
    await using mistral = startScriptedServer("llamacpp-mistralai-Mistral-Nemo-Instruct-2407");
    mistral.says = "Rain.";
    expect((await mistral.post(path, { messages: said, tools, stream: false })).message.content).toBe("Rain.");
    const ids = (name: string) =>
      [...mistral.prompts[0]!.matchAll(new RegExp(`"${name}": "(\\w{9})"`, "g"))].map(([, id]) => id);
    expect(ids("call_id")).toEqual(ids("id"));
    expect(new Set(ids("id")).size).toBe(2);
  });

  it("thinks as it is asked to, where the model can", async () => {
    qwen.says = "Rain.";
    await qwen.post(path, { messages, think: false, stream: false });
    expect(qwen.prompts.at(-1)).toMatch(/<think>\n\n<\/think>\n\n$/);
    await qwen.post(path, { messages, think: "high", stream: false });
    expect(qwen.prompts.at(-1)).not.toContain("<think>");
    qwen.says = "<think>Hm.</think>Rain.";
    const generated = await qwen.post("/api/generate", { prompt: "So?", think: true, stream: false });
    expect(generated).toMatchObject({ response: "Rain.", thinking: "Hm." });
    const raw = await qwen.post("/api/generate", { prompt: "So?", raw: true, stream: false });
    expect(raw.response.trim()).toBe(qwen.says);
    await using plain = startScriptedServer(undefined);
    expect(await plain.post(path, { messages, think: true })).toEqual({
      status: 400,
      error: '"m" does not support thinking',
    });
  });
});
