import { type Allowance, fault } from "./allowance.ts";
import { countPoints } from "./points.ts";
import { createBuilder, pick, slice, type Text } from "./text.ts";

export interface WrapOptions {
  readonly width: number;
  readonly breakLongWords: boolean;
  readonly breakOnHyphens: boolean;
}

/** `textwrap.wrap` of one line, its spaces kept: lines of at most `width` characters. */
export function wrapText(run: Allowance, text: Text, { width, breakLongWords, breakOnHyphens }: WrapOptions): Text[] {
  if (width <= 0) return fault(`invalid width ${width} (must be > 0)`);
  const chunks = chunksOf(run, text, breakOnHyphens);
  const lines: Text[] = [];
  const blank = (chunk: Text) => chunk.value.trim() === "";
  for (let at = 0; at < chunks.length; ) {
    const line: Text[] = [];
    let length = 0;
    if (lines.length > 0 && blank(chunks[at]!)) at++;
    for (; at < chunks.length; at++) {
      const size = countPoints(run, chunks[at]!.value);
      if (length + size > width) break;
      line.push(chunks[at]!);
      length += size;
    }
    const next = chunks[at];
    if (next !== undefined && countPoints(run, next.value) > width) {
      if (breakLongWords) {
        const size = countPoints(run, next.value);
        let room = Math.max(1, width - length);
        // A word is parted behind its last hyphen that fits.
        if (breakOnHyphens) {
          const hyphen = pick(run, next, 0, Math.min(size, room), 1).value.lastIndexOf("-");
          if (hyphen > 0 && /[^-]/.test(next.value.slice(0, hyphen))) room = hyphen + 1;
        }
        line.push(pick(run, next, 0, room, 1));
        chunks[at] = pick(run, next, room, size - room, 1);
      } else if (line.length === 0) {
        line.push(next);
        at++;
      }
    }
    if (line.length > 0 && blank(line[line.length - 1]!)) line.pop();
    if (line.length === 0) continue;
    const out = createBuilder(run);
    for (const chunk of line) out.add(chunk);
    lines.push(out.build(text.markup));
  }
  return lines;
}

const beforeHyphen = /(\p{L}\p{L}|\p{L}-[\p{L}\p{N}_!"'&.,?])$/u;

/** Words and what is between them; a hyphen between letters ends a chunk. */
function chunksOf(run: Allowance, text: Text, breakOnHyphens: boolean): Text[] {
  const { value } = text;
  const chunks: Text[] = [];
  const add = (from: number, to: number): void => {
    run.step();
    run.take(4);
    chunks.push(slice(run, text, from, to));
  };
  for (const { 0: word, index } of value.matchAll(/[\t-\r ]+|[^\t-\r ]+/g)) {
    run.step(word.length >> 3);
    let from = 0;
    if (breakOnHyphens) {
      for (const { 0: part, index: at } of word.matchAll(/-+/g)) {
        const end = at + part.length;
        const before = word.slice(Math.max(0, at - 3), at);
        const after = word.slice(end, end + 2);
        const dash =
          part.length > 1 && at > 0 && /[\p{L}\p{N}_!"'&.,?]$/u.test(before) && /^[\p{L}\p{N}_]/u.test(after);
        if (dash) {
          add(index + from, index + at);
          add(index + at, index + end);
          from = end;
        } else if (part.length === 1 && beforeHyphen.test(before) && /^\p{L}-?\p{L}/u.test(word.slice(end, end + 3))) {
          add(index + from, index + end);
          from = end;
        }
      }
    }
    if (from < word.length) add(index + from, index + word.length);
  }
  return chunks;
}
