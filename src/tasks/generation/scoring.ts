import type { Fields } from "../../bytes/json-fields.ts";
import type { Outcome, Program } from "../code/cage.ts";
import type { Language } from "../code/drivers.ts";
import { readPattern, readTexts } from "../entries.ts";
import { followInstructions, readInstructions } from "../instructions/follow.ts";
import { type Row, readTemplate } from "../template.ts";

/** A question's part of each metric: a number from 0 to 1, or one for each of several things that were asked for. */
export type AnswerScores = Readonly<Record<string, number | readonly number[]>>;

/** What becomes of a question's answers. */
export interface Scoring {
  /** What runs the answers, where they are programs. */
  readonly language?: Language;
  /** Names of the metrics, given those of the filters and how many answers there are to a question. */
  metrics(filters: readonly string[], samples: number): readonly string[];
  /**
   * @param taken by filter, what it took of each answer.
   * @param run for answers that are programs.
   * @throws GrokError `format` naming the file and the line of the question; `cancelled`
   */
  score(row: Row, taken: ReadonlyMap<string, readonly string[]>, run: RunCode): Scored | Promise<Scored>;
}

/** A question's scores, and what became of each answer that was run. */
export interface Scored {
  readonly scores: AnswerScores;
  readonly outcomes?: readonly Outcome[];
}

export type RunCode = (program: Program) => Promise<Outcome>;

/** The kinds of scoring, by the entry of a task's `score`. */
const kinds: Readonly<Record<string, (fields: Fields) => Scoring>> = { exact_match: exactMatch, program, instructions };

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
  const ignored = (readTexts(fields, "ignore") ?? []).map((source) => readPattern(fields, "ignore", source));
  const ignoreCase = fields.choice("case", ["counts", "ignored"], "counts") === "ignored";
  const plain = (text: string) => {
    const rest = ignored.reduce((left, pattern) => left.replace(pattern, ""), text);
    return ignoreCase ? rest.toLowerCase() : rest;
  };
  return {
    metrics: (filters) => filters.map(nameOf),
    score(row, taken) {
      const right = plain(answer(row));
      const scores = [...taken].map(([filter, [first]]) => [nameOf(filter), Number(plain(first!) === right)]);
      return { scores: Object.fromEntries(scores) as AnswerScores };
    },
  };

  function nameOf(filter: string): string {
    return `exact_match,${filter}`;
  }
}

/** Of each question all instructions, or each: how often an answer follows them, to the letter or with what is around it left out. */
const instructionMetrics = [
  "prompt_level_strict_acc",
  "inst_level_strict_acc",
  "prompt_level_loose_acc",
  "inst_level_loose_acc",
] as const;

/** Whether an answer follows its question's instructions. lm-evaluation-harness's `ifeval` (Zhou et al. 2023). */
function instructions(): Scoring {
  return {
    metrics: () => instructionMetrics,
    score(row, taken) {
      const [answers] = taken.values();
      const { strict, loose } = followInstructions(readInstructions(row), answers![0]!);
      const all = (followed: readonly boolean[]) => Number(followed.every(Boolean));
      const values = [all(strict), strict.map(Number), all(loose), loose.map(Number)];
      return { scores: Object.fromEntries(instructionMetrics.map((metric, i) => [metric, values[i]!])) };
    },
  };
}

/** How many of several answers are looked at, by default. */
const usualPassAt = [1, 10, 100];

/** Whether programs pass their tests: `pass@k`. lm-evaluation-harness's `pass_at_k` (code_eval of human-eval). */
function program(fields: Fields): Scoring {
  const language = fields.choice("language", ["python", "typescript"] as const);
  const whole = readTemplate(fields, "program");
  const seconds = fields.number("seconds", 0.1, 600, 10);
  const counts = fields.numbers("k", 1, 1000, usualPassAt);
  const among = (samples: number) => counts.filter((k) => k === 1 || k <= samples);
  return {
    language,
    metrics: (_, samples) => among(samples).map((k) => `pass@${k}`),
    async score(row, taken, run) {
      const [answers] = taken.values();
      const outcomes = await Promise.all(
        answers!.map((completion) =>
          run({ language, source: whole({ ...row, fields: { ...row.fields, completion } }), seconds }),
        ),
      );
      const passed = outcomes.filter((outcome) => outcome.passed).length;
      const scores = among(answers!.length).map((k) => [`pass@${k}`, passAt(k, answers!.length, passed)]);
      return { scores: Object.fromEntries(scores) as AnswerScores, outcomes };
    },
  };
}

/**
 * How likely one of k answers passes, estimated without bias from n of which some did: 1 - C(n - passed, k) / C(n, k), as a product. Chen et
 * al. 2021, equation 1.
 */
export function passAt(k: number, n: number, passed: number): number {
  if (n - passed < k) return 1;
  let none = 1;
  for (let i = n - passed + 1; i <= n; i++) none *= 1 - k / i;
  return 1 - none;
}
