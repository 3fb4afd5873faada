import { join, resolve } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../generate/load.ts";
import { startTestServer, type TestServer } from "./app.case.ts";

const root = resolve(import.meta.dirname, "../..");
const file = join(root, "models/grok1-stories-q8_0.gguf");

/** Short, so that the context has room for answers. */
const templateOf = (open: string, close: string) => `{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}
{%- for message in messages %}{{ message.content or "" }}{% for call in message.tool_calls or [] %}
${open}{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}${close}{% endfor %}{% endfor %}`;
const hermes = templateOf("<tool_call>", "</tool_call>");
const mistral = templateOf("[TOOL_CALLS] [", "]");

// The package's own model has never seen a tool: at this temperature what it says is noise, but for what holds it.
let server: TestServer;
beforeAll(() => {
  const files = { hermes: file, mistral: join(root, "models/mistral.gguf") };
  server = startTestServer(files, {
    load: (path) => loadModel(file, { threads: 2, chatTemplate: path === file ? hermes : mistral }),
    loaded: 2,
  });
});
afterAll(() => server[Symbol.asyncDispose]());

const schemas = {
  get_weather: {
    type: "object",
    properties: { city: { enum: ["Kyoto", "Nara"] }, days: { type: "integer", minimum: 1, maximum: 7 } },
    required: ["city", "days"],
    additionalProperties: false,
  },
  note: { type: "object", properties: { tag: { type: "string", pattern: "^[ab]{1,3}$" } }, required: ["tag"] },
};
const names = Object.keys(schemas) as (keyof typeof schemas)[];
const ajv = new Ajv2020();
const isValid = (name: string, args: unknown) => ajv.validate(schemas[name as keyof typeof schemas], args);

// biome-ignore lint/suspicious/noExplicitAny: what a client reads has no type
type Any = any;
interface Called {
  readonly name: string;
  readonly input: unknown;
}
interface Answered {
  readonly status: number;
  readonly error?: { readonly message: string };
  readonly calls: readonly Called[];
  readonly text: string;
  readonly end: string;
}

/** How a client asks, and what it makes of an answer, whole or streamed. */
interface Client {
  readonly path: string;
  readonly asks: (seed: number) => object;
  readonly tool: (name: keyof typeof schemas, more: object) => object;
  readonly required: unknown;
  readonly named: (name: string) => unknown;
  readonly one: (choice: unknown) => object;
  /** Some of the tools, where the API can say that. */
  readonly allowed?: (mode: string, names: readonly string[]) => unknown;
  /** A schema for answers. */
  readonly form: (schema: object) => object;
  readonly ends: string;
  readonly whole: (answer: Any) => Omit<Answered, "status" | "error">;
  readonly streamed: (events: Any[]) => Omit<Answered, "status" | "error">;
}

const messages = [{ role: "user", content: "a" }];
const callOf = ({ name, arguments: args }: Any): Called => ({ name, input: JSON.parse(args) });

