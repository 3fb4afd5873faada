import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "./scripted-server.case.ts";

/**
 * Exchanges in the shape in which coding agents have them, written after their public protocols: a long system text, twenty tools, many
 * turns, each of which sends all before it again. Every turn is read, and its prompt goes on where the one before it ended.
 */

// biome-ignore lint/suspicious/noExplicitAny: what a client sends has no type
type Any = any;

const system = "You are a coding agent. Be careful with files, and say what you do.\n".repeat(200);
const names = ["Bash", "Read", "Edit", "Write", "Grep", "Glob", ...Array.from({ length: 14 }, (_, i) => `Tool${i}`)];
const schema = (name: string) => ({
  ...{ $schema: "http://json-schema.org/draft-07/schema#", type: "object", additionalProperties: false },
  properties: {
    path: { type: "string", description: `Where ${name} looks` },
    limit: { type: "number", exclusiveMinimum: 0 },
  },
  required: ["path"],
});
const turns = 12;
const call = (turn: number) => {
  const name = names[turn % 6]!;
  return `I use ${name}.\n<tool_call>\n{"name": "${name}", "arguments": {"path": "src/${turn}.ts", "limit": ${turn}}}\n</tool_call>`;
};

let scripted: ScriptedServer;
beforeAll(() => {
  scripted = startScriptedServer("llamacpp-Qwen-Qwen2.5-7B-Instruct");
});
afterAll(() => scripted[Symbol.asyncDispose]());

const streamed = async (path: string, body: object, headers: Record<string, string>): Promise<Any[]> => {
  const response = await scripted.server.post(path, body, { headers });
  const text = await response.text();
  expect([response.status, text.startsWith("event: ")]).toEqual([200, true]);
  const events = text.trim().split("\n\n");
  return events.map((event) => JSON.parse(event.slice(event.indexOf("data: ") + 6)));
};

function expectToGoOn(prompts: readonly string[]) {
  expect(prompts).toHaveLength(turns);
  for (const [i, prompt] of prompts.entries()) {
    expect(prompt).toContain(system.trim());
    for (const name of names) expect(prompt).toContain(`"name": "${name}"`);
    if (i > 0) expect(prompt.startsWith(prompts[i - 1]!.trimEnd())).toBe(true);
  }
}

describe("a coding agent's exchange", () => {
  it("by Anthropic's messages is read in every turn", async () => {
    const from = scripted.prompts.length;
    const cached = { cache_control: { type: "ephemeral" } };
    const headers = {
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
    };
    const messages: Any[] = [
      {
        role: "user",
        content: [
          { type: "text", text: "<system-reminder>\nThe date is known.\n</system-reminder>" },
          { type: "text", text: "Mend the fault.", ...cached },
        ],
      },
    ];
    for (let turn = 0; turn < turns; turn++) {
      scripted.says = call(turn);
      const request = {
        ...{ model: "m", max_tokens: 32_000, temperature: 1, stream: true, messages },
        system: [
          { type: "text", text: "You are an agent." },
          { type: "text", text: system, ...cached },
        ],
        tools: names.map((name) => ({ name, description: `Does what ${name} does.`, input_schema: schema(name) })),
        metadata: { user_id: "user_0_account__session_0" },
        thinking: turn % 2 === 0 ? { type: "enabled", budget_tokens: 31_999 } : { type: "adaptive" },
        ...(turn % 3 === 0 && { context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] } }),
        ...(turn % 3 === 1 && { output_config: { effort: "medium" } }),
      };
      const events = await streamed("/v1/messages?beta=true", request, headers);
      expect(events.at(-2).delta.stop_reason).toBe("tool_use");
      const { content_block: use } = events.find(({ content_block: block }) => block?.type === "tool_use");
      const input = JSON.parse(events.map(({ delta }) => delta?.partial_json ?? "").join(""));
      expect([use.name, input]).toEqual([names[turn % 6], { path: `src/${turn}.ts`, limit: turn }]);
      const failed = turn === 5;
      messages.push(
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "Hm.", signature: "" },
            { type: "text", text: `I use ${use.name}.` },
            { type: "tool_use", id: use.id, name: use.name, input },
          ],
        },
        {
          role: "user",
          content: [
            {
              type: "tool_result",
              tool_use_id: use.id,
              is_error: failed,
              content: failed ? "no such file" : [{ type: "text", text: `line ${turn}` }],
              ...cached,
            },
          ],
        },
      );
    }
    const prompts = scripted.prompts.slice(from);
    expectToGoOn(prompts);
    expect(prompts.at(-1)).toContain("Error: no such file");
  });

  it("by OpenAI's responses is read in every turn", async () => {
    const from = scripted.prompts.length;
    const input: Any[] = [
      { type: "message", role: "developer", content: [{ type: "input_text", text: "<permissions>all</permissions>" }] },
      {
        type: "message",
        role: "user",
        content: [{ type: "input_text", text: "<environment_context>\n</environment_context>" }],
      },
      { type: "message", role: "user", content: [{ type: "input_text", text: "Mend the fault." }] },
    ];
    for (let turn = 0; turn < turns; turn++) {
      scripted.says = call(turn);
      const request = {
        ...{ model: "m", instructions: system, input, stream: true, store: false },
        tools: [
          ...names.map((name) => ({
            type: "function",
            name,
            description: `Does what ${name} does.`,
            strict: false,
            parameters: schema(name),
          })),
          {
            type: "custom",
            name: "apply_patch",
            description: "Edits.",
            format: { type: "grammar", syntax: "lark", definition: "start: x" },
          },
          { type: "web_search", external_web_access: false },
        ],
        ...{ tool_choice: "auto", parallel_tool_calls: false, include: ["reasoning.encrypted_content"] },
        reasoning: { effort: "medium", summary: "auto" },
        ...{ text: { verbosity: "low" }, prompt_cache_key: "01890000-0000-7000-8000-000000000000" },
      };
      const events = await streamed("/v1/responses", request, {
        accept: "text/event-stream",
        "openai-beta": "responses=experimental",
      });
      expect(events.at(-1).type).toBe("response.completed");
      const { output } = events.at(-1).response;
      const [said, called] = output;
      expect(called).toMatchObject({
        type: "function_call",
        name: names[turn % 6],
        arguments: `{"path": "src/${turn}.ts", "limit": ${turn}}`,
      });
      // Clients leave out what they do not need.
      const { id: _, status: __, ...item } = called;
      input.push(
        { type: "message", role: "assistant", content: [{ type: "output_text", text: said.content[0].text }] },
        item,
      );
      input.push({
        type: "function_call_output",
        call_id: called.call_id,
        output: `{"output":"line ${turn}","metadata":{"exit_code":0}}`,
      });
    }
    expectToGoOn(scripted.prompts.slice(from));
  });
});
