import { describeValue, GrokError } from "../errors.ts";
import type { Rendering } from "../template/template.ts";
import { finish, type Steps } from "../tokenizer/steps.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { readPlain } from "./arguments.ts";
import type { ChatTemplate, Variables } from "./chat-template.ts";
import { foldSystem, refusesSystem } from "./system-role.ts";
import type { ChatMessage } from "./types.ts";

/**
 * Tokens of a conversation: {@link renderChat}, encoded.
 *
 * @param further variables that are not the caller's own to choose
 * @throws GrokError `format` when the template fails, `argument` for messages that are not messages.
 */
export function encodeChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  variables: Variables = {},
  further: Variables = {},
): Int32Array {
  return encodeRendering(tokenizer, renderChat(tokenizer, template, messages, variables, further));
}

/** The same in steps. */
export function* encodeChatSteps(...[tokenizer, ...what]: Parameters<typeof renderChat>): Steps<Int32Array> {
  return yield* encodeRenderingSteps(tokenizer, renderChat(tokenizer, ...what));
}

/** Tokens of a conversation's text, with the beginning-of-text token where the model's file asks for it and the template has none. */
export function encodeRendering(tokenizer: Tokenizer, rendering: Rendering): Int32Array {
  return finish(encodeRenderingSteps(tokenizer, rendering));
}

function* encodeRenderingSteps(tokenizer: Tokenizer, { text, caller }: Rendering): Steps<Int32Array> {
  const ids = yield* tokenizer.encodeSteps(text, { special: true, ordinary: caller });
  const { addBos, bos } = tokenizer;
  if (!addBos || bos === undefined || ids[0] === bos) return ids;
  const begun = new Int32Array(ids.length + 1);
  begun[0] = bos;
  begun.set(ids, 1);
  return begun;
}

/**
 * A conversation as the template writes it. Control tokens come from the template alone: a message that says `<|im_end|>` gives those
 * characters as ordinary text, whatever the template does to it, so nobody can end their message and speak in another's name. The
 * template's rendering says which characters are the caller's; everything else is as if the whole text were encoded at once.
 *
 * The system message of a conversation goes into the first question where the template has no place for it.
 *
 * @param further variables that are not the caller's own to choose
 * @throws GrokError `format` when the template fails (`details.conversation`: at this one, and not at a plain question), `argument`
 * for messages that are not messages.
 */
export function renderChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  given: readonly ChatMessage[],
  givenVariables: Variables = {},
  further: Variables = {},
): Rendering {
  const messages = readMessages(given);
  if (messages.length === 0) throw new GrokError("argument", "the conversation has no messages, expected at least one");
  const variables = readPlain("templateVariables", givenVariables);
  if (typeof variables !== "object" || variables === null || Array.isArray(variables)) {
    throw new GrokError("argument", `templateVariables is ${describeValue(variables)}, expected an object`, {
      option: "templateVariables",
    });
  }
  const names = endNames(tokenizer);
  const folded = messages[0]!.role === "system" && refusesSystem(template, names);
  const said = folded ? foldSystem(messages) : messages;
  let rendering: Rendering;
  try {
    rendering = template.render(said, { ...variables, ...further }, names);
  } catch (error) {
    if (!(error instanceof GrokError) || error.code !== "format" || !isTemplateWhole(template, names)) throw error;
    throw new GrokError("format", error.message, { ...error.details, conversation: true }, error);
  }
  if (rendering.text !== "") return rendering;
  throw new GrokError("format", "the chat template makes nothing of the messages, expected a text");
}

/** Whether a template takes a question. */
function isTemplateWhole(template: ChatTemplate, names: Readonly<Record<string, string>>): boolean {
  try {
    return template.render([{ role: "user", content: "a" }], {}, names).text !== "";
  } catch (error) {
    if (error instanceof GrokError) return false;
    throw error;
  }
}

/** The template's variables for the names of tokens, as Hugging Face's: of the beginning, the end, padding and the unknown. */
export function endNames({ bos, eos, pad, unknown, piece }: Tokenizer): Readonly<Record<string, string>> {
  return {
    bos_token: bos === undefined ? "" : piece(bos),
    eos_token: eos === undefined ? "" : piece(eos),
    ...(pad !== undefined && { pad_token: piece(pad) }),
    ...(unknown !== undefined && { unk_token: piece(unknown) }),
  };
}

/** A copy of messages, which may be none. @throws GrokError `argument` naming the first that is no message */
export function readMessages(given: readonly ChatMessage[]): readonly ChatMessage[] {
  const messages = readPlain("the messages", given);
  if (!Array.isArray(messages)) {
    throw new GrokError("argument", `the messages are ${describeValue(messages)}, expected a list`);
  }
  for (const [index, message] of messages.entries()) {
    if (typeof message?.role === "string" && isContent(message)) continue;
    throw new GrokError(
      "argument",
      `message ${index} is not an object with texts "role" and "content" (or parts of content, or tool calls)`,
      { index },
    );
  }
  return messages;
}

/** A text, parts of one, or nothing where the message calls tools. */
function isContent({ content, tool_calls: calls }: ChatMessage): boolean {
  if (typeof content === "string") return true;
  if (content === undefined || content === null) return Array.isArray(calls) && calls.length > 0;
  return Array.isArray(content) && content.every((part) => typeof part?.type === "string");
}
