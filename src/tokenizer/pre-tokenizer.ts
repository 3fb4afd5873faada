/**
 * Pre-tokenizers of byte-level BPE: how a text is cut before pairs merge. Each is the regular expression of the original
 * tokenizer, written as a scanner over UTF-8 that looks at every character a bounded number of times.
 *
 * `\s` is Unicode's White_Space, `\p{..}` are the properties of the running engine's Unicode version.
 */
import { classOf, letter, lower, mark, newline, number, punctuation, upper, whitespace } from "./unicode-classes.ts";

/** Where the token that begins at `start` ends; `start < end`. */
export type Scan = (bytes: Uint8Array, start: number, end: number) => number;

export interface PreTokenizer {
  readonly scan: Scan;
  /** A piece of the text that is in the vocabulary is one token, whatever the merges say. */
  readonly ignoreMerges: boolean;
  /** Whether prompts begin with bos when the file does not say. */
  readonly addBos: boolean;
}

// Class and length of the character that `look` saw last.
let width = 1;

function look(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) {
    width = 1;
    return classOf(lead);
  }
  if (lead < 0xe0) {
    width = 2;
    return classOf(((lead & 0x1f) << 6) | (bytes[at + 1]! & 0x3f));
  }
  if (lead < 0xf0) {
    width = 3;
    return classOf(((lead & 0x0f) << 12) | ((bytes[at + 1]! & 0x3f) << 6) | (bytes[at + 2]! & 0x3f));
  }
  width = 4;
  return classOf(
    ((lead & 0x07) << 18) | ((bytes[at + 1]! & 0x3f) << 12) | ((bytes[at + 2]! & 0x3f) << 6) | (bytes[at + 3]! & 0x3f),
  );
}

/** End of the run of characters that have one of the properties. */
function runOf(properties: number, bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && (look(bytes, at) & properties) !== 0) at += width;
  return at;
}

/** End of the run of characters that have none of the properties. */
function runWithout(properties: number, bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && (look(bytes, at) & properties) === 0) at += width;
  return at;
}

const other = whitespace | letter | number;

/** Length of `'s|'t|'re|'ve|'m|'ll|'d` at an apostrophe, or 0. */
function contraction(bytes: Uint8Array, at: number, end: number, anyCase: boolean): number {
  const fold = anyCase ? 0x20 : 0;
  const first = at + 1 < end ? bytes[at + 1]! | fold : 0;
  if (first === 0x73 || first === 0x74 || first === 0x6d || first === 0x64) return 2;
  // Without regard to case, `s` is also U+017F, the long s.
  if (anyCase && bytes[at + 1] === 0xc5 && at + 2 < end && bytes[at + 2] === 0xbf) return 3;
  const second = at + 2 < end ? bytes[at + 2]! | fold : 0;
  if (first === 0x72 || first === 0x76) return second === 0x65 ? 3 : 0;
  return first === 0x6c && second === 0x6c ? 3 : 0;
}

/**
 * `\s+(?!\S)|\s+` at white space: all of the run at a text's end, otherwise all but its last character (or that one).
 * `last` is where the run's last character begins.
 */
function spaces(start: number, runEnd: number, last: number, atTextEnd: boolean): number {
  return atTextEnd || last === start ? runEnd : last;
}

/**
 * GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`. With `digits`, every number is a
 * token of its own and parts the text first, as the Digits pre-tokenizer does.
 */
function gpt2(digits: boolean): Scan {
  return (bytes, start, end) => {
    const kind = look(bytes, start);
    const next = start + width;
    if (digits && (kind & number) !== 0) return next;
    if ((kind & whitespace) === 0) {
      if (bytes[start] === 0x27) {
        const length = contraction(bytes, start, end, false);
        if (length > 0) return start + length;
      }
      return runLike(kind, bytes, start, end);
    }
    if (bytes[start] === 0x20 && next < end) {
      const after = look(bytes, next);
      if ((after & whitespace) === 0 && !(digits && (after & number) !== 0)) return runLike(after, bytes, next, end);
    }
    return spaceRun(bytes, start, end, digits);
  };
}

