/** The words of a training text, as SentencePiece's trainer cuts and counts them. */

const space = 0x20;
const mark = 0x2581; // ▁, which stands for a space in pieces

/** Words, with `▁` for spaces, and how often they occur. */
export type WordCounts = Map<string, number>;

/**
 * Adds the words of a text to `counts`. Every line is a sentence of its own with the dummy space in front. A word is a run
 * of spaces and what follows it up to the next space. `reserved` strings (markers, byte pieces) part words and are left out.
 */
export function countWords(text: string, counts: WordCounts, reserved?: RegExp): void {
  for (const line of text.split("\n")) {
    const sentence = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (sentence === "") continue;
    const parts = reserved ? ` ${sentence}`.split(reserved) : [` ${sentence}`];
    for (const part of parts) countPart(part, counts);
  }
}

function countPart(part: string, counts: WordCounts): void {
  let start = 0;
  let inSpaces = part !== "" && isSpace(part.charCodeAt(0));
  for (let at = 1; at < part.length; at++) {
    const spaced = isSpace(part.charCodeAt(at));
    if (spaced && !inSpaces) {
      addWord(part.slice(start, at), counts);
      start = at;
    }
    inSpaces = spaced;
  }
  if (part !== "") addWord(part.slice(start), counts);
}

function isSpace(code: number): boolean {
  return code === space || code === mark;
}

function addWord(word: string, counts: WordCounts): void {
  counts.set(word, (counts.get(word) ?? 0) + 1);
}

/** A pattern for any of the strings, longest first; undefined for none. */
export function anyOf(strings: readonly string[]): RegExp | undefined {
  if (strings.length === 0) return undefined;
  const longestFirst = [...strings].sort((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|"), "u");
}
