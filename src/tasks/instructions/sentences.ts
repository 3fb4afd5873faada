import { isLower, isUpper, stripEnd } from "../python/text.ts";
import { lazy, readKnowledge } from "./knowledge.ts";

/** What is known of English words where periods stand. */
interface Words {
  readonly abbreviations: ReadonlySet<string>;
  /** Words that often begin sentences. */
  readonly starters: ReadonlySet<string>;
  /** Pairs that go together across a period, a tab between them. */
  readonly collocations: ReadonlySet<string>;
  /** Words seen with a small letter, and within a sentence never with a capital one. */
  readonly common: ReadonlySet<string>;
  /** Words seen with both. */
  readonly both: ReadonlySet<string>;
  /** Words that begin sentences with a small letter alone. */
  readonly small: ReadonlySet<string>;
}

const openWords = lazy((): Words => {
  const lists = readKnowledge<Record<keyof Words, readonly string[] | string>>("sentences");
  const set = (list: readonly string[] | string) => new Set(typeof list === "string" ? list.split("\n") : list);
  const { abbreviations, starters, collocations, common, both, small } = lists;
  return {
    ...{ abbreviations: set(abbreviations), starters: set(starters), collocations: set(collocations) },
    ...{ common: set(common), both: set(both), small: set(small) },
  };
});

/** What ends a word, for the language's expressions: `\w` and `\s` of Python's package `regex`, which nltk uses. */
const wordClass = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
const space = "\\p{White_Space}";
const noWord = "[)\";}\\]*:@'({\\[‘’“”«»?!]";
const several = `(?:-{2,}|\\.{2,}|(?:\\.${space}){2,}\\.)`;
const end = `${space}|(?![^])|${noWord}|${several}`;
const tokens = new RegExp(
  `${several}|(?![("\`{\\[:;&#*@)}\\]\\-,])\\P{White_Space}+?(?=${end}|,(?:${end}))|\\P{White_Space}`,
  "gu",
);
const periods = new RegExp(`[.?!](?=(?<after>${noWord}|${space}+(?<next>\\P{White_Space}+)))`, "gu");
/** What closes a sentence behind its period. */
const closing = new RegExp(`^["')\\]}‘’“”«»]+?(?:${space}+|(?=--)|(?=\\n|(?![^])))`, "u");
const number = /^-?[.,]?\p{Nd}[\p{Nd},.-]*\.?$/u;
const initial = new RegExp(`^(?!\\p{Nd})[${wordClass}]\\.$`, "u");

/**
 * A text's sentences, as nltk's `sent_tokenize` has them for English: Punkt (Kiss and Strunk 2006, sections 3 and 4), with the parameters of
 * nltk's `punkt_tab`.
 */
export function splitSentences(text: string): readonly string[] {
  const spans: (readonly [start: number, end: number])[] = [];
  let start = 0;
  for (const { at, next, context } of contextsOf(text)) {
    if (!breaks(context)) continue;
    spans.push([start, at + 1]);
    start = next ?? at + 1;
  }
  spans.push([start, stripEnd(text).length]);
  return closeSentences(text, spans);
}

interface Context {
  /** Where the period stands, and where the word behind it begins. */
  readonly at: number;
  readonly next: number | undefined;
  /** The word that the period ends, the period, and what follows. */
  readonly context: string;
}

/** Periods, exclamation and question marks that may end a sentence: of those of one word the last. */
function contextsOf(text: string): readonly Context[] {
  const contexts: Context[] = [];
  let word = { start: 0, end: 0 };
  let last: Context | undefined;
  for (const match of text.matchAll(periods)) {
    const { after, next } = match.groups!;
    const before = text.slice(word.end, match.index);
    const gap = Math.max(...[..." \t\n\r\v\f"].map((each) => before.lastIndexOf(each)));
    const from = gap > 0 ? word.end + gap + 1 : word.start;
    if (last !== undefined && word.end <= from) contexts.push(last);
    word = { start: from, end: match.index };
    last = {
      at: match.index,
      next: next === undefined ? undefined : match.index + 1 + after!.length - next.length,
      context: `${text.slice(from, match.index)}${match[0]}${after}`,
    };
  }
  if (last !== undefined) contexts.push(last);
  return contexts;
}

