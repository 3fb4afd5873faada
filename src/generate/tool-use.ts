import { describeValue, GrokError } from "../errors.ts";
import { type AnswerSyntax, callSyntaxIn, hermesCalls, reasoningSyntaxIn } from "./answer/syntax.ts";
import { readPlain } from "./arguments.ts";
import { type ChatTemplate, textOf, type Variables } from "./chat-template.ts";
import type { ChatMessage, ToolDefinition } from "./types.ts";

/** How a chat template takes tools, calls of them and their results, and how answers to its prompts are to be read. */
export interface ToolUse {
  readonly syntax: AnswerSyntax;
  /** Messages as the template wants them. @throws GrokError `argument` where tools are offered in a way that is not known here */
  prepare(
    messages: readonly ChatMessage[],
    tools: readonly ToolDefinition[],
  ): { readonly messages: readonly ChatMessage[]; readonly variables: Variables };
}

/** How a template wants messages that call tools: what one takes, another refuses or leaves out. */
interface CallStyle {
  /** Of a message that only calls. */
  readonly content: "" | null;
  /** Arguments as data, or as JSON in a text. */
  readonly parsed: boolean;
  /** Mistral's ids have nine letters or digits. */
  readonly shortIds: boolean;
  /** Llama 3 takes one call in a message. */
  readonly single: boolean;
  /** Whether arguments are written one by one, so that they have to be an object. */
  readonly apart: boolean;
}

interface CallMessage {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: unknown };
}

/** A copy of what is offered. @throws GrokError `argument` naming the first that is no tool */
export function readTools(given: readonly ToolDefinition[] | undefined): readonly ToolDefinition[] {
  const tools = given === undefined ? [] : readPlain("tools", given);
  if (!Array.isArray(tools)) {
    throw new GrokError("argument", `tools is ${describeValue(tools)}, expected a list`, { option: "tools" });
  }
  for (const [index, tool] of tools.entries()) {
    if (tool?.type === "function" && typeof tool.function?.name === "string" && tool.function.name !== "") continue;
    const message = `tools: number ${index} is no { type: "function", function: { name, ... } }`;
    throw new GrokError("argument", message, { option: "tools", index });
  }
  return tools;
}

const known = new WeakMap<ChatTemplate, ToolUse>();

/** Found out by what the template makes of a conversation with calls: neither its text nor a model's name says it reliably. */
export function toolUseOf(
  template: ChatTemplate,
  source: string | undefined,
  names: Readonly<Record<string, string>>,
): ToolUse {
  let use = known.get(template);
  if (use === undefined) {
    use = findToolUse(template, source, names);
    known.set(template, use);
  }
  return use;
}

const probe = {
  ...{ name: "qztoolprobezq", second: "qzotherprobezq" },
  ...{ result: "qzresultprobezq", question: "qzuserprobezq", value: "qzvalue" },
};
const question: ChatMessage = { role: "user", content: probe.question };

