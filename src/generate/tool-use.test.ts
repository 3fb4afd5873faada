import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { createAnswerReader } from "./answer/answer-reader.ts";
import { joinParts } from "./answer/parts.ts";
import { createJinjaTemplate } from "./chat-template.ts";
import { toolUseOf } from "./tool-use.ts";
import type { ChatMessage, ToolDefinition } from "./types.ts";

const folder = resolve(import.meta.dirname, "../../test/vectors/templates/templates");
const names = { bos_token: "<s>", eos_token: "</s>" };

function open(name: string) {
  return openSource(readFileSync(join(folder, `${name}.jinja`), "utf8"), name);
}

function openSource(source: string, name = "template") {
  const template = createJinjaTemplate(source, name);
  const use = toolUseOf(template, source, names);
  return {
    use,
    render(messages: readonly ChatMessage[], tools: readonly ToolDefinition[] = [], more: object = {}): string {
      const prepared = use.prepare(messages, tools);
      return template.render(prepared.messages, { ...prepared.variables, ...more }, names).text;
    },
  };
}

/** As Llama 3.1's does: one call in a message, its arguments as data, results as "ipython". */
const llama = `{{ bos_token }}{% for message in messages %}
{%- if loop.first and tools %}{{ "Respond with a call: " + tools | tojson }}{% endif %}
{%- if 'tool_calls' in message %}
{%- if message.tool_calls | length != 1 %}{{ raise_exception("This model only supports single tool-calls at once!") }}{% endif %}
{{- "<|start_header_id|>assistant<|end_header_id|>\\n\\n" + '{"name": "' + message.tool_calls[0].function.name + '", "parameters": ' }}
{{- message.tool_calls[0].function.arguments | tojson + "}<|eot_id|>" }}
{%- elif message.role == "tool" %}{{ "<|start_header_id|>ipython<|end_header_id|>\\n\\n" + message.content + "<|eot_id|>" }}
{%- else %}{{ "<|start_header_id|>" + message.role + "<|end_header_id|>\\n\\n" + message.content + "<|eot_id|>" }}{% endif %}
{%- endfor %}{% if add_generation_prompt %}{{ "<|start_header_id|>assistant<|end_header_id|>\\n\\n" }}{% endif %}`;

/** As DeepSeek's first ones do: arguments are a text, and a message that calls says nothing. */
const deepSeek = `{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}{% for message in messages %}
{%- if message.role == 'user' %}{{ '<｜User｜>' + message.content }}
{%- elif message.role == 'assistant' and message.content is none %}{{ '<｜Assistant｜><｜tool▁calls▁begin｜>' }}
{%- for call in message.tool_calls %}{{ '<｜tool▁call▁begin｜>' + call.type + '<｜tool▁sep｜>' + call.function.name + '\\n\`\`\`json\\n' + call.function.arguments + '\\n\`\`\`<｜tool▁call▁end｜>' }}{% endfor %}
{{- '<｜tool▁calls▁end｜>' + eos_token }}
{%- elif message.role == 'assistant' %}{{ '<｜Assistant｜>' + message.content + eos_token }}
{%- elif message.role == 'tool' %}{{ '<｜tool▁output▁begin｜>' + message.content + '<｜tool▁output▁end｜>' }}{% endif %}
{%- endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}`;

const question: ChatMessage = { role: "user", content: "What is on at the Odeon?" };
const tool = (name: string): ToolDefinition => ({
  type: "function",
  function: { name, description: "d", parameters: { type: "object", properties: {} } },
});
const tools = [tool("find_films"), tool("book")];
const call = (id: string, name: string, args: string) => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const films = '{"place": "Odeon", "near": {"km": 2.5}, "kinds": ["a \\"b\\"", null]}';
const calling = (...calls: object[]): ChatMessage => ({ role: "assistant", content: null, tool_calls: calls });
const result = (id: string, content: string): ChatMessage => ({ role: "tool", tool_call_id: id, content });

