import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "../scripted-server.case.ts";
import { createResponseStore, type StoredResponse } from "./store.ts";

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;

const path = "/v1/responses";
const tools = [
  {
    type: "function",
    name: "get_weather",
    description: "d",
    strict: false,
    parameters: { type: "object", properties: {} },
  },
  {
    type: "custom",
    name: "apply_patch",
    description: "Changes files.",
    format: { type: "grammar", syntax: "lark", definition: "x" },
  },
  { type: "web_search", external_web_access: false },
];
const call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Kyoto"}}\n</tool_call>';
const patch = '<tool_call>\n{"name": "apply_patch", "arguments": {"input": "*** Begin\\n\\"x\\""}}\n</tool_call>';

let qwen: ScriptedServer;
beforeAll(() => {
  qwen = startScriptedServer("llamacpp-Qwen-Qwen3-0.6B");
});
afterAll(() => qwen[Symbol.asyncDispose]());

const streamed = async (body: object): Promise<Any[]> => {
  const text = await (await qwen.server.post(path, { model: "m", stream: true, ...body })).text();
  return text
    .trim()
    .split("\n\n")
    .map((event, i) => {
      const [name, data] = event.split("\n") as [string, string];
      const value = JSON.parse(data.slice("data: ".length));
      expect(name).toBe(`event: ${value.type}`);
      expect(value.sequence_number).toBe(i);
      return value;
    });
};

/** The items as events build them up. */
function assemble(events: Any[]): Any[] {
  const items: Any[] = [];
  for (const event of events) {
    const { type, output_index: at, delta } = event;
    if (type === "response.output_item.added") {
      expect(at).toBe(items.length);
      items.push(structuredClone(event.item));
    } else if (type === "response.content_part.added") {
      items[at].content = [structuredClone(event.part)];
    } else if (type === "response.output_text.delta" || type === "response.reasoning_text.delta") {
      expect(event.item_id).toBe(items[at].id);
      items[at].content[0].text += delta;
    } else if (type === "response.function_call_arguments.delta") items[at].arguments += delta;
    else if (type === "response.custom_tool_call_input.delta") items[at].input += delta;
    else if (type === "response.output_item.done") {
      const { status: _, ...built } = items[at];
      expect(event.item).toMatchObject(built);
      items[at] = event.item;
    }
  }
  return items;
}

const withoutIds = (items: Any[]) => items.map(({ id: _, call_id: __, ...item }) => item);