const clients: Readonly<Record<string, Client>> = {
  "OpenAI's chat": {
    path: "/v1/chat/completions",
    asks: (seed) => ({ messages, seed, temperature: 1.5, max_tokens: 500 }),
    tool: (name, more) => ({ type: "function", function: { name, parameters: schemas[name], ...more } }),
    required: "required",
    named: (name) => ({ type: "function", function: { name } }),
    one: (choice) => ({ tool_choice: choice, parallel_tool_calls: false }),
    allowed: (mode, names) => ({
      type: "allowed_tools",
      allowed_tools: { mode, tools: names.map((name) => ({ type: "function", function: { name } })) },
    }),
    form: (schema) => ({ response_format: { type: "json_schema", json_schema: { name: "it", schema } } }),
    ends: "tool_calls",
    whole: ({ choices: [{ message, finish_reason: end }] }) => ({
      ...{ calls: (message.tool_calls ?? []).map(({ function: called }: Any) => callOf(called)) },
      ...{ text: message.content ?? "", end },
    }),
    streamed(events) {
      const said: Any[] = events.flatMap(({ choices }) => choices);
      const calls: Any[] = [];
      for (const { index, function: part } of said.flatMap(({ delta }) => delta.tool_calls ?? [])) {
        calls[index] ??= { name: part.name, arguments: "" };
        calls[index].arguments += part.arguments;
      }
      const text = said.map(({ delta }) => delta.content ?? "").join("");
      return { calls: calls.map(callOf), text, end: said.at(-1).finish_reason };
    },
  },
  "OpenAI's responses": {
    path: "/v1/responses",
    asks: (seed) => ({ input: "a", seed, temperature: 1.5, max_output_tokens: 500, store: false }),
    tool: (name, more) => ({ type: "function", name, parameters: schemas[name], ...more }),
    required: "required",
    named: (name) => ({ type: "function", name }),
    one: (choice) => ({ tool_choice: choice, parallel_tool_calls: false }),
    allowed: (mode, names) => ({
      ...{ type: "allowed_tools", mode, tools: names.map((name) => ({ type: "function", name })) },
    }),
    form: (schema) => ({ text: { format: { type: "json_schema", name: "it", schema } } }),
    ends: "completed",
    whole: responseOf,
    streamed: (events) => responseOf(events.findLast(({ response }) => response !== undefined).response),
  },
  Anthropic: {
    path: "/v1/messages",
    asks: () => ({ messages, temperature: 1, max_tokens: 500 }),
    tool: (name, more) => ({ name, input_schema: schemas[name], ...more }),
    required: { type: "any" },
    named: (name) => ({ type: "tool", name }),
    one: (choice) => ({ tool_choice: { ...(choice as object), disable_parallel_tool_use: true } }),
    form: (schema) => ({ output_config: { format: { type: "json_schema", schema } } }),
    ends: "tool_use",
    whole: ({ content, stop_reason: end }) => ({
      calls: content.filter(({ type }: Any) => type === "tool_use").map(({ name, input }: Any) => ({ name, input })),
      ...{ text: content.map(({ text = "" }: Any) => text).join(""), end },
    }),
    streamed(events) {
      const blocks: Any[] = [];
      for (const { index, content_block: block, delta } of events) {
        if (block) blocks[index] = { ...block, json: "" };
        else if (index !== undefined && delta?.text) blocks[index].text += delta.text;
        else if (index !== undefined && delta?.partial_json) blocks[index].json += delta.partial_json;
      }
      const calls = blocks.filter(({ type }) => type === "tool_use");
      return {
        calls: calls.map(({ name, json }) => ({ name, input: JSON.parse(json) })),
        text: blocks.map(({ text = "" }) => text).join(""),
        end: events.find(({ type }) => type === "message_delta").delta.stop_reason,
      };
    },
  },
};

function responseOf({ output, status: end }: Any) {
  return {
    calls: output.filter(({ type }: Any) => type === "function_call").map(callOf),
    text: output.flatMap(({ content = [] }: Any) => content.map(({ text }: Any) => text)).join(""),
    end,
  };
}

const eventsIn = (stream: string): Any[] =>
  stream.split("\n").flatMap((line) => (line.startsWith("data: {") ? [JSON.parse(line.slice(6))] : []));

async function ask(client: Client, model: string, stream: boolean, more: object, seed = 1): Promise<Answered> {
  const response = await server.post(client.path, { model, stream, ...client.asks(seed), ...more });
  const { status } = response;
  if (status !== 200) return { ...((await response.json()) as Answered), status };
  return {
    status,
    ...(stream ? client.streamed(eventsIn(await response.text())) : client.whole(await response.json())),
  };
}

const ways = Object.entries(clients).flatMap(([name, client]) =>
  ["hermes", "mistral"].flatMap((model) => [false, true].map((stream) => ({ name, client, model, stream }))),
);

