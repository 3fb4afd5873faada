import { signal } from "@preact/signals";

/** What a screen reader is told of an answer as it comes: sentence by sentence, since words one by one would cut each other off. */
export const announced = signal("");

let pending = "";

export function beginAnnouncing(): void {
  pending = "";
  announced.value = "";
}

export function announce(text: string, all = false): void {
  pending += text;
  const end = all ? pending.length : sentenceEnd(pending);
  if (end === 0) return;
  announced.value = pending.slice(0, end).trim();
  pending = pending.slice(end);
}

function sentenceEnd(text: string): number {
  const found = [...text.matchAll(/[.!?…][”"»)]?\s|\n/g)].at(-1);
  return found === undefined ? 0 : found.index + found[0].length;
}