const readable = [
  ...["llamacpp-Qwen3-Coder", "llamacpp-Qwen3.5-4B", "trl-qwen3_6", "llamacpp-StepFun3.5-Flash"],
  ...["llamacpp-GLM-4.6", "llamacpp-GLM-4.7-Flash", "trl-glm4moe", "llamacpp-MiniMax-M2"],
  "axolotl-mistral_v2v3",
  "axolotl-mistral_v3_tekken",
  "axolotl-qwen3",
  "llamacpp-Bielik-11B-v3.0-Instruct",
  "llamacpp-MiMo-VL",
  "llamacpp-MiniMax-M1",
  "llamacpp-Mistral-Small-3.2-24B-Instruct-2506",
  "llamacpp-Qwen-QwQ-32B",
  "llamacpp-Qwen-Qwen2.5-7B-Instruct",
  "llamacpp-Qwen-Qwen3-0.6B",
  "llamacpp-ibm-granite-granite-4.0",
  "llamacpp-mistralai-Ministral-3-14B-Reasoning-2512",
  "llamacpp-mistralai-Mistral-Nemo-Instruct-2407",
  "llamacpp-unsloth-mistral-Devstral-Small-2507",
  "trl-qwen3_instruct_2507",
  "trl-qwen3_vl",
];
const written = new Map([
  ...readable.map((name) => [name, () => open(name)] as const),
  ["as Llama's", () => openSource(llama)],
  ["as DeepSeek's", () => openSource(deepSeek)],
]);

