import { spaceClass, splitWords } from "../python/text.ts";
import { splitSentences } from "./sentences.ts";

/** `\w` of Python's package `regex`, which nltk uses: marks that combine are among it. */
const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
/** `\w` of Python itself. */
const plainWord = "\\p{L}\\p{N}_";
const words = new RegExp(`[${word}]+`, "gu");

/** How many runs of letters, marks and digits there are. */
export function countWords(text: string): number {
  return text.match(words)?.length ?? 0;
}

const space = "\\p{White_Space}";
/** The end, or the line's end that is the last character. */
const atEnd = "(?=\\n?(?![^]))";
const clitic = (...names: readonly string[]) => `'(?:${names.join("|")})`;

type Steps = readonly (readonly [RegExp, string])[];

/** What is put in place of what, one after the other: first this, and with a space at both ends the rest. */
const inner: Steps = [
  // Quotes that begin.
  [/[«“‘„]|`+/gu, " $& "],
  [/^"/gu, "``"],
  [/``/gu, " $& "],
  [/([ ([{<])(?:"|'{2})/gu, "$1 `` "],
  [new RegExp(`(?<![${word}])'(?!(?:re|ve|ll|m|t|s|d|n)(?![${word}]))(?=[${word}])`, "giu"), "' "],
  // Punctuation.
  [new RegExp(`([^.])(\\.)([\\])}>"'»”’ ]*)${space}*${atEnd}`, "gu"), "$1 $2 $3 "],
  [/([:,])(\P{Nd})/gu, " $1 $2"],
  [new RegExp(`[:,]${atEnd}`, "gu"), " $& "],
  [/\.{2,}/gu, " $& "],
  [/[;@#$%&]/gu, " $& "],
  [/[\u2012-\u2015]/gu, " $& "],
  [new RegExp(`([^.])(\\.)([\\])}>"']*)${space}*${atEnd}`, "gu"), "$1 $2$3 "],
  [/[?!]/gu, " $& "],
  [/([^'])' /gu, "$1 ' "],
  [/[*]/gu, " $& "],
  [/[\][(){}<>]/gu, " $& "],
  [/--/gu, " -- "],
];
const padded: Steps = [
  // Quotes that end, and what is written together with a word.
  [/[»”’]/gu, " $& "],
  [/''/gu, " '' "],
  [/"/gu, " '' "],
  [new RegExp(`${space}+`, "gu"), " "],
  [new RegExp(`([^' ])(${clitic("[sS]", "[mM]", "[dD]", "")}) `, "gu"), "$1 $2 "],
  [new RegExp(`([^' ])(${clitic("ll", "LL", "re", "RE", "ve", "VE")}|n't|N'T) `, "gu"), "$1 $2 "],
  ...["can not", "d 'ye", "gim me", "gon na", "got ta", "lem me", "more 'n"].map(contraction),
  [new RegExp(`(?<![${plainWord}])(wan)(na)(?=[${spaceClass}])`, "giu"), " $1 $2 "],
  [new RegExp(` ('t)(is|was)(?![${plainWord}])`, "giu"), " $1 $2 "],
];

function contraction(pair: string): readonly [RegExp, string] {
  const [first, second] = pair.split(" ");
  const edge = (inside: string) => `(?${inside}[${plainWord}])`;
  return [new RegExp(`${edge("<!")}(${first})(${second})${edge("!")}`, "giu"), " $1 $2 "];
}

/** Words, punctuation and parts of contractions, as nltk's `word_tokenize` has them for English. */
export function tokenizeWords(text: string): readonly string[] {
  const take = (steps: Steps, from: string) =>
    steps.reduce((left, [pattern, replacement]) => left.replace(pattern, replacement), from);
  return splitSentences(text).flatMap((sentence) => splitWords(take(padded, ` ${take(inner, sentence)} `)));
}
