import { computed, effect, signal } from "@preact/signals";
import { type Conversation, fitConversations, type Message, newId, readConversations } from "./conversation.ts";
import { recall, store } from "./storage.ts";

/** The conversations that this browser keeps, newest first. */

const place = "grok1.conversations";

export const conversations = signal<readonly Conversation[]>(fitConversations(readConversations(recall(place))));

/** The one that is shown, which the page's address names too; a new one is kept once something is said. */
export const currentId = signal<string>(location.hash.slice(1) || newId());

export const current = computed<Conversation>(() => {
  const found = conversations.value.find(({ id }) => id === currentId.value);
  const now = new Date().toISOString();
  return found ?? { id: currentId.value, created: now, updated: now, messages: [] };
});

effect(() => {
  const { id, messages } = current.value;
  history.replaceState(null, "", messages.length === 0 ? location.pathname + location.search : `#${id}`);
});

// The same page in another tab.
addEventListener("storage", ({ key, newValue }) => {
  if (key === place) conversations.value = fitConversations(readConversations(newValue));
});

function keep(all: readonly Conversation[]): void {
  let fitting = fitConversations(all);
  conversations.value = fitting;
  // Other pages of this origin share the room.
  while (!store(place, JSON.stringify(fitting)) && fitting.length > 1) fitting = fitting.slice(0, -1);
}

export function setMessages(id: string, messages: readonly Message[]): void {
  const updated = new Date().toISOString();
  const before = conversations.value.find((conversation) => conversation.id === id);
  const changed = { id, created: before?.created ?? updated, updated, messages };
  keep([changed, ...conversations.value.filter((conversation) => conversation.id !== id)]);
}

export const messagesOf = (id: string): readonly Message[] =>
  conversations.value.find((conversation) => conversation.id === id)?.messages ?? [];

export function begin(): void {
  if (current.value.messages.length > 0) currentId.value = newId();
}

export function remove(conversation: Conversation): void {
  keep(conversations.value.filter(({ id }) => id !== conversation.id));
}

export function restore(conversation: Conversation): void {
  keep([...conversations.value, conversation]);
}