describe("a template that knows tools", () => {
  it.each([...written])("%s: what it writes of a call is read as that call, as is its result", (_, opened) => {
    const { use, render } = opened();
    const said = [question, calling(call("call_abcdef", "find_films", films)), result("call_abcdef", "Metropolis")];
    const prompt = render([question], tools);
    expect(prompt).toContain("find_films");
    const text = render(said, tools);
    expect(text).toContain("Metropolis");
    const after = text.slice(text.lastIndexOf("Odeon?") + 6).replace(/Metropolis[\s\S]*/, "");
    // Llama's calls have no mark: their answer begins with them.
    const answer = after.slice(after.search(/<(minimax:|seed:)?tool_call|\[TOOL_CALLS|<｜tool▁calls|\{"name/));
    const reader = createAnswerReader({ ...use.syntax, tools: new Map([["find_films", undefined]]) });
    const { calls } = joinParts([...reader.push(answer), ...reader.end()]);
    expect(calls.map(({ name, arguments: args }) => [name, JSON.parse(args)])).toEqual([
      ["find_films", JSON.parse(films)],
    ]);
  });

  it("writes Python's constants, as Seed-OSS's does, which are read as what the tool's schema says", () => {
    const { use, render } = open("llamacpp-ByteDance-Seed-OSS");
    const args = { place: "Odeon", seats: 2, late: true, hall: null };
    const text = render([question, calling(call("1", "book", JSON.stringify(args))), result("1", "booked")], tools);
    const answer = text.slice(text.lastIndexOf("<seed:tool_call>"), text.lastIndexOf("booked"));
    const parameters = {
      properties: {
        ...{ place: { type: "string" }, seats: { type: "integer" } },
        ...{ late: { type: "boolean" }, hall: { type: ["string", "null"] } },
      },
    };
    const reader = createAnswerReader({ ...use.syntax, tools: new Map([["book", parameters]]) });
    const { calls } = joinParts([...reader.push(`<seed:think>Hm.</seed:think>${answer}`), ...reader.end()]);
    expect(calls.map(({ name, arguments: read }) => [name, JSON.parse(read)])).toEqual([["book", args]]);
  });

  it("is given arguments as data or as a text, and nothing or no text beside calls, as it wants", () => {
    const said = [question, calling(call("call_abcdef", "book", '{"seats":2}'))];
    expect(openSource(llama).render(said)).toContain('{"name": "book", "parameters": {"seats": 2}}');
    expect(openSource(deepSeek).render(said)).toContain('function<｜tool▁sep｜>book\n```json\n{"seats":2}\n```');
    const broken = [question, calling(call("call_abcdef", "book", "{seats"))];
    expect(openSource(llama).render(broken)).toContain('"parameters": "{seats"');
    for (const name of ["llamacpp-Qwen3-Coder", "llamacpp-GLM-4.6"])
      expect(open(name).render(broken)).toContain("{seats");
  });

  it("is given ids of its own form, the same for a call and its result", () => {
    const { render } = open("llamacpp-mistralai-Mistral-Nemo-Instruct-2407");
    const ids = ["toolu_01A09q90qw90lq917835lq9", "toolu_01A09q90qw90lq917835lq8"];
    const said = [question, calling(...ids.map((id) => call(id, "book", "{}"))), ...ids.map((id) => result(id, "ok"))];
    const text = render(said, tools);
    const called = [...text.matchAll(/"id": "([a-zA-Z0-9]{9})"/g)].map(([, id]) => id);
    expect(new Set(called).size).toBe(2);
    expect([...text.matchAll(/"call_id": "(\w+)"/g)].map(([, id]) => id)).toEqual(called);
    expect(render([question, calling(call("abcdefghi", "book", "{}"))])).toContain('"id": "abcdefghi"');
  });

  it("is given one call after the other where it takes no more", () => {
    const said = [
      question,
      { ...calling(call("1", "find_films", "{}"), call("2", "book", "{}")), content: "So." },
      ...[result("2", "booked"), result("1", "Metropolis"), { role: "user", content: "Thanks." }],
    ];
    const text = openSource(llama).render(said);
    const order = ['"find_films"', "Metropolis", '"book"', "booked", "Thanks."].map((word) => text.indexOf(word));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order[0]).toBeGreaterThan(0);
  });

  it.each(["llamacpp-openai-gpt-oss-120b", "llamacpp-deepseek-ai-DeepSeek-V3.2"])(
    "%s: is refused where its calls are none that are read here, but for a conversation without",
    (name) => {
      const { render } = open(name);
      expect(() => render([question], tools)).toThrow(
        expect.objectContaining({ code: "argument", details: { option: "tools" } }),
      );
      expect(render([question])).toContain("Odeon");
    },
  );
});

describe("a template that knows none", () => {
  const { use, render } = open("axolotl-chatml");

  it("has them in its system message, calls written out, and results said by the user", () => {
    const said = [
      { role: "system", content: "Be kind." },
      question,
      calling(call("1", "find_films", films), call("2", "book", "{}")),
      ...[result("1", "Metropolis"), result("2", "booked"), { role: "user", content: "Thanks." }],
    ];
    const text = render(said, tools);
    expect(text.match(/<\|im_start\|>system\n([\s\S]*?)<\|im_end\|>/)![1]).toMatch(
      /^Be kind\.\n\n# Tools\n[\s\S]*"find_films"[\s\S]*"book"/,
    );
    const turns = [...text.matchAll(/<\|im_start\|>(\w+)/g)].map(([, role]) => role);
    expect(turns).toEqual(["system", "user", "assistant", "user", "assistant"]);
    const answer = text.match(/<\|im_start\|>assistant\n([\s\S]*?)<\|im_end\|>/)![1]!;
    const reader = createAnswerReader({ ...use.syntax, tools: new Map() });
    expect(joinParts([...reader.push(answer), ...reader.end()]).calls.map(({ name }) => name)).toEqual([
      "find_films",
      "book",
    ]);
    expect(text).toContain(
      "<tool_response>\nMetropolis\n</tool_response>\n<tool_response>\nbooked\n</tool_response>\n\nThanks.<|im_end|>",
    );
  });

  it("has calls as they are where none is offered and it shows them in its own way", () => {
    const own = openSource("{% for m in messages %}{{ m.content or m.tool_calls[0].function.name }};{% endfor %}");
    const said = [question, calling({ function: { name: "book" } }), result("1", "booked")];
    expect(own.render(said)).toBe("What is on at the Odeon?;book;booked;");
    expect(own.render(said, tools)).toContain('<tool_call>\n{"name":"book","arguments":{}}\n</tool_call>;');
  });

  it("is as it was where there are none", () => {
    expect(render([question])).toBe("<|im_start|>user\nWhat is on at the Odeon?<|im_end|>\n<|im_start|>assistant\n");
  });
});
