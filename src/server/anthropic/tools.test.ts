import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "../scripted-server.case.ts";

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;

const path = "/v1/messages";
const tool = {
  name: "get_weather",
  description: "Tells the weather.",
  input_schema: { type: "object", properties: { city: { type: "string" } } },
};
const question = { role: "user", content: "Weather in Kyoto?" };
const call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Kyoto"}}\n</tool_call>';
const asked = { max_tokens: 200, messages: [question], tools: [tool] };

/** What a stream's events come to, as Anthropic's clients put them together. */
function assemble(events: Any[]) {
  const content: Any[] = [];
  let stop: string | undefined;
  for (const { type, index, content_block: block, delta } of events) {
    if (type === "content_block_start") {
      expect(index).toBe(content.length);
      content.push({ ...block, ...(block.type === "tool_use" && { input: "" }) });
    } else if (type === "content_block_delta") {
      const open = content[index];
      expect(index).toBe(content.length - 1);
      if (delta.type === "text_delta") open.text += delta.text;
      else if (delta.type === "thinking_delta") open.thinking += delta.thinking;
      else if (delta.type === "input_json_delta") open.input += delta.partial_json;
      else expect(delta).toEqual({ type: "signature_delta", signature: "" });
    } else if (type === "message_delta") stop = delta.stop_reason;
  }
  const parsed = content.map((block) =>
    block.type === "tool_use" ? { ...block, input: JSON.parse(block.input) } : block,
  );
  return { content: parsed, stop };
}

/** Ids are new in each answer. */
const plain = (content: Any[]) => content.map(({ id: _, ...block }) => block);

let qwen: ScriptedServer;
const streamed = async (body: object): Promise<Any[]> => {
  const response = await qwen.server.post(path, { model: "m", stream: true, ...body });
  const events = (await response.text()).trim().split("\n\n");
  return events.map((event) => JSON.parse(event.slice(event.indexOf("data: ") + 6)));
};
beforeAll(() => {
  qwen = startScriptedServer("llamacpp-Qwen-Qwen3-0.6B");
});
afterAll(() => qwen[Symbol.asyncDispose]());

describe("tools in messages", () => {
  it("are offered by the template, and their calls are blocks", async () => {
    qwen.says = `<think>\nA tool.\n</think>\n\nLet me see.\n${call}\n${call}`;
    const answer = await qwen.post(path, { ...asked, thinking: { type: "enabled", budget_tokens: 1024 } });
    expect(qwen.prompts.at(-1)).toContain('{"type": "function", "function": {"name": "get_weather"');
    const block = { type: "tool_use", name: "get_weather", input: { city: "Kyoto" } };
    expect(answer.stop_reason).toBe("tool_use");
    expect(plain(answer.content)).toEqual([
      { type: "thinking", thinking: "A tool.", signature: "" },
      { type: "text", text: "Let me see." },
      ...[block, block],
    ]);
    expect(answer.content[2].id).toMatch(/^toolu_\w+$/);
    expect(answer.content[2].id).not.toBe(answer.content[3].id);
  });

  it.each([false, true])("stream the same, arguments as they come where eagerly wanted: %s", async (eager) => {
    qwen.says = `<think>\nA tool.\n</think>\n\nLet me see.\n${call}\n${call}`;
    const { content, stop_reason: reason } = await qwen.post(path, asked);
    const events = await streamed({ ...asked, tools: [{ ...tool, eager_input_streaming: eager }] });
    expect(plain(assemble(events).content)).toEqual(plain(content));
    expect(assemble(events).stop).toBe(reason);
    const fragments = events.filter(({ delta }) => delta?.type === "input_json_delta").length;
    expect(fragments > 2).toBe(eager);
  });

  it("have their results told to the model, failed ones as such", async () => {
    qwen.says = "It rains.";
    const use = (id: string, city: string) => ({ type: "tool_use", id, name: "get_weather", input: { city } });
    const messages = [
      question,
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "Hm.", signature: "x" },
          { type: "text", text: "So." },
          use("toolu_1", "Kyoto"),
          use("toolu_2", "Nara"),
        ],
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "toolu_1", content: [{ type: "text", text: "rain" }] },
          { type: "tool_result", tool_use_id: "toolu_2", is_error: true, content: "no such city" },
          { type: "text", text: "And?", cache_control: { type: "ephemeral" } },
        ],
      },
    ];
    const answer = await qwen.post(path, { ...asked, messages });
    expect(answer).toMatchObject({
      status: 200,
      content: [{ type: "text", text: "It rains." }],
      stop_reason: "end_turn",
    });
    const prompt = qwen.prompts.at(-1)!;
    expect(prompt).toContain('So.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Kyoto"}}\n</tool_call>');
    expect(prompt).toContain(
      "<tool_response>\nrain\n</tool_response>\n<tool_response>\nError: no such city\n</tool_response>",
    );
    expect(prompt).toContain("<|im_start|>user\nAnd?<|im_end|>");
    const counted = await qwen.post(`${path}/count_tokens`, { messages, tools: [tool] });
    expect(counted.input_tokens).toBe(answer.usage.input_tokens);
  });

  it("that break off are text; one alone ends the answer where several are not wanted", async () => {
    qwen.says = `${call}${call}`;
    const cut = await qwen.post(path, { ...asked, max_tokens: 30 });
    expect(cut).toMatchObject({ stop_reason: "max_tokens", content: [{ type: "text" }] });
    expect(call.startsWith(cut.content[0].text)).toBe(true);
    expect(assemble(await streamed({ ...asked, max_tokens: 30 })).content).toEqual(cut.content);
    const choice = { type: "auto", disable_parallel_tool_use: true };
    expect((await qwen.post(path, { ...asked, tool_choice: choice })).content).toHaveLength(1);
    const none = await qwen.post(path, { ...asked, tool_choice: { type: "none" } });
    expect(none).toMatchObject({ stop_reason: "end_turn", content: [{ type: "text", text: qwen.says }] });
  });

  it("think where that is wanted alone", async () => {
    qwen.says = "So.";
    await qwen.post(path, asked);
    expect(qwen.prompts.at(-1)).toMatch(/<think>\n\n<\/think>\n\n$/);
    for (const thinking of [{ type: "adaptive" }, { type: "enabled", budget_tokens: 2000 }]) {
      await qwen.post(path, { ...asked, thinking });
      expect(qwen.prompts.at(-1)).not.toContain("<think>");
    }
  });

  const picture = { type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } };
  it.each([
    [
      "a picture",
      { messages: [{ role: "user", content: [picture] }] },
      /^messages\[0\]\.content\[0\]\.type: is "image"/,
    ],
    [
      "a picture in a result",
      { messages: [{ role: "user", content: [{ type: "tool_result", tool_use_id: "x", content: [picture] }] }] },
      /content\[0\]\.content\[0\]\.type: is "image"/,
    ],
    [
      "a tool of the server's",
      { tools: [{ type: "web_search_20250305", name: "web_search" }] },
      /^tools\[0\]\.type: only tools/,
    ],
  ])("are refused with %s by its name", async (_, body, message) => {
    expect(await qwen.post(path, { ...asked, ...body })).toMatchObject({
      ...{ status: 400, type: "error" },
      error: { type: "invalid_request_error", message: expect.stringMatching(message) },
    });
  });
});
