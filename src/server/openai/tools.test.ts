import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "../scripted-server.case.ts";

const path = "/v1/chat/completions";
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Tells the weather.",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];
const messages = [{ role: "user", content: "Weather in Kyoto?" }];
const call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Kyoto"}}\n</tool_call>';

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;

/** A streamed answer put together as OpenAI's clients do. */
function assemble(events: Any[]) {
  const message: Any = { content: "", reasoning_content: "", tool_calls: [] };
  let finish: string | undefined;
  for (const event of events) {
    if (event === "[DONE]" || event.choices.length === 0) continue;
    const [{ delta, finish_reason }] = event.choices;
    message.content += delta.content ?? "";
    message.reasoning_content += delta.reasoning_content ?? "";
    for (const { index, id, type, function: part } of delta.tool_calls ?? []) {
      message.tool_calls[index] ??= { id, type, function: { name: part.name, arguments: "" } };
      message.tool_calls[index].function.arguments += part.arguments;
    }
    finish = finish_reason ?? finish;
  }
  return { message, finish };
}

let qwen: ScriptedServer;
beforeAll(() => {
  qwen = startScriptedServer("llamacpp-Qwen-Qwen3-0.6B");
});
afterAll(() => qwen[Symbol.asyncDispose]());

describe("tools in chat completions", () => {
  it("reach the model as its template has them, and its calls come back", async () => {
    qwen.says = `<think>\nA tool.\n</think>\n\nLet me see.\n${call}\n${call}`;
    const answer = await qwen.post(path, { messages, tools });
    expect(qwen.prompts.at(-1)).toContain('<tools>\n{"type": "function", "function": {"name": "get_weather"');
    const called = { type: "function", function: { name: "get_weather", arguments: '{"city": "Kyoto"}' } };
    expect(answer.choices[0]).toMatchObject({
      message: { content: "Let me see.", reasoning_content: "A tool.", tool_calls: [called, called] },
      finish_reason: "tool_calls",
    });
    const ids = answer.choices[0].message.tool_calls.map(({ id }: Any) => id);
    expect(new Set(ids).size).toBe(2);
  });

  it("stream the same, arguments as they come", async () => {
    qwen.says = `<think>\nA tool.\n</think>\n\nLet me see.\n${call}\n${call}`;
    const { choices, usage } = await qwen.post(path, { messages, tools });
    const events = await qwen.stream(path, { messages, tools, stream_options: { include_usage: true } });
    const { message, finish } = assemble(events);
    expect(finish).toBe("tool_calls");
    const plain = ({ tool_calls: calls, content, reasoning_content: reasoning }: Any) => ({
      ...{ content, reasoning, calls: calls.map(({ function: called }: Any) => called) },
    });
    expect(plain(message)).toEqual(plain(choices[0].message));
    const fragments = events.filter((event) => event.choices?.[0]?.delta.tool_calls?.[0].function.arguments);
    expect(fragments.length).toBeGreaterThan(4);
    expect(events.at(-2).usage).toEqual(usage);
  });

  it("have their calls and results told to the model in later turns", async () => {
    qwen.says = "It rains.";
    const calls = [
      { id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city":"Kyoto"}' } },
      { id: "call_2", type: "function", function: { name: "get_weather", arguments: '{"city":"Nara"}' } },
    ];
    const later = [
      ...messages,
      { role: "assistant", content: null, tool_calls: calls },
      { role: "tool", tool_call_id: "call_1", content: "rain" },
      { role: "tool", tool_call_id: "call_2", content: [{ type: "text", text: "sun" }] },
    ];
    const answer = await qwen.post(path, { messages: later, tools });
    expect(answer.choices[0]).toMatchObject({ message: { content: "It rains." }, finish_reason: "stop" });
    expect(answer.choices[0].message.tool_calls).toBe(undefined);
    const prompt = qwen.prompts.at(-1)!;
    expect(prompt).toContain('<tool_call>\n{"name": "get_weather", "arguments": {"city": "Kyoto"}}\n</tool_call>');
    expect(prompt).toContain("<tool_response>\nrain\n</tool_response>\n<tool_response>\nsun\n</tool_response>");
  });

  it("end the answer with one call where several are not wanted", async () => {
    qwen.says = `${call}${call} and more`;
    const request = { messages, tools, parallel_tool_calls: false };
    const { choices, usage } = await qwen.post(path, request);
    expect(choices[0].message.tool_calls).toHaveLength(1);
    expect(choices[0]).toMatchObject({ message: { content: null }, finish_reason: "tool_calls" });
    const { message, finish } = assemble(await qwen.stream(path, request));
    expect([message.tool_calls.length, message.content, finish]).toEqual([1, "", "tool_calls"]);
    const all = await qwen.post(path, { messages, tools });
    expect(usage.completion_tokens).toBeLessThan(all.usage.completion_tokens);
  });

  it("are called by each of several answers", async () => {
    qwen.says = call;
    const { choices } = await qwen.post(path, { messages, tools, n: 2 });
    const ids = choices.map(({ message }: Any) => message.tool_calls[0].id);
    expect(ids[0]).not.toBe(ids[1]);
    const events = await qwen.stream(path, { messages, tools, n: 2 });
    for (const index of [0, 1]) {
      const own = events.filter((event) => event !== "[DONE]" && event.choices[0].index === index);
      expect(assemble(own).message.tool_calls[0].function.arguments).toBe('{"city": "Kyoto"}');
    }
  });

  it("are not called where the caller says none, and what looks like a call is text", async () => {
    qwen.says = call;
    const answer = await qwen.post(path, { messages, tools, tool_choice: "none" });
    expect(answer.choices[0]).toMatchObject({ message: { content: call }, finish_reason: "stop" });
    expect(qwen.prompts.at(-1)).not.toContain("get_weather");
  });

  it.each([
    ["is no JSON", '<tool_call>\n{"name": "get_weather", "arguments": {city}}\n</tool_call>', {}, "stop"],
    ["breaks off", call, { max_tokens: 30 }, "length"],
    ["is cut by a stop string", call, { stop: "Kyo" }, "stop"],
  ])("whose call %s is text, and never a call", async (_, says, more, finish) => {
    qwen.says = says;
    const { choices } = await qwen.post(path, { messages, tools, ...more });
    expect(choices[0].finish_reason).toBe(finish);
    expect(choices[0].message.tool_calls).toBe(undefined);
    expect(says.startsWith(choices[0].message.content)).toBe(true);
    expect(choices[0].message.content).toContain('<tool_call>\n{"name": "get_weather"');
    const streamed = assemble(await qwen.stream(path, { messages, tools, ...more }));
    expect(streamed.finish).toBe(finish);
    expect(streamed.message.content).toBe(choices[0].message.content);
    for (const { function: begun } of streamed.message.tool_calls) expect(() => JSON.parse(begun.arguments)).toThrow();
  });

  it("are told of in plain words where the template knows none", async () => {
    await using plain = startScriptedServer(undefined);
    plain.says = `One moment. ${call}`;
    const { choices } = await plain.post(path, {
      messages: [{ role: "system", content: "Be brief." }, ...messages],
      tools,
    });
    expect(choices[0]).toMatchObject({ message: { content: "One moment." }, finish_reason: "tool_calls" });
    expect(plain.prompts[0]).toMatch(
      /<\|system\|> Be brief\.\n\n# Tools\n[\s\S]*<tools>\n\{"type":"function"[\s\S]*<\/tools>/,
    );
    const id = choices[0].message.tool_calls[0].id;
    const later = [...messages, choices[0].message, { role: "tool", tool_call_id: id, content: "rain" }];
    expect(plain.prompts[0]).toMatch(/<\|user\|> Weather in Kyoto\?<\|end\|><\|assistant\|>$/);
    plain.says = "Rain.";
    const next = await plain.post(path, { messages: [...later, { role: "user", content: "So?" }], tools });
    expect(next.choices[0].message.content).toBe("Rain.");
    expect(plain.prompts[1]).toMatch(
      /<\|assistant\|> One moment\.\n<tool_call>\n\{"name":"get_weather","arguments":\{"city":"Kyoto"\}\}/,
    );
    expect(plain.prompts[1]).toContain("<|user|> <tool_response>\nrain\n</tool_response>\n\nSo?");
  });

  const tagged = (city: string, days: string) =>
    `<function=get_weather>\n<parameter=city>\n${city}\n</parameter>\n<parameter=days>\n${days}\n</parameter>\n</function>`;
  const glm = (city: string, days: string) =>
    `<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>${city}</arg_value>\n<arg_key>days</arg_key>\n<arg_value>${days}</arg_value>\n</tool_call>`;
  it.each([
    ["llamacpp-Qwen3-Coder", (...args: [string, string]) => `<tool_call>\n${tagged(...args)}\n</tool_call>`],
    ["llamacpp-GLM-4.6", glm],
  ] as const)("are called with arguments between marks, in each API's shape: %s", async (template, write) => {
    const schema = { type: "object", properties: { city: { type: "string" }, days: { type: "array" } } };
    const input = { city: '7 "bridges"\n<b>', days: [1, 2] };
    await using scripted = startScriptedServer(template);
    scripted.says = `Let me see.\n${write(input.city, "[1, 2]")}\n${write(input.city, "[1, 2]")}`;
    const described = { name: "get_weather", description: "d" };
    const offered = [{ type: "function", function: { ...described, parameters: schema } }];
    const json = (call: Any) => [call.name, JSON.parse(call.arguments)];
    const expected = ["get_weather", input];

    const whole = (await scripted.post(path, { messages, tools: offered })).choices[0];
    expect([whole.message.content, whole.finish_reason]).toEqual(["Let me see.", "tool_calls"]);
    expect(whole.message.tool_calls.map((one: Any) => json(one.function))).toEqual([expected, expected]);
    const { message, finish } = assemble(await scripted.stream(path, { messages, tools: offered }));
    expect([message.content, finish]).toEqual(["Let me see.", "tool_calls"]);
    expect(message.tool_calls.map((one: Any) => json(one.function))).toEqual([expected, expected]);
    const anthropic = { max_tokens: 999, messages, tools: [{ ...described, input_schema: schema }] };
    const { content } = await scripted.post("/v1/messages", anthropic);
    expect(content.slice(1)).toMatchObject([{ type: "tool_use", input }, { input }]);
    const responses = { input: "So?", tools: [{ type: "function", ...described, parameters: schema }], store: false };
    expect((await scripted.post("/v1/responses", responses)).output.slice(1).map(json)).toEqual([expected, expected]);
    const ollama = await scripted.post("/api/chat", { messages, tools: offered, stream: false });
    expect(ollama.message.tool_calls).toMatchObject([
      { function: { arguments: input } },
      { function: { name: "get_weather" } },
    ]);

    // What it called before reaches it as it wrote it.
    scripted.says = "Rain.";
    const [first] = whole.message.tool_calls;
    const later = [...messages, whole.message, { role: "tool", tool_call_id: first.id, content: "rain" }];
    await scripted.post(path, { messages: [...later, { role: "user", content: "So?" }], tools: offered });
    expect(scripted.prompts.at(-1)).toContain(write(input.city, "[1, 2]"));
    const broken = { ...first, function: { name: "get_weather", arguments: '{"city' } };
    const odd = [...messages, { role: "assistant", tool_calls: [broken] }, { ...later.at(-1), content: "no" }];
    expect((await scripted.post(path, { messages: odd, tools: offered })).status).toBe(200);
  });

  it("are refused by name where the template's calls are not read here", async () => {
    await using gptOss = startScriptedServer("llamacpp-openai-gpt-oss-120b");
    const refused = await gptOss.post(path, { messages, tools });
    expect(refused).toMatchObject({
      status: 400,
      error: { param: "tools", message: expect.stringMatching(/calls written/) },
    });
    gptOss.says = "Hello.";
    expect((await gptOss.post(path, { messages })).choices[0].message.content).toBe("Hello.");
  });

  it.each([
    ["tools of another kind", { tools: [{ type: "web_search" }] }, /^tools\[0\]\.type: only functions/],
    ["a tool without a name", { tools: [{ type: "function", function: {} }] }, /^tools\[0\]\.function\.name/],
    [
      "calls of another kind",
      { messages: [...messages, { role: "assistant", tool_calls: [{ id: "x", type: "custom" }] }] },
      /^messages\[1\]\.tool_calls\[0\]/,
    ],
  ])("with %s are refused with their place", async (_, body, message) => {
    expect(await qwen.post(path, { messages, ...body })).toMatchObject({
      status: 400,
      error: { type: "invalid_request_error", message: expect.stringMatching(message) },
    });
  });
});

describe("reasoning in chat completions", () => {
  it("is a field of its own, also where the prompt begins it", async () => {
    await using thinker = startScriptedServer("llamacpp-Qwen-QwQ-32B");
    thinker.says = "Hm.\n\nYes.\n</think>\n\nFour.";
    const asked = { messages, reasoning_effort: "medium" };
    const { choices } = await thinker.post(path, asked);
    expect(thinker.prompts[0]!.trimEnd()).toMatch(/<think>$/);
    expect(choices[0].message).toMatchObject({ content: "Four.", reasoning_content: "Hm.\n\nYes." });
    const { message } = assemble(await thinker.stream(path, asked));
    expect(message).toMatchObject({ content: "Four.", reasoning_content: "Hm.\n\nYes." });
  });

  it("is left out where the caller says so and the template can", async () => {
    qwen.says = "Four.";
    await qwen.post(path, { messages, reasoning_effort: "none" });
    expect(qwen.prompts.at(-1)).toMatch(/<think>\n\n<\/think>\n\n$/);
    await qwen.post(path, { messages, chat_template_kwargs: { enable_thinking: false } });
    expect(qwen.prompts.at(-1)).toMatch(/<think>\n\n<\/think>\n\n$/);
    await qwen.post(path, { messages, reasoning_effort: "high" });
    expect(qwen.prompts.at(-1)).not.toContain("<think>");
  });

  it("keeps log-probabilities of every token", async () => {
    qwen.says = "<think>\nHm.\n</think>\n\nFour.";
    const request = { messages, logprobs: true };
    const { choices, usage } = await qwen.post(path, request);
    expect(choices[0].logprobs.content).toHaveLength(usage.completion_tokens);
    const events = await qwen.stream(path, request);
    const streamed = events.flatMap((event) => event.choices?.[0].logprobs?.content ?? []);
    expect(streamed).toEqual(choices[0].logprobs.content);
  });
});