describe("a model that is to call", () => {
  it.each(ways)("does: $name, $model, streamed: $stream", async ({ client, model, stream }) => {
    const tools = names.map((name) => client.tool(name, {}));
    for (const seed of [1]) {
      const any = await ask(client, model, stream, { tools, ...client.one(client.required) }, seed);
      expect(any).toMatchObject({ status: 200, text: "", end: client.ends, calls: [{}] });
      const named = await ask(client, model, stream, { tools, tool_choice: client.named("note") }, seed);
      expect(named).toMatchObject({ status: 200, text: "", end: client.ends, calls: [{ name: "note" }] });
      for (const { name, input } of [...any.calls, ...named.calls])
        expect([input, isValid(name, input)]).toEqual([input, true]);
    }
  });

  it.each(Object.entries(clients))("calls several times where it may: %s", async (_, client) => {
    const tools = names.map((name) => client.tool(name, {}));
    const { status, calls } = await ask(client, "mistral", false, { tools, tool_choice: client.required });
    expect(status).toBe(200);
    expect(calls.length).toBeGreaterThan(0);
    for (const { name, input } of calls) expect([input, isValid(name, input)]).toEqual([input, true]);
  });

  it.each(Object.entries(clients).filter(([, { allowed }]) => allowed))(
    "calls those alone that are allowed, and knows of all: %s",
    async (_, client) => {
      const tools = names.map((name) => client.tool(name, {}));
      const allowed = (mode: string, some: readonly string[]) => ({ tools, tool_choice: client.allowed!(mode, some) });
      const { calls } = await ask(client, "hermes", false, allowed("required", ["note"]));
      expect(new Set(calls.map(({ name }) => name))).toEqual(new Set(["note"]));
      for (const { name, input } of calls) expect([input, isValid(name, input)]).toEqual([input, true]);
      expect((await ask(client, "hermes", true, allowed("auto", ["note"]))).status).toBe(200);
      const { status, error } = await ask(client, "hermes", false, allowed("auto", ["note", "other"]));
      expect([status, error!.message]).toEqual([
        400,
        expect.stringMatching(/tool_choice names other, which is no tool/),
      ]);
    },
  );

  it.each(ways)("may call where its answer has a form: $name, $model, streamed: $stream", async (way) => {
    const { client, model, stream } = way;
    const schema = {
      type: "object",
      properties: { sky: { enum: ["blue", "<tool_call>"] } },
      required: ["sky"],
      additionalProperties: false,
    };
    const tools = names.map((name) => client.tool(name, { strict: true }));
    const choice = client.one(typeof client.required === "string" ? "auto" : { type: "auto" });
    const { status, calls, text } = await ask(client, model, stream, { tools, ...choice, ...client.form(schema) });
    expect(status).toBe(200);
    if (calls.length === 0) expect([text, ajv.validate(schema, JSON.parse(text))]).toEqual([text, true]);
    else expect(text).toBe("");
    for (const { name, input } of calls) expect([input, isValid(name, input)]).toEqual([input, true]);
  });

  it.each([false, true])("may call where its answer has a form: Ollama, streamed: %s", async (stream) => {
    const format = { type: "object", properties: { sky: { enum: ["blue"] } }, required: ["sky"] };
    const function_ = (name: keyof typeof schemas) => ({ name, parameters: schemas[name], strict: true });
    const tools = names.map((name) => ({ type: "function", function: function_(name) }));
    const options = { temperature: 1.5, seed: 5, num_predict: 500 };
    const response = await server.post("/api/chat", { model: "hermes", messages, tools, format, options, stream });
    const lines: Any[] = (await response.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const text = lines.map(({ message }) => message.content).join("");
    const calls = lines.flatMap(({ message }) => message.tool_calls ?? []);
    expect([lines.length > 1, lines.at(-1).done_reason]).toEqual([stream, "stop"]);
    if (calls.length === 0) expect([text, ajv.validate(format, JSON.parse(text))]).toEqual([text, true]);
    else expect(text).toBe("");
    for (const { function: call } of calls) expect([call, isValid(call.name, call.arguments)]).toEqual([call, true]);
  });

  it.each(Object.entries(clients))("is refused what cannot be held to: %s", async (_, client) => {
    const tools = names.map((name) => client.tool(name, {}));
    const refused = async (more: object) => {
      const { status, error } = await ask(client, "hermes", false, more);
      expect(status).toBe(400);
      return error!.message;
    };
    expect(await refused({ tools, tool_choice: client.named("other") })).toMatch(/tool_choice names other/);
    expect(await refused({ tool_choice: client.required })).toMatch(/tool_choice is required, but there are no tools/);
    expect(await refused({ tools, tool_choice: "sometimes" })).toMatch(/tool_choice/);
    const odd = { type: "object", properties: { a: { not: {} } } };
    const offered = [client.tool("note", { name: "odd", parameters: odd, input_schema: odd })];
    expect(await refused({ tools: offered, tool_choice: client.required })).toMatch(
      /tools: the parameters of odd: schema #\/properties\/a\/not/,
    );
  });
});
