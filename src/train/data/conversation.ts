import type { ChatMessage } from "../../generate/types.ts";
import { type Conversation, type Document, fail, kindOf } from "./document.ts";
import { markOf, withoutMarks } from "./learned.ts";
import type { DataKeys } from "./source.ts";

type Entry = Readonly<Record<string, unknown>>;

/** ShareGPT's names, beside those that a source has. */
const other = { role: "from", content: "value" };
const otherRoles = new Map(
  Object.entries({ human: "user", gpt: "assistant", chatgpt: "assistant", model: "assistant", observation: "tool" }),
);
const roles = ["system", "developer", "user", "assistant", "tool"];

/**
 * A conversation in OpenAI's layout for fine-tuning (`role`, `content`, `weight`, `tool_calls`, beside them `tools`) or in ShareGPT's
 * (`from`, `value`, beside them `system`). Everything but a weight goes to the template.
 * @throws GrokError `format` naming file, line and entry.
 */
export function readConversation(file: string, line: number, entry: Entry, keys: DataKeys): Document {
  const list = Object.hasOwn(entry, keys.messages) ? entry[keys.messages] : undefined;
  if (!Array.isArray(list) || list.length === 0) {
    fail(file, line, `"${keys.messages}": expected a list of messages, found ${kindOf(list)}`);
  }
  const read = (list as unknown[]).map((message, index) =>
    readMessage(message, keys, (entryName, what) =>
      fail(file, line, `"${keys.messages}[${index}]${entryName}": ${what}`),
    ),
  );
  if (
    Object.hasOwn(entry, "system") &&
    read[0]!.message.role === "system" &&
    systemOf(file, line, entry) !== undefined
  ) {
    fail(file, line, 'there are two system messages: "system", and the first message');
  }
  if (!read.some(({ message }) => message.role === "assistant")) {
    fail(file, line, "no message is the assistant's: there is nothing to learn");
  }
  if (!read.some(({ learned }) => learned)) return { kind: "empty", file, line };
  const begun = withSystem(systemOf(file, line, entry), read);
  return {
    ...{ kind: "chat", file, line, messages: begun.map(({ message }) => message) },
    ...{ learned: begun.map(({ learned }) => learned), variables: variablesOf(file, line, entry) },
  };
}

interface ReadMessage {
  readonly message: ChatMessage;
  readonly learned: boolean;
}

function withSystem(system: string | undefined, read: readonly ReadMessage[]): readonly ReadMessage[] {
  if (system === undefined) return read;
  return [{ message: { role: "system", content: system }, learned: false }, ...read];
}

/** A system message beside the messages, or beside a prompt. @throws GrokError `format` for what is no text, or for two. */
export function systemOf(file: string, line: number, entry: Entry): string | undefined {
  const system = Object.hasOwn(entry, "system") ? entry.system : undefined;
  if (system === undefined || system === null || system === "") return undefined;
  return typeof system === "string" ? system : fail(file, line, `"system": expected a text, found ${kindOf(system)}`);
}

/** What goes to the template beside the messages. @throws GrokError `format` for tools that are no list. */
export function variablesOf(file: string, line: number, entry: Entry): Conversation["variables"] {
  const tools = Object.hasOwn(entry, "tools") ? entry.tools : undefined;
  if (tools === undefined || tools === null) return {};
  return Array.isArray(tools) ? { tools } : fail(file, line, `"tools": expected a list, found ${kindOf(tools)}`);
}

function readMessage(value: unknown, keys: DataKeys, refuse: (entry: string, what: string) => never) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse("", `expected an object with "${keys.role}" and "${keys.content}", found ${kindOf(value)}`);
  }
  const part = value as Entry;
  const nameOf = (key: "role" | "content") =>
    !Object.hasOwn(part, keys[key]) && Object.hasOwn(part, other[key]) ? other[key] : keys[key];
  const [roleName, contentName] = [nameOf("role"), nameOf("content")];
  const found = part[roleName];
  if (typeof found !== "string") refuse(`.${roleName}`, `expected a text, found ${kindOf(found)}`);
  const role = otherRoles.get(found as string) ?? (found as string);
  if (!roles.includes(role)) {
    refuse(`.${roleName}`, `the role ${JSON.stringify(role.slice(0, 40))}: expected one of ${roles.join(", ")}`);
  }
  const calls = Array.isArray(part.tool_calls) && part.tool_calls.length > 0;
  const content = readText(part[contentName], calls, (what) => refuse(`.${contentName}`, what));
  const learned = isLearned(part, role, (name, what) => refuse(`.${name}`, what));
  const { [roleName]: _, [contentName]: __, ...rest } = withoutMarks(part);
  const message: ChatMessage = { ...rest, role, content };
  return { message, learned: learned && (calls || content?.trim() !== "") };
}

/** A text; parts of one; or nothing, where the message calls tools instead. */
function readText(content: unknown, calls: boolean, refuse: (what: string) => never): string | null {
  if (typeof content === "string") return content;
  if ((content === null || content === undefined) && calls) return null;
  if (!Array.isArray(content)) return refuse(`expected a text, found ${kindOf(content)}`);
  return content
    .map((part: unknown) => {
      const { type, text } = (part ?? {}) as Entry;
      if (type === "text" && typeof text === "string") return text;
      return refuse(`expected parts of type "text", found ${type === undefined ? kindOf(part) : JSON.stringify(type)}`);
    })
    .join("");
}

/** Only the assistant's messages are learned, and of them not those that are marked. */
function isLearned(part: Entry, role: string, refuse: (name: string, what: string) => never): boolean {
  const mark = markOf(part, refuse);
  if (mark === true && role !== "assistant")
    refuse("weight", `is 1 for the role ${role}: only the assistant's messages are learned`);
  return role === "assistant" && mark !== false;
}