function findToolUse(
  template: ChatTemplate,
  source: string | undefined,
  names: Readonly<Record<string, string>>,
): ToolUse {
  const reasoning = source === undefined ? undefined : reasoningSyntaxIn(source);
  const render = (messages: readonly ChatMessage[]): string => {
    const parameters = { type: "object", properties: { qzkey: { type: "string" } } };
    const tool = (name: string) => ({ type: "function", function: { name, description: name, parameters } });
    try {
      return template.render(messages, { tools: [tool(probe.name), tool(probe.second)] }, names).text;
    } catch (error) {
      if (error instanceof GrokError) return "";
      throw error;
    }
  };
  /** What is rendered behind the question, where the tools themselves are not. */
  const renderCalls = (style: CallStyle, calls: readonly string[]): string => {
    const id = (index: number) => (style.shortIds ? `qzprobe0${index}` : `call_qzprobe_${index}`);
    const args = { qzkey: probe.value };
    const call = (name: string, index: number): CallMessage => ({
      ...{ id: id(index), type: "function" },
      function: { name, arguments: style.parsed ? args : JSON.stringify(args) },
    });
    const result = (name: string, index: number): ChatMessage => ({
      ...{ role: "tool", name, tool_call_id: id(index), content: probe.result },
    });
    const text = render([
      question,
      { role: "assistant", content: style.content, tool_calls: calls.map(call) },
      ...calls.map(result),
    ]);
    return text.slice(text.lastIndexOf(probe.question));
  };
  const shows = (text: string) => text.includes(probe.name) && text.includes(probe.result);
  const rendered = styles.map((style) => ({ style, text: renderCalls(style, [probe.name]) }));
  const found = rendered.find(
    ({ text }) => shows(text) && (/"qzkey":\s*"qzvalue"/.test(text) || callSyntaxIn(text, probe.name, probe.value)),
  );
  const calls = found && callSyntaxIn(found.text, probe.name, probe.value);
  const single = found !== undefined && !renderCalls(found.style, [probe.name, probe.second]).includes(probe.second);
  /** Of calls that a template shows in a way of its own nothing is known: they go to it as they are. */
  const restyle = (messages: readonly ChatMessage[]) =>
    found === undefined ? messages : styled(messages, { ...found.style, single, apart: calls?.kind === "tagged" });

  if (!render([question]).includes(probe.name)) {
    const showsCalls = rendered.some(({ text }) => shows(text));
    return {
      syntax: { reasoning, calls: hermesCalls },
      prepare: (messages, tools) =>
        tools.length === 0 && showsCalls
          ? { messages: restyle(messages), variables: {} }
          : { messages: tellTools(messages, tools), variables: {} },
    };
  }
  return {
    syntax: { reasoning, calls },
    prepare(messages, tools) {
      if (tools.length > 0 && calls === undefined) {
        const message = "the model's chat template has calls written in a way that is not read here";
        throw new GrokError("argument", `tools: ${message}`, { option: "tools" });
      }
      return {
        messages: restyle(messages),
        variables: tools.length > 0 ? { tools } : {},
      };
    },
  };
}

const styles: readonly CallStyle[] = ([true, false] as const).flatMap((parsed) =>
  [false, true].flatMap((shortIds) =>
    (["", null] as const).map((content) => ({
      ...{ content, parsed, shortIds, single: false, apart: false },
    })),
  ),
);

/** The calls of a message, as data. Who says nothing of its type calls a function. */
function callsOf({ tool_calls: calls }: ChatMessage): readonly CallMessage[] {
  return ((calls ?? []) as readonly Partial<CallMessage>[]).map(({ id = "", function: called }) => ({
    ...{ id, type: "function", function: { name: called?.name ?? "", arguments: called?.arguments ?? {} } },
  }));
}

/** Arguments as data; what is no JSON, as a text. */
function parsedOf(given: unknown): unknown {
  if (typeof given !== "string") return given;
  try {
    return given.trim() === "" ? {} : JSON.parse(given);
  } catch {
    return given;
  }
}

/** What is no object, as the only member of one: a call that broke off stays in a conversation. */
const objectOf = (value: unknown) =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value : { arguments: value };

const writtenOf = (given: unknown): string => (typeof given === "string" ? given : JSON.stringify(given));