describe("responses", () => {
  it("have log-probabilities of what is text, and of no thought, mark or call, where these are to be included", async () => {
    const include = ["message.output_text.logprobs"];
    const joined = (tokens: Any[]) => Buffer.from(tokens.flatMap(({ bytes }) => bytes)).toString();
    for (const says of [
      "Four, são 四.",
      `<think>\nTools.\n</think>\n\nLet me see.\n${call}\n${call} So.`,
      '<think>\n\n</think>\n\nNo <tool_call>\n{"name": "get_weather", "arguments": {"city": }}\n</tool_call>, none.',
    ]) {
      qwen.says = says;
      const request = { input: "Weather?", tools, include, top_logprobs: 2 };
      const answer = await qwen.post(path, request);
      expect(answer.top_logprobs).toBe(2);
      const texts = answer.output.filter(({ type }: Any) => type === "message").map(({ content }: Any) => content[0]);
      expect(texts.length).toBeGreaterThan(0);
      for (const { text, logprobs } of texts) {
        expect(joined(logprobs).trim()).toBe(text.trim());
        for (const { logprob, top_logprobs: top } of logprobs) {
          expect([logprob, ...top.map((other: Any) => other.logprob)]).toEqual([-1, -1, -2]);
        }
      }
      const events = await streamed(request);
      const streamedTexts = events
        .at(-1)
        .response.output.filter(({ type }: Any) => type === "message")
        .map(({ content }: Any) => content[0]);
      for (const { text, logprobs } of streamedTexts) expect(joined(logprobs).trim()).toBe(text.trim());
      const [at, ...others] = events
        .filter(({ type }) => type === "response.output_text.done")
        .map(({ output_index: index }) => index);
      expect(others.length).toBe(streamedTexts.length - 1);
      const deltas = events.filter(({ type, output_index: i }) => type === "response.output_text.delta" && i === at);
      const all = streamedTexts[0].logprobs.map(({ bytes: _, top_logprobs: top, ...entry }: Any) => ({
        ...entry,
        top_logprobs: top.map(({ bytes: __, ...other }: Any) => other),
      }));
      expect(deltas.flatMap(({ logprobs }) => logprobs)).toEqual(all);
    }
    qwen.says = "Four.";
    const plain = await qwen.post(path, { input: "?", include });
    expect(plain.output[0].content[0].logprobs[0]).toMatchObject({ logprob: -1, top_logprobs: [] });
  });

  it("answer a text, and say what they were asked with", async () => {
    qwen.says = "Four.";
    const answer = await qwen.post(path, { input: "2 + 2?", instructions: "Be brief.", max_output_tokens: 50 });
    expect(qwen.prompts.at(-1)).toContain(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>",
    );
    expect(answer).toMatchObject({
      ...{ object: "response", status: "completed", error: null, incomplete_details: null, instructions: "Be brief." },
      output: [
        {
          type: "message",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: "Four.", annotations: [] }],
        },
      ],
      ...{ max_output_tokens: 50, store: true, tool_choice: "auto", parallel_tool_calls: true },
    });
    const { input_tokens: input, output_tokens: output, total_tokens: total } = answer.usage;
    expect([input > 10, output > 1, total]).toEqual([true, true, input + output]);
    const counted = await qwen.post(`${path}/input_tokens`, { input: "2 + 2?", instructions: "Be brief." });
    expect(counted).toEqual({ status: 200, object: "response.input_tokens", input_tokens: input });
  });

  it("have thoughts, texts and calls as items, and the same in a stream's events", async () => {
    qwen.says = `<think>\nTools.\n</think>\n\nLet me see.\n${call}\n${patch}\n${call}`;
    const request = {
      input: "Weather?",
      tools,
      reasoning: { effort: "high", summary: "auto" },
      include: ["reasoning.encrypted_content"],
    };
    const answer = await qwen.post(path, request);
    expect(qwen.prompts.at(-1)).not.toContain("web_search");
    expect(withoutIds(answer.output)).toEqual([
      {
        type: "reasoning",
        summary: [],
        content: [{ type: "reasoning_text", text: "Tools." }],
        encrypted_content: expect.any(String),
      },
      {
        type: "message",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: "Let me see.", annotations: [], logprobs: [] }],
      },
      { type: "function_call", status: "completed", name: "get_weather", arguments: '{"city": "Kyoto"}' },
      { type: "custom_tool_call", status: "completed", name: "apply_patch", input: '*** Begin\n"x"' },
      { type: "function_call", status: "completed", name: "get_weather", arguments: '{"city": "Kyoto"}' },
    ]);
    expect(new Set(answer.output.map(({ id }: Any) => id)).size).toBe(5);
    expect(answer.usage.output_tokens_details.reasoning_tokens).toBeGreaterThan(0);

    const events = await streamed(request);
    const names = events.map(({ type }) => type);
    expect(names.slice(0, 2)).toEqual(["response.created", "response.in_progress"]);
    expect(names.at(-1)).toBe("response.completed");
    const { output } = events.at(-1).response;
    expect(withoutIds(output)).toEqual(withoutIds(answer.output));
    const built = assemble(events);
    expect(built).toEqual(output);
    expect(names.filter((name) => name === "response.function_call_arguments.delta").length).toBeGreaterThan(4);
    for (const { type, arguments: args, text, input, item_id: id } of events.filter(({ type }) =>
      /(arguments|text|input)\.done/.test(type),
    )) {
      const item = output.find((item: Any) => item.id === id);
      if (type === "response.function_call_arguments.done") expect(args).toBe(item.arguments);
      else if (type === "response.custom_tool_call_input.done") expect(input).toBe(item.input);
      else expect(text).toBe(item.content[0].text);
    }
  });

  it("take back all of their items, with results of calls", async () => {
    qwen.says = `<think>\nTools.\n</think>\n\nLet me see.\n${call}\n${patch}`;
    const first = await qwen.post(path, {
      input: "Weather?",
      tools,
      store: false,
      include: ["reasoning.encrypted_content"],
      reasoning: { effort: "high" },
    });
    const [thought, ...others] = first.output;
    const { content: _, ...sealed } = thought;
    const input = [
      { role: "user", content: "Weather?" },
      ...[sealed, ...others],
      { type: "function_call_output", call_id: others[1].call_id, output: "rain" },
      {
        type: "custom_tool_call_output",
        call_id: others[2].call_id,
        output: [{ type: "input_text", text: "patched" }],
      },
    ];
    qwen.says = "Rain.";
    const second = await qwen.post(path, { input, tools, store: false, reasoning: { effort: "high" } });
    expect(second.output[0].content[0].text).toBe("Rain.");
    const prompt = qwen.prompts.at(-1)!;
    expect(prompt).toContain("<think>\nTools.\n</think>\n\nLet me see.");
    expect(prompt).toContain('{"name": "get_weather", "arguments": {"city": "Kyoto"}}');
    expect(prompt).toContain('{"name": "apply_patch", "arguments": {"input": "*** Begin\\n\\"x\\""}}');
    expect(prompt).toContain("<tool_response>\nrain\n</tool_response>\n<tool_response>\npatched\n</tool_response>");
  });

  it("are gone on from by their id, without the instructions", async () => {
    qwen.says = call;
    const first = await qwen.post(path, { input: "Weather?", tools, instructions: "Once." });
    const output = { type: "function_call_output", call_id: first.output[0].call_id, output: "rain" };
    qwen.says = "Rain.";
    const events = await streamed({ input: [output], tools, previous_response_id: first.id });
    const second = events.at(-1).response;
    expect(second.previous_response_id).toBe(first.id);
    const prompt = qwen.prompts.at(-1)!;
    expect(prompt).not.toContain("Once.");
    expect(prompt).toMatch(
      /user\nWeather\?<\|im_end\|>\n<\|im_start\|>assistant\n[\s\S]*"Kyoto"[\s\S]*rain\n<\/tool_response>/,
    );
    await qwen.post(path, { input: "And then?", previous_response_id: second.id });
    expect(qwen.prompts.at(-1)).toMatch(/assistant\nRain\.<\|im_end\|>\n<\|im_start\|>user\nAnd then\?<\|im_end\|>/);

    const get = async (place: string) => ({ ...((await (await qwen.server.get(place)).json()) as Any) });
    expect(await get(`${path}/${second.id}`)).toEqual(second);
    const { data } = await get(`${path}/${first.id}/input_items?order=asc`);
    expect(data).toMatchObject([{ type: "message", role: "user", content: "Weather?" }]);
    const remove = () =>
      qwen.server.app.fetch(
        new Request(`http://localhost${path}/${first.id}`, { method: "DELETE", headers: { host: "localhost" } }),
      );
    expect(await (await remove()).json()).toEqual({ id: first.id, object: "response", deleted: true });
    expect((await remove()).status).toBe(404);
    expect(await get(`${path}/${first.id}`)).toMatchObject({ error: { type: "not_found_error" } });
    const lost = await qwen.post(path, { input: "x", previous_response_id: second.id });
    expect(lost).toMatchObject({ status: 404, error: { param: "previous_response_id" } });
  });

  it("are not kept where the caller says so", async () => {
    qwen.says = "Four.";
    const { id } = await qwen.post(path, { input: "2 + 2?", store: false });
    expect((await qwen.server.get(`${path}/${id}`)).status).toBe(404);
  });

  it("that break off are incomplete; a call that breaks off is none, and has begun only in a stream", async () => {
    qwen.says = `Well.${call}`;
    const request = { input: "Weather?", tools, max_output_tokens: 30 };
    const answer = await qwen.post(path, request);
    expect(answer).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
    expect(answer.output.at(-1).status).toBe("incomplete");
    expect(answer.output).toHaveLength(1);
    expect(qwen.says.startsWith(answer.output[0].content[0].text.slice(0, 5))).toBe(true);
    const events = await streamed(request);
    expect(events.at(-1).type).toBe("response.incomplete");
    const begun = events.at(-1).response.output.find(({ type }: Any) => type === "function_call");
    expect(begun.status).toBe("incomplete");
    expect(() => JSON.parse(begun.arguments)).toThrow();
    qwen.says = "So.";
    await qwen.post(path, { input: "Again.", previous_response_id: events.at(-1).response.id });
    expect(qwen.prompts.at(-1)).toContain("Again.");
  });

  const picture = { type: "input_image", image_url: "data:" };
  it.each([
    ["nothing asked", { input: [] }, /^input: nothing is asked/],
    [
      "a picture",
      { input: [{ role: "user", content: [picture] }] },
      /^input\[0\]\.content\[0\]\.type: is "input_image"/,
    ],
    ["an item of another kind", { input: [{ type: "computer_call" }] }, /^input\[0\]\.type: is "computer_call"/],
    ["a tool of another kind", { tools: [{ type: "file_search" }] }, /^tools\[0\]\.type: is "file_search"/],
    ["a result without its call", { input: [{ type: "function_call_output", call_id: "x", output: "y" }] }, /call "x"/],
    ["an unknown field", { nonsense: 1 }, /^nonsense: is not known/],
    ["background work", { background: true }, /^background: /],
    ["more log-probabilities than there are", { top_logprobs: 101 }, /^top_logprobs: is 101/],
  ])("with %s are refused with its place", async (_, body, message) => {
    const refused = await qwen.post(path, { input: "x", ...body });
    expect(refused).toMatchObject({ status: 400, error: { message: expect.stringMatching(message) } });
  });
});