/** End of a run of letters, of numbers, or of neither, whichever begins at `at`. */
function runLike(kind: number, bytes: Uint8Array, at: number, end: number): number {
  if ((kind & letter) !== 0) return runOf(letter, bytes, at, end);
  if ((kind & number) !== 0) return runOf(number, bytes, at, end);
  return runWithout(other, bytes, at, end);
}

function spaceRun(bytes: Uint8Array, start: number, end: number, numbersPart: boolean): number {
  let at = start;
  let last = start;
  while (at < end) {
    const kind = look(bytes, at);
    if ((kind & whitespace) === 0) return spaces(start, at, last, numbersPart && (kind & number) !== 0);
    last = at;
    at += width;
  }
  return at;
}

/**
 * Llama 3 (`numbers` 3), Qwen 2 and Grok-2 (1): `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,numbers}|
 * ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
 */
function llama3(numbers: number): Scan {
  return (bytes, start, end) => {
    const kind = look(bytes, start);
    const next = start + width;
    if (bytes[start] === 0x27) {
      const length = contraction(bytes, start, end, true);
      if (length > 0) return start + length;
    }
    if ((kind & letter) !== 0) return runOf(letter, bytes, next, end);
    if ((kind & number) !== 0) return someNumbers(numbers, bytes, start, end);
    if ((kind & newline) === 0 && next < end && (look(bytes, next) & letter) !== 0) {
      return runOf(letter, bytes, next, end);
    }
    return remainder(kind, bytes, start, next, end, false);
  };
}

/** `\p{N}{1,limit}`. */
function someNumbers(limit: number, bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  for (let i = 0; i < limit && at < end && (look(bytes, at) & number) !== 0; i++) at += width;
  return at;
}

/** ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`; with `slash`, `[\r\n/]*`. */
function remainder(kind: number, bytes: Uint8Array, start: number, next: number, end: number, slash: boolean): number {
  const symbols =
    (kind & whitespace) === 0
      ? start
      : bytes[start] === 0x20 && next < end && (look(bytes, next) & other) === 0
        ? next
        : -1;
  if (symbols >= 0) {
    let at = runWithout(other, bytes, symbols, end);
    while (at < end && (bytes[at] === 0x0a || bytes[at] === 0x0d || (slash && bytes[at] === 0x2f))) at++;
    return at;
  }
  let lineEnd = -1;
  let last = start;
  let at = start;
  let seen = kind;
  for (; at < end; at += width) {
    seen = look(bytes, at);
    if ((seen & whitespace) === 0) break;
    last = at;
    if ((seen & newline) !== 0) lineEnd = at + 1;
  }
  return lineEnd >= 0 ? lineEnd : spaces(start, at, last, at >= end);
}

/**
 * GPT-4o (`numbers` 3, with contractions) and Tekken (1, without): words may begin with capitals and end with small
 * letters, U = `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, D = `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`:
 * `[^\r\n\p{L}\p{N}]?U*D+C?|[^\r\n\p{L}\p{N}]?U+D*C?|\p{N}{1,numbers}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
 */
function cased(numbers: number, contractions: boolean): Scan {
  const isUpper = (kind: number): boolean => (kind & mark) !== 0 || ((kind & letter) !== 0 && (kind & lower) === 0);
  const isLower = (kind: number): boolean => (kind & mark) !== 0 || ((kind & letter) !== 0 && (kind & upper) === 0);

  /** `U*D+`, or -1. */
  const capitalsThenSmall = (bytes: Uint8Array, start: number, end: number): number => {
    let at = start;
    let lastBoth = -1;
    while (at < end) {
      const kind = look(bytes, at);
      if (!isUpper(kind)) break;
      if (isLower(kind)) lastBoth = at + width;
      at += width;
    }
    const capitals = at;
    while (at < end && isLower(look(bytes, at))) at += width;
    // No small letter follows: U* gives back up to its last character that is also in D, which then ends the match.
    return at > capitals ? at : lastBoth;
  };
  /** `U+D*`, or -1. */
  const capitals = (bytes: Uint8Array, start: number, end: number): number => {
    let at = start;
    while (at < end && isUpper(look(bytes, at))) at += width;
    if (at === start) return -1;
    while (at < end && isLower(look(bytes, at))) at += width;
    return at;
  };
  return (bytes, start, end) => {
    const kind = look(bytes, start);
    const next = start + width;
    const prefixed = (kind & (newline | letter | number)) === 0 && next < end;
    for (const word of [capitalsThenSmall, capitals]) {
      let stop = prefixed ? word(bytes, next, end) : -1;
      if (stop < 0) stop = word(bytes, start, end);
      if (stop < 0) continue;
      return contractions && bytes[stop] === 0x27 && stop < end ? stop + contraction(bytes, stop, end, true) : stop;
    }
    if ((kind & number) !== 0) return someNumbers(numbers, bytes, start, end);
    return remainder(kind, bytes, start, next, end, true);
  };
}

