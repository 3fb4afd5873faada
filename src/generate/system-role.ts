import { GrokError } from "../errors.ts";
import { type ChatTemplate, textOf } from "./chat-template.ts";
import type { ChatMessage } from "./types.ts";

/** A text that no template brings with it, to see whether what stands in a system message reaches the prompt. */
const probe = "qzsystemprobezq";
const question: ChatMessage = { role: "user", content: "qzuserprobezq" };

const known = new WeakMap<ChatTemplate, boolean>();

/** Whether a template has no place for a system message: it refuses one, or leaves its text out, and takes the question alone. */
export function refusesSystem(template: ChatTemplate, names: Readonly<Record<string, string>>): boolean {
  let refuses = known.get(template);
  if (refuses === undefined) {
    const text = (messages: readonly ChatMessage[]): string | undefined => {
      try {
        return template.render(messages, {}, names).text;
      } catch (error) {
        if (error instanceof GrokError) return undefined;
        throw error;
      }
    };
    const both = text([{ role: "system", content: probe }, question]);
    refuses = both?.includes(probe) !== true && text([question])?.includes(textOf(question)) === true;
    known.set(template, refuses);
  }
  return refuses;
}

/** The system messages at the beginning as part of the first question, or as one where none follows. */
export function foldSystem(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const count = messages.findIndex(({ role }) => role !== "system");
  const rest = count < 0 ? [] : messages.slice(count);
  const system = messages
    .slice(0, messages.length - rest.length)
    .map(textOf)
    .filter((text) => text.trim() !== "")
    .join("\n\n");
  if (system === "" && rest.length > 0) return rest;
  const [first, ...others] = rest;
  if (first?.role !== "user") return [{ role: "user", content: system }, ...rest];
  const content =
    typeof first.content === "string" || !first.content
      ? `${system}\n\n${textOf(first)}`
      : [{ type: "text", text: `${system}\n\n` }, ...first.content];
  return [{ ...first, content }, ...others];
}
