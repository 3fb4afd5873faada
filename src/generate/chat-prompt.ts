import { GrokError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { ChatMessage } from "./types.ts";

/**
 * Tokens of a conversation. Control tokens come from the template alone: a message whose text contains `<|im_end|>` gets
 * those characters as ordinary text, so nobody can end their message and speak in another's name.
 *
 * How: each name of a control token inside a message is swapped for one character that occurs nowhere (of the private
 * use area), the template is rendered, the text is cut at the control tokens that are left, which are the template's,
 * and the names are put back into the pieces between before these are encoded as plain text. The template sees messages
 * of the same form otherwise, so trimming and testing work; without such names nothing differs from rendering and
 * encoding as a whole.
 *
 * @throws GrokError `format` when the template fails, `argument` for messages that are not messages.
 */
export function encodeChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  variables: Readonly<Record<string, unknown>> = {},
): Int32Array {
  checkMessages(messages);
  const names = [...new Set(messages.flatMap(({ role, content }) => [role, content]))]
    .flatMap((text) => controlNames(tokenizer, text))
    .filter((name, index, all) => all.indexOf(name) === index);
  const stand = standIns(names, messages);
  const swap = (text: string) => splitAt(text, names, (name) => stand.get(name)!).join("");
  const text = template.render(
    names.length === 0 ? messages : messages.map(({ role, content }) => ({ role: swap(role), content: swap(content) })),
    { ...endNames(tokenizer), ...variables },
  );

  const ids = names.length === 0 ? tokenizer.encode(text, { special: true }) : encodeParts(tokenizer, text, stand);
  const { addBos, bos } = tokenizer;
  if (!addBos || bos === undefined || ids[0] === bos) return ids;
  const begun = new Int32Array(ids.length + 1);
  begun[0] = bos;
  begun.set(ids, 1);
  return begun;
}

/** The template's variables for the names of the tokens that begin and end a text. */
function endNames(tokenizer: Tokenizer): Record<string, string> {
  const { bos, eos } = tokenizer;
  return {
    bos_token: bos === undefined ? "" : tokenizer.piece(bos),
    eos_token: eos === undefined ? "" : tokenizer.piece(eos),
  };
}

/** Names of control tokens that reading the text with control tokens on would find. */
function controlNames(tokenizer: Tokenizer, text: string): string[] {
  const names = new Set<string>();
  for (let rest = text; ; ) {
    const found = [...tokenizer.encode(rest, { special: true })]
      .filter((id) => id === tokenizer.unknown || tokenizer.bytes(id).length === 0)
      .map((id) => tokenizer.piece(id))
      .filter((name) => name !== "" && rest.includes(name) && !names.has(name));
    if (found.length === 0) return [...names];
    for (const name of found) names.add(name);
    // Taking the found ones away can uncover others that overlapped them.
    rest = splitAt(rest, [...names], () => "\n").join("");
  }
}

/** One character for each name, from the private use area, that no message has. */
function standIns(names: readonly string[], messages: readonly ChatMessage[]): Map<string, string> {
  const stand = new Map<string, string>();
  if (names.length === 0) return stand;
  const used = new Set(messages.flatMap(({ role, content }) => [...role, ...content]));
  let code = 0xe000;
  for (const name of names) {
    while (used.has(String.fromCharCode(code))) code++;
    if (code > 0xf8ff) throw new GrokError("argument", "the messages use up all characters for private use");
    stand.set(name, String.fromCharCode(code++));
  }
  return stand;
}

/** Encodes a rendered text in which the stand-ins are plain text and all other control names are control tokens. */
function encodeParts(tokenizer: Tokenizer, text: string, stand: ReadonlyMap<string, string>): Int32Array {
  const names = new Map([...stand].map(([name, character]) => [character, name]));
  const restore = (part: string) => part.replace(/[\ue000-\uf8ff]/g, (character) => names.get(character) ?? character);
  const controls = controlNames(tokenizer, text);
  const ids: number[] = [];
  const parts = splitAt(text, controls, (name) => ({ id: tokenizer.idOf(name)! }));
  for (const part of parts) {
    if (typeof part === "object") ids.push(part.id);
    else for (const id of tokenizer.encode(restore(part))) ids.push(id);
  }
  return Int32Array.from(ids);
}

/** The text cut at the names, leftmost and longest first; what a name becomes stands in its place. */
function splitAt<T>(text: string, names: readonly string[], of: (name: string) => T): (string | T)[] {
  if (names.length === 0) return [text];
  const longestFirst = [...names].sort((a, b) => b.length - a.length);
  const pattern = longestFirst.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|");
  const parts: (string | T)[] = [];
  // A pattern in a group puts the separators at the odd places.
  for (const [index, part] of text.split(new RegExp(`(${pattern})`)).entries()) {
    if (index % 2 === 1) parts.push(of(part));
    else if (part !== "") parts.push(part);
  }
  return parts;
}

function checkMessages(messages: readonly ChatMessage[]): void {
  if (messages.length === 0) throw new GrokError("argument", "the conversation has no messages, expected at least one");
  for (const [index, message] of messages.entries()) {
    if (typeof message?.role === "string" && typeof message.content === "string") continue;
    throw new GrokError("argument", `message ${index} is not an object with texts "role" and "content"`, { index });
  }
}
