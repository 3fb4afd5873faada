import type { Fields } from "../../bytes/json-fields.ts";
import { pythonRegExp } from "../python/regexp.ts";
import { isLower, isUpper, splitWords, strip, stripLeading, stripTrailing } from "../python/text.ts";
import { detectLanguage } from "./language.ts";
import { splitSentences } from "./sentences.ts";
import { countWords, tokenizeWords } from "./words.ts";

/** Whether an answer does what it was told to. */
export type Check = (answer: string) => boolean;

/** Makes a check of what an instruction says beside its name. @throws GrokError `format` naming the entry. */
type ReadCheck = (fields: Fields) => Check;

/**
 * The checks by instruction, to the letter those of lm-evaluation-harness's `ifeval` (Zhou et al. 2023), where a check is coarser than its
 * words too: a keyword is a regular expression that may stand within another word.
 */
export const checks: Readonly<Record<string, ReadCheck>> = {
  "keywords:existence": (fields) => {
    const patterns = readPatterns(fields, "keywords", (word) => word);
    return (answer) => patterns.every((pattern) => has(pattern, answer));
  },
  "keywords:frequency": (fields) => {
    const pattern = readPattern(fields, "keyword", strip(fields.text("keyword")), "i");
    return counted(fields, "relation", "frequency", (answer) => count(pattern, answer));
  },
  "keywords:forbidden_words": (fields) => {
    const patterns = readPatterns(fields, "forbidden_words", (word) => `\\b${word}\\b`);
    return (answer) => !patterns.some((pattern) => has(pattern, answer));
  },
  "keywords:letter_frequency": (fields) => {
    const letter = strip(fields.text("letter")).toLowerCase();
    return counted(fields, "let_relation", "let_frequency", (answer) => answer.toLowerCase().split(letter).length - 1);
  },
  "language:response_language": (fields) => {
    const language = fields.text("language");
    return (answer) => (detectLanguage(answer) ?? language) === language;
  },
  "length_constraints:number_sentences": (fields) =>
    counted(fields, "relation", "num_sentences", (answer) => splitSentences(answer).length),
  "length_constraints:number_words": (fields) => counted(fields, "relation", "num_words", countWords),
  "length_constraints:number_paragraphs": (fields) => {
    const wanted = fields.integer("num_paragraphs", 1);
    const divider = pythonRegExp("\\s?\\*\\*\\*\\s?");
    return (answer) => countParts(answer.split(divider)) === wanted;
  },
  "length_constraints:nth_paragraph_first_word": (fields) => {
    const wanted = fields.integer("num_paragraphs", 1);
    const nth = fields.integer("nth_paragraph", 1, wanted);
    const word = fields.text("first_word").toLowerCase();
    return (answer) => {
      const paragraphs = answer.split("\n\n").map(strip);
      const full = paragraphs.filter((paragraph) => paragraph !== "").length;
      return full === wanted && firstWord(paragraphs[nth - 1]!) === word;
    };
  },
  "detectable_content:number_placeholders": (fields) => {
    const least = fields.integer("num_placeholders", 1);
    return (answer) => count(/\[[^\n]*?\]/g, answer) >= least;
  },
  "detectable_content:postscript": (fields) => {
    const marker = strip(fields.text("postscript_marker"));
    const known: Readonly<Record<string, string>> = { "P.P.S": "p\\.\\s?p\\.\\s?s", "P.S.": "p\\.\\s?s\\." };
    const pattern = readPattern(fields, "postscript_marker", known[marker] ?? marker.toLowerCase());
    return (answer) => has(pattern, answer.toLowerCase());
  },
  "detectable_format:number_bullet_lists": (fields) => {
    const wanted = fields.integer("num_bullets", 1);
    const star = pythonRegExp("^\\s*\\*[^\\*].*$", "m");
    const dash = pythonRegExp("^\\s*-.*$", "m");
    return (answer) => count(star, answer) + count(dash, answer) === wanted;
  },
  "detectable_format:constrained_response": () => (answer) =>
    ["My answer is yes.", "My answer is no.", "My answer is maybe."].some((option) => answer.includes(option)),
  "detectable_format:number_highlighted_sections": (fields) => {
    const least = fields.integer("num_highlights", 1);
    const filled = (pattern: RegExp, answer: string, inner: (found: string) => string) =>
      (answer.match(pattern) ?? []).filter((found) => strip(inner(found)) !== "").length;
    return (answer) => {
      const single = filled(/\*[^\n*]*\*/g, answer, (found) => stripTrailing(stripLeading(found, "*"), "*"));
      const double = filled(/\*\*[^\n*]*\*\*/g, answer, (found) => found.slice(2, -2));
      return single + double >= least;
    };
  },
  "detectable_format:multiple_sections": (fields) => {
    const least = fields.integer("num_sections", 1);
    const pattern = readPattern(fields, "section_spliter", `\\s?${strip(fields.text("section_spliter"))}\\s?\\d+\\s?`);
    return (answer) => count(pattern, answer) >= least;
  },
  "detectable_format:json_format": () => isJson,
  "detectable_format:title": () => (answer) =>
    (answer.match(/<<[^\n]+>>/g) ?? []).some((title) => strip(stripTrailing(stripLeading(title, "<"), ">")) !== ""),
  "combination:two_responses": () => (answer) => {
    const parts = answer.split("******").map(strip);
    const full = parts.filter((part) => part !== "");
    return countParts(parts) === 2 && full[0] !== full[1];
  },
  "combination:repeat_prompt": (fields) => {
    const prompt = strip(fields.text("prompt_to_repeat")).toLowerCase();
    return (answer) => strip(answer).toLowerCase().startsWith(prompt);
  },
  "startend:end_checker": (fields) => {
    const phrase = strip(fields.text("end_phrase")).toLowerCase();
    return (answer) =>
      stripTrailing(stripLeading(strip(answer), '"'), '"')
        .toLowerCase()
        .endsWith(phrase);
  },
  "startend:quotation": () => (answer) => {
    const inner = strip(answer);
    return inner.length > 1 && inner.startsWith('"') && inner.endsWith('"');
  },
  "change_case:capital_word_frequency": (fields) =>
    counted(fields, "capital_relation", "capital_frequency", (answer) => tokenizeWords(answer).filter(isUpper).length),
  "change_case:english_capital": () => (answer) => isUpper(answer) && isEnglish(answer),
  "change_case:english_lowercase": () => (answer) => isLower(answer) && isEnglish(answer),
  "punctuation:no_comma": () => (answer) => !answer.includes(","),
};

