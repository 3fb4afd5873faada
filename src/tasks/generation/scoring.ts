import type { Fields } from "../../bytes/json-fields.ts";
import { pythonRegExp } from "../python/regexp.ts";
import { type Row, readTemplate } from "../template.ts";
import { readTexts } from "./entries.ts";

/** A question's part of each metric: a number from 0 to 1, or one for each of several things that were asked for. */
export type AnswerScores = Readonly<Record<string, number | readonly number[]>>;

/** What becomes of a question's answers. */
export interface Scoring {
  /** Names of the metrics, given those of the filters. */
  metrics(filters: readonly string[]): readonly string[];
  /** @param taken by filter, what it took of each answer. @throws GrokError `format` naming the file and the line of the question. */
  score(row: Row, taken: ReadonlyMap<string, readonly string[]>): AnswerScores;
}

/** The kinds of scoring, by the entry of a task's `score`. */
const kinds: Readonly<Record<string, (fields: Fields) => Scoring>> = { exact_match: exactMatch };

/** @throws GrokError `argument` */
export function readScoring(all: Fields): Scoring {
  const fields = all.object("score");
  const names = Object.keys(kinds);
  const given = names.filter((name) => fields.value(name, "an object", () => true) !== undefined);
  if (given.length !== 1) all.fail("score", `expected one of ${names.join(", ")}`);
  const one = fields.object(given[0]!);
  const scoring = kinds[given[0]!]!(one);
  one.finish();
  fields.finish();
  return scoring;
}

/**
 * Whether an answer is the right one, both without what is to be ignored. lm-evaluation-harness's `exact_match`
 * (`exact_match_hf_evaluate`).
 */
function exactMatch(fields: Fields): Scoring {
  const answer = readTemplate(fields, "answer");
  const ignored = (readTexts(fields, "ignore") ?? []).map((source) => {
    try {
      return pythonRegExp(source);
    } catch (error) {
      return fields.fail("ignore", `${source}: ${(error as Error).message}`);
    }
  });
  const ignoreCase = fields.choice("case", ["counts", "ignored"], "counts") === "ignored";
  const plain = (text: string) => {
    const rest = ignored.reduce((left, pattern) => left.replace(pattern, ""), text);
    return ignoreCase ? rest.toLowerCase() : rest;
  };
  return {
    metrics: (filters) => filters.map(nameOf),
    score(row, taken) {
      const right = plain(answer(row));
      return Object.fromEntries(
        [...taken].map(([filter, [first]]) => [nameOf(filter), Number(plain(first!) === right)]),
      );
    },
  };

  function nameOf(filter: string): string {
    return `exact_match,${filter}`;
  }
}