describe("the store of responses", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "grok1-responses-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const id = (n: number) => `resp_${n.toString(16).padStart(24, "0")}`;
  const stored = (n: number, text = ""): StoredResponse => ({
    response: { id: id(n), output: [], text },
    input: [],
    previous: undefined,
  });

  it.each([false, true])("keeps the latest, as many and as large as it may; on disk: %s", async (onDisk) => {
    const bounds = { most: 3, mostBytes: 2000, ...(onDisk && { folder }) };
    const store = createResponseStore(bounds);
    for (const n of [1, 2, 3, 4]) await store.put(stored(n));
    expect([1, 2, 3, 4].map((n) => store.get(id(n))?.response.id)).toEqual([undefined, id(2), id(3), id(4)]);
    await store.put(stored(5, "x".repeat(1850)));
    expect([2, 3, 4, 5].map((n) => store.get(id(n)) !== undefined)).toEqual([false, false, false, true]);
    expect(store.delete(id(5))).toBe(true);
    expect(store.delete(id(5))).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("has them again after a restart, but for what was spoiled", async () => {
    const store = createResponseStore({ folder });
    for (const n of [1, 2]) await store.put(stored(n, "é"));
    writeFileSync(join(folder, `${id(2)}.json`), "{");
    writeFileSync(join(folder, "notes.json"), "{}");
    const again = createResponseStore({ folder });
    expect(again.get(id(1))).toEqual(JSON.parse(JSON.stringify(stored(1, "é"))));
    expect(again.get(id(2))).toBe(undefined);
    expect(again.get("notes")).toBe(undefined);
    expect(again.get("../notes")).toBe(undefined);
    expect(readdirSync(folder)).toContain("notes.json");
  });
});