function has(pattern: RegExp, answer: string): boolean {
  return answer.search(pattern) >= 0;
}

function count(pattern: RegExp, answer: string): number {
  return answer.match(pattern)?.length ?? 0;
}

/** Less than a number of something, or at least that. */
function counted(fields: Fields, relation: string, number: string, countIn: (answer: string) => number): Check {
  const least = fields.choice(relation, ["less than", "at least"]) === "at least";
  const bound = fields.integer(number, 1);
  return (answer) => countIn(answer) >= bound === least;
}

function readPattern(fields: Fields, key: string, source: string, flags = ""): RegExp {
  try {
    return pythonRegExp(source, flags);
  } catch (error) {
    return fields.fail(key, (error as Error).message);
  }
}

function readPatterns(fields: Fields, key: string, sourceOf: (word: string) => string): readonly RegExp[] {
  const words = fields.value(key, "a list of texts", (value) => {
    return Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === "string");
  });
  return (words as readonly string[]).map((word) => readPattern(fields, key, sourceOf(word), "i"));
}

/** How many parts there are; the first and the last may be empty and do not count then, no other may. */
function countParts(parts: readonly string[]): number {
  const empty = parts.flatMap((part, i) => (strip(part) === "" ? [i] : []));
  const last = parts.length - 1;
  return empty.every((i) => i === 0 || i === last) ? parts.length - empty.length : Number.NaN;
}

/** In small letters, without quotation marks in front, up to the first mark of punctuation. */
function firstWord(paragraph: string): string {
  const word = stripLeading(stripLeading(splitWords(paragraph)[0] ?? "", "'"), '"');
  return word.split(/[.,?!'"]/, 1)[0]!.toLowerCase();
}

/** What Python's `json.loads` reads, in a block of code or not: JSON, and numbers that are none. */
function isJson(answer: string): boolean {
  const behind = (text: string, beginning: string) =>
    text.startsWith(beginning) ? text.slice(beginning.length) : text;
  const body = ["```json", "```Json", "```JSON", "```"].reduce(behind, strip(answer));
  const inner = strip(body.endsWith("```") ? body.slice(0, -3) : body);
  try {
    JSON.parse(inner.replace(/"(?:[^"\\]|\\[\s\S])*"|-?Infinity|NaN/g, (found) => (found[0] === '"' ? found : "null")));
    return true;
  } catch {
    return false;
  }
}

function isEnglish(answer: string): boolean {
  return (detectLanguage(answer) ?? "en") === "en";
}
