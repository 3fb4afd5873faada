import { inTurns } from "../generate/turns.ts";
import type { Steps } from "../tokenizer/steps.ts";

/** Values that are written at once, which takes a millisecond at most. */
const valuesAtATime = 4096;

/** What `JSON.stringify` makes of plain data, which takes long where that has many values: in turns with what else there is to do. */
export async function jsonInTurns(value: unknown): Promise<string> {
  return await inTurns(jsonSteps(value));
}

/** The same in steps. */
export function* jsonSteps(value: unknown): Steps<string> {
  if (countValues(value) < valuesAtATime) return JSON.stringify(value);
  const pieces: string[] = [];
  if (!Array.isArray(value)) {
    for (const [name, member] of Object.entries(value as object)) {
      if (member !== undefined) pieces.push(`${JSON.stringify(name)}:${yield* jsonSteps(member)}`);
    }
    return `{${pieces.join()}}`;
  }
  const items: readonly unknown[] = value;
  /** Items that have few values are written together. */
  let from = 0;
  let held = 0;
  function* flush(to: number): Steps {
    if (to > from) pieces.push(JSON.stringify(items.slice(from, to)).slice(1, -1));
    from = to;
    held = 0;
    yield;
  }
  for (const [i, item] of items.entries()) {
    const count = countValues(item);
    if (held + count >= valuesAtATime) yield* flush(i);
    held += count;
    if (count < valuesAtATime) continue;
    pieces.push(yield* jsonSteps(item));
    from = i + 1;
    held = 0;
  }
  yield* flush(items.length);
  return `[${pieces.join()}]`;
}

/** How many values something consists of, counted no further than to {@link valuesAtATime}. */
function countValues(value: unknown, counted = 0): number {
  if (typeof value !== "object" || value === null) return 1;
  let count = 1;
  for (const item of Array.isArray(value) ? value : Object.values(value)) {
    count += countValues(item, counted + count);
    if (counted + count >= valuesAtATime) return count;
  }
  return count;
}