function styled(messages: readonly ChatMessage[], style: CallStyle): ChatMessage[] {
  const { content, parsed, shortIds, single, apart } = style;
  const argumentsOf = (given: unknown) =>
    apart ? objectOf(parsedOf(given)) : parsed ? parsedOf(given) : writtenOf(given);
  const idOf = (id: string) => (shortIds ? shortId(id) : id);
  const prepared: ChatMessage[] = [];
  /** Tools by the ids of their calls: some templates want them with results. */
  const called = new Map<string, string>();
  const resultOf = (message: ChatMessage): ChatMessage => {
    const { tool_call_id: id, name = called.get(String(id)) } = message;
    return {
      ...{ ...message, content: textOf(message) },
      ...(typeof id === "string" && { tool_call_id: idOf(id) }),
      ...(name !== undefined && { name }),
    };
  };
  for (let at = 0; at < messages.length; at++) {
    const message = messages[at]!;
    const calls = callsOf(message);
    if (message.role === "tool") {
      prepared.push(resultOf(message));
      continue;
    }
    if (calls.length === 0) {
      prepared.push(message);
      continue;
    }
    for (const {
      id,
      function: { name },
    } of calls)
      called.set(id, name);
    const text = textOf(message);
    const calling = (some: readonly CallMessage[], said: string): ChatMessage => ({
      ...message,
      content: content === null || said === "" ? content : said,
      tool_calls: some.map(({ id, type, function: { name, arguments: args } }) => ({
        ...{ id: idOf(id), type, function: { name, arguments: argumentsOf(args) } },
      })),
    });
    if (!single || calls.length === 1) {
      prepared.push(calling(calls, text));
      continue;
    }
    // One call, then its result: those that follow, by their ids, or in their order.
    const results: ChatMessage[] = [];
    while (messages[at + 1]?.role === "tool") results.push(messages[++at]!);
    for (const [index, call] of calls.entries()) {
      const found = results.findIndex((result) => result.tool_call_id === call.id);
      prepared.push(calling([call], index === 0 ? text : ""));
      const [result] = results.splice(Math.max(0, found), 1);
      if (result !== undefined) prepared.push(resultOf(result));
    }
    prepared.push(...results.map(resultOf));
  }
  return prepared;
}

/** Nine letters or digits that follow from an id. */
function shortId(id: string): string {
  if (/^[a-zA-Z0-9]{9}$/.test(id)) return id;
  let high = 0x811c9dc5;
  let low = 0x1000193;
  for (const unit of id) {
    high = Math.imul(high ^ unit.codePointAt(0)!, 0x01000193) >>> 0;
    low = Math.imul(low ^ high, 0x85ebca6b) >>> 0;
  }
  return (high.toString(36).padStart(7, "0") + low.toString(36).padStart(7, "0")).slice(-9);
}

/**
 * For templates that know no tools: they are told of in the system message, in the words that Hermes models learned and others follow;
 * calls in earlier answers are written out, and results come as the user's.
 */
function tellTools(given: readonly ChatMessage[], tools: readonly ToolDefinition[]): readonly ChatMessage[] {
  if (given.length === 0) return given;
  const messages: ChatMessage[] = [];
  for (const message of given) {
    const calls = callsOf(message);
    if (message.role === "tool") {
      const content = `<tool_response>\n${textOf(message)}\n</tool_response>`;
      const last = messages.at(-1);
      if (last?.role === "user" && typeof last.content === "string" && last.content.startsWith("<tool_response>")) {
        messages[messages.length - 1] = { ...last, content: `${last.content}\n${content}` };
      } else messages.push({ role: "user", content });
    } else if (calls.length > 0) {
      const written = calls.map(({ function: { name, arguments: args } }) =>
        callText({ name, arguments: parsedOf(args) }),
      );
      const { tool_calls: _, ...rest } = message;
      messages.push({ ...rest, content: [textOf(message), ...written].filter((text) => text !== "").join("\n") });
    } else if (message.role === "user" && isResults(messages.at(-1)) && typeof message.content === "string") {
      // Many templates want the two to take turns.
      messages.push({ role: "user", content: `${textOf(messages.pop()!)}\n\n${message.content}` });
    } else messages.push(message);
  }
  if (tools.length === 0) return messages;
  const [first, ...others] = messages;
  const text = toolsText(tools);
  return first?.role === "system"
    ? [{ ...first, content: `${textOf(first)}\n\n${text}` }, ...others]
    : [{ role: "system", content: text }, ...messages];
}

const isResults = (message: ChatMessage | undefined) =>
  message?.role === "user" && typeof message.content === "string" && message.content.startsWith("<tool_response>");

const callText = (call: object) => `<tool_call>\n${JSON.stringify(call)}\n</tool_call>`;

function toolsText(tools: readonly ToolDefinition[]): string {
  return `# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
${tools.map((tool) => JSON.stringify(tool)).join("\n")}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>`;
}
