import { signal } from "@preact/signals";
import type { LiveToken } from "./live-token.ts";

/** What was seen of answers as they came. It lasts as long as the page is open: of the latest answers, so that it has a bound. */

const most = 20;

const seen = new Map<string, LiveToken[]>();

/** Counts what was added, once a frame, since lists of tokens grow in place. */
const additions = signal(0);
let isDrawn = true;

/** The answer that somebody chose to look at, or the one that comes; of its tokens that at `place`, or the last one, as they come. */
export const watched = signal<{ readonly answer: string; readonly place?: number } | undefined>(undefined);

export function watch(answer: string, place?: number): void {
  watched.value = { answer, ...(place !== undefined && { place }) };
}

/** Of some answers the one that is looked at: what was chosen, or the last one that was seen. */
export function watchedOf(answers: readonly string[]): string | undefined {
  const chosen = watched.value?.answer;
  if (chosen !== undefined && answers.includes(chosen)) return chosen;
  return answers.findLast((answer) => tokensOf(answer).length > 0);
}

export function see(answer: string, tokens: readonly LiveToken[]): void {
  let list = seen.get(answer);
  if (list === undefined) {
    list = [];
    seen.set(answer, list);
    for (const oldest of [...seen.keys()].slice(0, -most)) seen.delete(oldest);
  }
  list.push(...tokens);
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(() => {
    isDrawn = true;
    additions.value++;
  });
}

export function tokensOf(answer: string | undefined): readonly LiveToken[] {
  additions.value;
  return (answer === undefined ? undefined : seen.get(answer)) ?? [];
}

/** The place that is looked at, among an answer's tokens; -1 where there are none. */
export function placeIn(answer: string): number {
  const last = tokensOf(answer).length - 1;
  const { answer: chosen, place = last } = watched.value ?? {};
  return chosen === answer ? Math.min(place, last) : last;
}
