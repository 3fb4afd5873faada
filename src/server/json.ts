import { inTurns } from "../generate/turns.ts";
import type { Steps } from "../tokenizer/steps.ts";

/** Values that are written at once, which takes a millisecond at most. */
const valuesAtATime = 4096;

/** What `JSON.stringify` makes of plain data, which takes long where that has many values: in turns with what else there is to do. */
export async function jsonInTurns(value: unknown): Promise<string> {
  return await inTurns(jsonSteps(value));
}

/** The same in UTF-8: of a text of many megabytes that takes long too. */
export async function jsonBytesInTurns(value: unknown): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  const encoder = new TextEncoder();
  await inTurns(writeSteps(value, (text) => parts.push(encoder.encode(text))));
  return Buffer.concat(parts);
}

/** As {@link jsonInTurns}, in steps. */
export function* jsonSteps(value: unknown): Steps<string> {
  const parts: string[] = [];
  yield* writeSteps(value, (text) => parts.push(text));
  return parts.join("");
}

function* writeSteps(value: unknown, write: (text: string) => void): Steps {
  if (countValues(value) < valuesAtATime) return write(JSON.stringify(value));
  if (Array.isArray(value)) return yield* writeList(value, write);
  let before = "{";
  for (const [name, member] of Object.entries(value as object)) {
    if (member === undefined) continue;
    write(`${before}${JSON.stringify(name)}:`);
    before = ",";
    yield* writeSteps(member, write);
  }
  write(before === "{" ? "{}" : "}");
}

/** Items that have few values are written together. */
function* writeList(items: readonly unknown[], write: (text: string) => void): Steps {
  let from = 0;
  let held = 0;
  const flush = (to: number) => {
    if (to > from) write((from > 0 ? "," : "") + JSON.stringify(items.slice(from, to)).slice(1, -1));
    from = to;
    held = 0;
  };
  write("[");
  for (const [i, item] of items.entries()) {
    const count = countValues(item);
    if (held + count >= valuesAtATime) {
      flush(i);
      yield;
    }
    held += count;
    if (count < valuesAtATime) continue;
    if (i > 0) write(",");
    yield* writeSteps(item, write);
    from = i + 1;
    held = 0;
  }
  flush(items.length);
  write("]");
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
