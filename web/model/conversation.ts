/** A conversation as it is kept and exported: plain data. */
export interface Conversation {
  readonly id: string;
  readonly created: string;
  readonly updated: string;
  readonly messages: readonly Message[];
}

export interface Message {
  readonly id: string;
  readonly role: "user" | "assistant";
  readonly content: string;
  /** What was thought before it was said; no model is told of it again. */
  readonly thoughts?: string;
  readonly answer?: AnswerInfo;
}

/** What is known of an answer that has ended. */
export interface AnswerInfo {
  readonly model: string;
  readonly tokens: number;
  /** From the question to the first token, and from that to the last. */
  readonly firstSeconds: number;
  readonly seconds: number;
  readonly finish: Finish;
  /** Oldest messages that were not sent, as they did not fit. */
  readonly leftOut?: number;
}

export type Finish = "stop" | "length" | "stopped";

/** Browsers have names of their own for it, but not for pages that came without encryption from another computer. */
export function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const titleLength = 60;

/** The beginning of the first question; undefined before one was asked. */
export function titleOf({ messages }: Conversation): string | undefined {
  const text = messages
    .find(({ role }) => role === "user")
    ?.content.trim()
    .replace(/\s+/g, " ");
  if (!text) return undefined;
  const characters = [...text];
  return characters.length > titleLength
    ? `${characters
        .slice(0, titleLength - 1)
        .join("")
        .trimEnd()}…`
    : text;
}

/** What is kept at most: browsers give a page about five million characters. */
export const kept = { conversations: 200, characters: 2_000_000 };

/** The newest conversations that fit, newest first. */
export function fitConversations(all: readonly Conversation[], bounds = kept): Conversation[] {
  const sorted = [...all].sort((a, b) => (a.updated < b.updated ? 1 : -1)).slice(0, bounds.conversations);
  let left = bounds.characters;
  return sorted.filter((conversation) => {
    left -= JSON.stringify(conversation).length;
    return left >= 0;
  });
}

/** What was stored, read without trust: another version of the page, or anything else, may have written it. */
export function readConversations(text: string | null): Conversation[] {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "[]");
  } catch {
    return [];
  }
  return Array.isArray(value) ? value.filter(isConversation) : [];
}

function isConversation(value: unknown): value is Conversation {
  const { id, created, updated, messages } = (value ?? {}) as Partial<Record<keyof Conversation, unknown>>;
  return (
    [id, created, updated].every((text) => typeof text === "string") &&
    Array.isArray(messages) &&
    messages.every(isMessage)
  );
}

function isMessage(value: unknown): value is Message {
  const { id, role, content, thoughts = "", answer } = (value ?? {}) as Partial<Record<keyof Message, unknown>>;
  const texts = [id, content, thoughts].every((text) => typeof text === "string");
  return texts && (role === "user" || role === "assistant") && (answer === undefined || isAnswer(answer));
}

function isAnswer(value: unknown): value is AnswerInfo {
  const {
    model,
    tokens,
    firstSeconds,
    seconds,
    finish,
    leftOut = 0,
  } = (value ?? {}) as Partial<Record<keyof AnswerInfo, unknown>>;
  const numbers = [tokens, firstSeconds, seconds, leftOut].every((number) => Number.isFinite(number));
  return typeof model === "string" && numbers && ["stop", "length", "stopped"].includes(finish as string);
}

export interface Exported {
  readonly name: string;
  readonly type: string;
  readonly text: string;
}

export function exportJson(conversation: Conversation, system: string): Exported {
  const messages = conversation.messages.map(({ id: _, ...message }) => message);
  const { created, updated } = conversation;
  const value = { created, updated, messages: [...(system ? [{ role: "system", content: system }] : []), ...messages] };
  return {
    name: `${fileName(conversation)}.json`,
    type: "application/json",
    text: `${JSON.stringify(value, null, 2)}\n`,
  };
}

export function exportMarkdown(
  conversation: Conversation,
  names: { readonly untitled: string; readonly user: string; readonly assistant: string },
): Exported {
  const parts = conversation.messages.map(({ role, content, answer }) => {
    const name = role === "user" ? names.user : (answer?.model ?? names.assistant);
    return `## ${name}\n\n${content.trim()}\n`;
  });
  const text = [`# ${titleOf(conversation) ?? names.untitled}\n`, ...parts].join("\n");
  return { name: `${fileName(conversation)}.md`, type: "text/markdown", text };
}

function fileName(conversation: Conversation): string {
  const title = (titleOf(conversation) ?? "conversation")
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40);
  return `${conversation.updated.slice(0, 10)}-${title || "conversation"}`;
}