/**
 * llama.cpp's default, for files that name no pre-tokenizer: runs of punctuation and of `$+<=>^~|` part the text, GPT-2's
 * expression cuts what is between, numbers stand alone, in threes where they are ASCII digits.
 */
const fallback: Scan = (bytes, start, end) => {
  const kind = look(bytes, start);
  if ((kind & punctuation) !== 0) return runOf(punctuation, bytes, start, end);
  if ((kind & number) !== 0) {
    const digit = (at: number): boolean => at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39;
    if (digit(start) && digit(start + 1) && digit(start + 2)) return start + 3;
    let at = start;
    do {
      look(bytes, at);
      at += width;
    } while (at < end && (look(bytes, at) & number) !== 0 && !(digit(at) && digit(at + 1) && digit(at + 2)));
    return at;
  }
  const part = (seen: number): boolean => (seen & punctuation) !== 0;
  const run = (at: number): number => {
    const seen = look(bytes, at);
    if ((seen & letter) !== 0) return runOf(letter, bytes, at, end);
    return runWithout(other | punctuation, bytes, at, end);
  };
  const next = start + width;
  if ((kind & whitespace) === 0) return run(start);
  if (bytes[start] === 0x20 && next < end) {
    const after = look(bytes, next);
    if ((after & (whitespace | number)) === 0 && !part(after)) return run(next);
  }
  let at = start;
  let last = start;
  for (; at < end; at += width) {
    const seen = look(bytes, at);
    if ((seen & whitespace) === 0) {
      return spaces(start, at, last, part(seen));
    }
    last = at;
  }
  return at;
};

const plain = { ignoreMerges: false, addBos: false };
const llama3Style = { scan: llama3(3), ignoreMerges: true, addBos: true };
const oneNumber = { ...plain, scan: llama3(1) };
const digitsThenGpt2 = { ...plain, scan: gpt2(true) };
const gpt2Style = { ...plain, scan: gpt2(false) };
const gpt4oStyle = { ...plain, scan: cased(3, true) };

/** By the names that GGUF files use, `tokenizer.ggml.pre`. */
export const preTokenizers: ReadonlyMap<string, PreTokenizer> = new Map([
  ["default", { ...plain, scan: fallback }],
  ["gpt-2", gpt2Style],
  ["phi-2", gpt2Style],
  ["mpt", gpt2Style],
  ["olmo", gpt2Style],
  ["exaone4", gpt2Style],
  ["llama-bpe", llama3Style],
  ["llama3", llama3Style],
  ["llama-v3", llama3Style],
  ["falcon3", llama3Style],
  ["lfm2", llama3Style],
  ["dbrx", { ...plain, scan: llama3(3) }],
  ["smaug-bpe", { ...plain, scan: llama3(3) }],
  ["glm4", { ...plain, scan: llama3(3) }],
  ["chatglm-bpe", { ...plain, scan: llama3(3) }],
  ["qwen2", oneNumber],
  ["grok-2", oneNumber],
  ["stablelm2", oneNumber],
  ["deepseek-r1-qwen", oneNumber],
  ["megrez", oneNumber],
  ["hunyuan", oneNumber],
  ["solar-open", oneNumber],
  ["smollm", digitsThenGpt2],
  ["starcoder", digitsThenGpt2],
  ["refact", digitsThenGpt2],
  ["command-r", digitsThenGpt2],
  ["codeshell", digitsThenGpt2],
  ["exaone", digitsThenGpt2],
  ["minerva-7b", digitsThenGpt2],
  ["gpt-4o", gpt4oStyle],
  ["llama4", gpt4oStyle],
  ["tekken", { scan: cased(1, false), ignoreMerges: true, addBos: true }],
]);
