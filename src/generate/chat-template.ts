import { GrokError } from "../errors.ts";
import type { ModelFile } from "../model/model.ts";
import { createTemplate, type Rendering, type Template } from "../template/template.ts";
import type { ChatMessage } from "./types.ts";

/** Turns messages into the text of a prompt that asks for the assistant's next message. */
export interface ChatTemplate {
  /**
   * @param names of tokens, which are the template's own text; all else is its caller's
   * @throws GrokError `format` when the template does not parse or fails, or does too much; `details.raised` when it refuses in
   * its own words.
   */
  render(messages: readonly ChatMessage[], variables?: Variables, names?: Readonly<Record<string, string>>): Rendering;
  /** Texts at which an answer ends, where the format has no control token for it. */
  readonly stop: readonly string[];
}

export type Variables = Readonly<Record<string, unknown>>;

/**
 * Roles that are names, not texts: many templates write control tokens with them, as `'<|' + message.role + '|>'`. Any other
 * role is its caller's text.
 */
const roles: ReadonlySet<string> = new Set([
  ...["system", "developer", "user", "assistant", "model"],
  ...["tool", "tool_response", "function", "ipython", "observation"],
]);

/** Longest template taken from a file: real ones have up to some 40,000 characters. */
export const longestTemplate = 131_072;

/** The source of a model's own template; an empty one is none. @throws GrokError `format` where it is no text. */
export function templateOf({ path, metadata }: Pick<ModelFile, "path" | "metadata">): string | undefined {
  const own = metadata.get("tokenizer.chat_template");
  if (own !== undefined && typeof own !== "string") {
    throw new GrokError("format", `${path}: tokenizer.chat_template is not a text`, { path });
  }
  return own?.trim() === "" ? undefined : own;
}

/**
 * A Jinja template, as model files carry it. It is a program that somebody else wrote: it sees only the messages and the
 * variables given, and what it does is bounded. Parsed at the first use.
 */
export function createJinjaTemplate(source: string, path: string): ChatTemplate {
  if (source.trim() === "") {
    throw new GrokError("argument", "chatTemplate is empty, expected a Jinja template", { option: "chatTemplate" });
  }
  if (source.length > longestTemplate) {
    throw new GrokError(
      "format",
      `${path}: the chat template has ${source.length} characters, more than ${longestTemplate}`,
      { path, length: source.length },
    );
  }
  let template: Template | undefined;
  return {
    stop: [],
    render(messages, variables = {}, names = {}) {
      template ??= createTemplate(source, path);
      // Hugging Face gives these always: a template tells an absent list from none.
      const defaults = { tools: null, documents: null, add_generation_prompt: true };
      return template.render({ ...defaults, ...variables, messages }, { trusted: names, roles });
    },
  };
}

/**
 * For files without a template: the system message, then "User: ..." and "Assistant: ..." paragraphs. The answer ends where
 * the next "User:" would begin.
 */
export const plainTemplate: ChatTemplate = {
  stop: ["\n\nUser:", "\nUser:"],
  render(messages) {
    const names = new Map([
      ["user", "User: "],
      ["assistant", "Assistant: "],
      ["system", ""],
    ]);
    let text = "";
    const caller: number[] = [];
    const add = (part: string): void => {
      if (part !== "") caller.push(text.length, text.length + part.length);
      text += part;
    };
    for (const message of messages) {
      const name = names.get(message.role);
      if (name === undefined) add(message.role);
      text += name ?? ": ";
      add(textOf(message).trim());
      text += "\n\n";
    }
    return { text: `${text}Assistant:`, caller };
  },
};

/** A message's text: of content in parts, the text parts one after the other. */
export function textOf({ content }: ChatMessage): string {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => part.text ?? "").join("");
}