interface Token {
  readonly text: string;
  /** In small letters, a number as `##number##`. */
  readonly type: string;
  abbreviation: boolean;
  readonly ellipsis: boolean;
  ends: boolean;
}

/** Whether a sentence ends in a text and another begins. */
function breaks(context: string): boolean {
  const all = context.split("\n").flatMap((line) => (line.match(tokens) ?? []).map(readToken));
  for (const [i, token] of all.slice(0, -1).entries()) {
    decide(token, all[i + 1]!);
    if (token.ends) return true;
  }
  return false;
}

/** What a token is by itself. */
function readToken(text: string): Token {
  const { abbreviations } = openWords();
  const lower = text.toLowerCase();
  const type = lower.replace(number, "##number##");
  const mark = text === "." || text === "?" || text === "!";
  const ellipsis = !mark && /^\.\.+$/.test(text);
  const stem = lower.slice(0, -1);
  const period = !mark && !ellipsis && text.endsWith(".") && !text.endsWith("..");
  const abbreviation = period && (abbreviations.has(stem) || abbreviations.has(stem.split("-").at(-1)!));
  return { text, type, abbreviation, ellipsis, ends: mark || (period && !abbreviation) };
}

const withoutPeriod = (type: string) => (type.length > 1 && type.endsWith(".") ? type.slice(0, -1) : type);

/** What a token is with the one behind it: initials and numbers, abbreviations that end a sentence. */
function decide(token: Token, next: Token): void {
  if (!token.text.endsWith(".")) return;
  const { starters, collocations, common, both } = openWords();
  const type = withoutPeriod(token.type);
  const nextType = next.ends ? withoutPeriod(next.type) : next.type;
  const isInitial = initial.test(token.text);
  const isNot = () => Object.assign(token, { ends: false, abbreviation: true });
  if (collocations.has(`${type}\t${nextType}`)) {
    isNot();
    return;
  }
  const capital = isUpper(firstOf(next.text));
  if ((token.abbreviation || token.ellipsis) && !isInitial) {
    if (begins(next, nextType) === true || (capital && starters.has(nextType))) {
      token.ends = true;
      return;
    }
  }
  if (!isInitial && type !== "##number##") return;
  const beginning = begins(next, nextType);
  if (beginning === false) isNot();
  else if (beginning === undefined && isInitial && capital && !common.has(nextType) && !both.has(nextType)) isNot();
}

/** Whether a word begins a sentence, by how it is written elsewhere; undefined where that says nothing. */
function begins({ text }: Token, type: string): boolean | undefined {
  if (/^[;:,.!?]$/.test(text)) return false;
  const { common, small } = openWords();
  const first = firstOf(text);
  if (isUpper(first) && common.has(type)) return true;
  if (isLower(first) && !small.has(type)) return false;
  return undefined;
}

function firstOf(text: string): string {
  return String.fromCodePoint(text.codePointAt(0)!);
}

/** Sentences with the quotation marks and brackets that close them. */
function closeSentences(text: string, spans: readonly (readonly [number, number])[]): readonly string[] {
  const sentences: string[] = [];
  let taken = 0;
  for (const [i, [from, to]] of spans.entries()) {
    const start = from + taken;
    const next = spans[i + 1];
    const close = next && closing.exec(text.slice(...next))?.[0];
    if (next !== undefined && close !== undefined) {
      sentences.push(text.slice(start, next[0] + stripEnd(close).length));
      taken = close.length;
      continue;
    }
    taken = 0;
    if (start < to) sentences.push(text.slice(start, to));
  }
  return sentences;
}
