import { setMaxListeners } from "node:events";
import { GrokError } from "../../errors.ts";
import type { LanguageModel } from "../../generate/types.ts";
import type { CodeRunner, Outcome } from "../code/cage.ts";
import type { Put } from "../conversation.ts";
import type { Estimate } from "../jackknife.ts";
import type { BaseRecord, Records } from "../records.ts";
import type { Figure } from "../scores.ts";
import { answerQuestion, type Completion, type Drawing } from "./answer.ts";
import type { Prompted } from "./questions.ts";
import type { AnswerScores } from "./scoring.ts";
import type { GenerationTask } from "./task.ts";

/** What is kept of a question that is answered in words. */
export interface GenerationRecord extends BaseRecord {
  readonly answers: readonly Completion[];
  /** By filter, what it took of each answer. */
  readonly taken: Readonly<Record<string, readonly string[]>>;
  readonly scores: AnswerScores;
  /** What became of each answer that was run as a program. */
  readonly outcomes?: readonly Outcome[];
}

export interface AskOptions {
  readonly put: Put;
  readonly metrics: readonly string[];
  readonly run: CodeRunner;
  readonly signal?: AbortSignal | undefined;
  /** Told how many are done, those of an earlier run with them. */
  onDone(done: number, kept: number): void;
}

/** Questions under way at a time: more than passes hold, so that none waits for the last answer of others. */
const atOnce = 48;

/** Records of all questions, in their order; those that are kept already are not asked again. @throws GrokError */
export async function askAll(
  model: LanguageModel,
  task: GenerationTask,
  questions: ReadonlyMap<number, Prompted>,
  drawing: Drawing,
  key: string,
  records: Records,
  { put, metrics, run, signal, onDone }: AskOptions,
): Promise<readonly GenerationRecord[]> {
  const known = new Map(records.begin(task.name, key, (record: GenerationRecord) => isWhole(record, metrics)));
  const open = [...questions.keys()].filter((index) => !known.has(index));
  const kept = questions.size - open.length;
  let done = kept;
  /** Written in the questions' order, whichever is done first. */
  const early = new Map<number, GenerationRecord>();
  let next = 0;
  let begun = 0;
  const failed = new AbortController();
  const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  // Each question under way listens until it is done: more than Node takes for a leak.
  setMaxListeners(atOnce, either);

  async function askInTurn(): Promise<void> {
    while (begun < open.length && !either.aborted) {
      const at = begun++;
      const question = open[at]!;
      early.set(at, await ask(question, questions.get(question)!));
      for (let record = early.get(next); record !== undefined; record = early.get(++next)) {
        early.delete(next);
        known.set(record.question, record);
        records.add(record);
        onDone(++done, kept);
      }
    }
    if (signal?.aborted) throw new GrokError("cancelled", "evaluate: cancelled");
  }

  async function ask(question: number, prompted: Prompted): Promise<GenerationRecord> {
    const { answers, truncated } = await answerQuestion(model, question, put(prompted), task.generate, drawing, either);
    const taken = new Map([...task.filters].map(([name, filter]) => [name, answers.map(({ text }) => filter(text))]));
    return {
      ...{ task: task.name, question, line: prompted.row.line },
      ...(prompted.part !== undefined && { part: prompted.part }),
      ...{ answers, taken: Object.fromEntries(taken), truncated },
      ...(await task.scoring.score(prompted.row, taken, (program) => run(program, either))),
    };
  }

  const workers = Array.from({ length: atOnce }, () =>
    askInTurn().catch((error: unknown) => {
      failed.abort(error);
      throw error;
    }),
  );
  // All of them have ended before the first error is told: nothing goes on behind the caller's back.
  const outcomes = await Promise.allSettled(workers);
  const first = outcomes.find((outcome) => outcome.status === "rejected");
  if (first !== undefined) throw failed.signal.reason;
  return [...questions.keys()].map((index) => known.get(index)!);
}

/** Whether a record that was read has all of what figures follow from. */
export function isWhole({ scores, answers }: GenerationRecord, metrics: readonly string[]): boolean {
  const isNumber = (value: unknown) => typeof value === "number";
  const whole = (value: unknown) => isNumber(value) || (Array.isArray(value) && value.every(isNumber));
  return (
    Array.isArray(answers) &&
    answers.every((answer) => typeof answer?.text === "string" && typeof answer.limited === "boolean") &&
    metrics.every((metric) => whole(scores?.[metric]))
  );
}

/**
 * A metric over questions. Where a question has several scores all of them count alike, and the error is that of a ratio of sums over
 * questions (Cochran 1977, 2.46), since those of one question go together; for one score each it is the standard deviation over √n.
 */
export function summarizeAnswers(metric: string, records: readonly GenerationRecord[]): Figure {
  const scores = records.map(({ scores }) => [scores[metric]!].flat());
  const n = scores.length;
  const count = scores.reduce((sum, each) => sum + each.length, 0);
  const value = scores.flat().reduce((sum, score) => sum + score, 0) / count;
  const squares = scores.reduce(
    (sum, each) => sum + (each.reduce((total, score) => total + score, 0) - value * each.length) ** 2,
    0,
  );
  return { value, error: n > 1 ? Math.sqrt((squares * n) / (n - 1)) / count : Number.NaN };
}

/** The metric's value, and with each question left out. */
export function estimateAnswers(metric: string, records: readonly GenerationRecord[]): Estimate {
  const each = records.map(({ scores }) => [scores[metric]!].flat());
  const sums = each.map((scores) => scores.reduce((sum, score) => sum + score, 0));
  const total = sums.reduce((sum, one) => sum + one, 0);
  const count = each.reduce((sum, { length }) => sum + length, 0);
  return {
    value: total / count,
    without: sums.map((own, i) => (total - own) / (count - each[i]!.length)),
  };
}
